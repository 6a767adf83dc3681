//! `cargo xtask bench`: measures the release binary against its peers, in one run on this machine.

use std::process::Command;

use crate::{
    Result,
    environment::{cache, cargo, python, root, step, target},
};

pub(crate) fn run(names: &[&str]) -> Result {
    step("release build", &mut cargo(&["build", "--release", "--package", "lakebed"]))?;
    let python = python("bench/requirements.txt")?;
    let mut bench = Command::new(python.join("bin/python"));
    bench
        .arg("bench/run.py")
        .args(names)
        .current_dir(root())
        .env("LAKEBED_BENCH_BINARY", target().join("release/lakebed"))
        .env("LAKEBED_BENCH_DATA", cache().join("data"))
        .env("LAKEBED_TEST_WEED", python.join("bin/weed"));
    step("benchmarks", &mut bench)
}
