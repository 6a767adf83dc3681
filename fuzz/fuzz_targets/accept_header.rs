//! `crates/fuzz/src/targets/accept_header.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lakebed_fuzz::target("accept_header").run(input));
