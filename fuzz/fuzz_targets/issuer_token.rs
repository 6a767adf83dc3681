//! `crates/fuzz/src/targets/issuer_token.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lakebed_fuzz::target("issuer_token").run(input));
