//! Folders, processes, and the Python environments with the S3 server, the oracles and the peers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Result;

/// The root of the checkout: as cargo tells it to what it runs, for a binary in a shared target directory may have been
/// built in another checkout.
#[expect(clippy::disallowed_methods, reason = "a developer command reads its environment here")]
pub(crate) fn root() -> PathBuf {
    let manifest =
        std::env::var("CARGO_MANIFEST_DIR").map_or_else(|_| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map(Path::to_owned).unwrap_or(manifest)
}

/// Where builds, Python environments and generated data live between runs: `~/.cache/lakebed`.
#[expect(clippy::disallowed_methods, reason = "a developer command reads its environment here")]
pub(crate) fn cache() -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_else(|_| ".".to_owned());
    std::env::var("XDG_CACHE_HOME").map_or_else(|_| PathBuf::from(home).join(".cache"), PathBuf::from).join("lakebed")
}

/// The one target directory: `CARGO_TARGET_DIR`, else `target` in the cache.
#[expect(clippy::disallowed_methods, reason = "a developer command reads its environment here")]
pub(crate) fn target() -> PathBuf {
    std::env::var("CARGO_TARGET_DIR").map_or_else(|_| cache().join("target"), PathBuf::from)
}

/// By these cargo describes xtask to itself. Some build scripts watch them, so passing them on would build the engine anew
/// whenever a command by hand and one of xtask take turns.
pub(crate) const OF_XTASK: [&str; 9] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_MANIFEST_LINKS",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];

/// `cargo` with these arguments, in the checkout, with the shared target directory.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(root()).env("CARGO_TARGET_DIR", target());
    for name in OF_XTASK {
        command.env_remove(name);
    }
    command
}

/// Runs a step, showing what it does; fails with the step's name.
pub(crate) fn step(name: &str, command: &mut Command) -> Result {
    eprintln!("\n── {name}");
    let status = command.status().map_err(|error| format!("{name} does not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} failed ({status})")) }
}

/// A Python environment with what a requirements file lists, made or refreshed when the file changed.
pub(crate) fn python(requirements: &str) -> Result<PathBuf> {
    let file = root().join(requirements);
    let wanted = fs::read_to_string(&file).map_err(|error| format!("{requirements} cannot be read: {error}"))?;
    // One environment a purpose: `tests/requirements.txt` gives `tests`.
    let purpose = requirements.split('/').next().unwrap_or(requirements);
    let folder = cache().join("environments").join(purpose);
    let stamp = folder.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    step("python environment", Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let mut install = Command::new(folder.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&file);
    step("python packages", &mut install)?;
    fs::write(&stamp, wanted).map_err(|error| format!("{} cannot be written: {error}", stamp.display()))?;
    Ok(folder)
}

/// Whether a cargo subcommand is there.
pub(crate) fn has_cargo_command(name: &str) -> bool {
    let asked = Command::new(env!("CARGO")).args([name, "--version"]).output();
    asked.is_ok_and(|output| output.status.success())
}
