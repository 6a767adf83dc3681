//! `crates/fuzz/src/targets/csv_file.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lakebed_fuzz::target("csv_file").run(input));
