//! `crates/fuzz/src/targets/parquet_file.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lakebed_fuzz::target("parquet_file").run(input));
