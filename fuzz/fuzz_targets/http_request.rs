//! `crates/fuzz/src/targets/http_request.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lakebed_fuzz::target("http_request").run(input));
