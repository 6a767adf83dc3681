//! `crates/fuzz/src/targets/sql_plan.rs` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lakebed_fuzz::target("sql_plan").run(input));
