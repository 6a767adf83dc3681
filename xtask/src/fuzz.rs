//! `cargo xtask fuzz`: the fuzz targets under libFuzzer, on nightly.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Result,
    environment::{OF_XTASK, cache, has_cargo_command, root, step},
};

/// The version that is installed where there is none.
const CARGO_FUZZ: &str = "0.13.2";
/// How long a target runs if nothing is said.
const SECONDS: &str = "60";
/// An input that takes longer counts as a hang.
const INPUT_SECONDS: u32 = 10;
/// Memory that a target may have.
const MEMORY_MIB: u32 = 2048;

/// `[TARGET|all] [SECONDS|FILE]`: fuzzes one target or all, one after the other, each for so long; or gives one input to a
/// target.
pub(crate) fn run(arguments: &[&str]) -> Result {
    let (name, what) = match arguments {
        [] => ("all", SECONDS),
        [name] => (*name, SECONDS),
        [name, what] => (*name, *what),
        _ => return Err(format!("unknown arguments {arguments:?}")),
    };
    let all = targets()?;
    let chosen: Vec<&String> = all.iter().filter(|target| name == "all" || *target == name).collect();
    if chosen.is_empty() {
        return Err(format!("there is no fuzz target {name}; there are {}", all.join(", ")));
    }
    prepare()?;
    let failed: Vec<String> = chosen.into_iter().filter_map(|target| fuzz(target, what).err()).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// The names of the targets, from their files.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let files = fs::read_dir(&folder).map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
    let stem = |file: fs::DirEntry| file.path().file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let mut names: Vec<String> = files.filter_map(|file| stem(file.ok()?)).collect();
    names.sort();
    Ok(names)
}

/// cargo-fuzz, and the versions of dependencies that the product itself is built with.
fn prepare() -> Result {
    if !has_cargo_command("fuzz") {
        step("cargo-fuzz", &mut nightly(&["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ]))?;
    }
    let lock = root().join("fuzz/Cargo.lock");
    fs::copy(root().join("Cargo.lock"), &lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    Ok(())
}

/// What a run finds stays in the cache; what is in the repository only feeds it.
fn fuzz(target: &str, what: &str) -> Result {
    let (seeds, build) = (root().join("fuzz/corpus").join(target), cache().join("fuzz"));
    let found = build.join("corpus").join(target);
    fs::create_dir_all(&found).map_err(|error| format!("{}: {error}", found.display()))?;
    let mut command = nightly(&["fuzz", "run", "--sanitizer", "none", "--target-dir"]);
    command.arg(build.join("target")).arg(target);
    let limits = [format!("-timeout={INPUT_SECONDS}"), format!("-rss_limit_mb={MEMORY_MIB}")];
    if let Some(input) = replayed(what) {
        command.arg(input).arg("--").args(limits);
        return step(&format!("{target} on {what}"), &mut command);
    }
    let seconds: u32 = what.parse().map_err(|_| format!("{what} is neither a number of seconds nor a file"))?;
    command.arg(found).arg(seeds).arg("--").args(limits).arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-dict={}", root().join(format!("fuzz/dictionaries/{target}.dict")).display()));
    command.arg("-print_final_stats=1");
    step(&format!("{target} for {seconds} s"), &mut command)
}

fn replayed(what: &str) -> Option<PathBuf> {
    // Commands run in the root of the checkout, wherever this one was called.
    fs::canonicalize(Path::new(what)).ok().filter(|path| path.is_file())
}

/// `cargo +nightly` in the checkout.
fn nightly(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.arg("+nightly").args(arguments).current_dir(root());
    for name in OF_XTASK {
        command.env_remove(name);
    }
    command
}
