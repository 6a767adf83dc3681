//! `crates/fuzz/src/targets/sql_body.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lakebed_fuzz::target("sql_body").run(input));
