//! `crates/fuzz/src/targets/json_file.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lakebed_fuzz::target("json_file").run(input));
