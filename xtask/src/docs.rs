//! `cargo xtask docs`: the reference pages that the binary itself writes.

use std::{fs, process::Command};

use crate::{
    Result,
    environment::{cargo, root, step, target},
};

/// Page of the binary's hidden `docs` command, and the file that it becomes.
const PAGES: [(&str, &str); 3] = [
    ("settings", "docs/reference/settings.md"),
    ("command-line", "docs/reference/command-line.md"),
    ("openapi", "docs/reference/openapi.json"),
];

pub(crate) fn run(arguments: &[&str]) -> Result {
    step("build", &mut cargo(&["build", "--workspace"]))?;
    match arguments {
        [] => write(),
        ["--check"] => check(),
        _ => Err(format!("unknown arguments {arguments:?}")),
    }
}

fn write() -> Result {
    for (page, file) in PAGES {
        fs::write(root().join(file), text(page)?).map_err(|error| format!("{file} cannot be written: {error}"))?;
        eprintln!("wrote {file}");
    }
    Ok(())
}

/// Fails where a page in the repository is not what the built binary writes.
pub(crate) fn check() -> Result {
    eprintln!("\n── generated pages are fresh");
    for (page, file) in PAGES {
        let there = fs::read_to_string(root().join(file)).unwrap_or_default();
        if there != text(page)? {
            return Err(format!("{file} is stale: run `cargo xtask docs`"));
        }
    }
    Ok(())
}

fn text(page: &str) -> Result<String> {
    let binary = target().join("debug/lakebed");
    // No settings of this machine may show in a page.
    let output = Command::new(&binary).args(["docs", page]).env_clear().output();
    let output = output.map_err(|error| format!("{} does not start: {error}", binary.display()))?;
    if !output.status.success() {
        return Err(format!("lakebed docs {page}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("page {page} is not UTF-8: {error}"))
}
