//! `crates/fuzz/src/targets/row_filter.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lakebed_fuzz::target("row_filter").run(input));
