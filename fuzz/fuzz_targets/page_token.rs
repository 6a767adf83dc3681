//! `crates/fuzz/src/targets/page_token.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lakebed_fuzz::target("page_token").run(input));
