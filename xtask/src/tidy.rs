//! `cargo xtask tidy`: the floors between crates, the layout rules, and the metrics that operators are told of.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    Result,
    environment::{cargo, root},
    metrics,
};

/// Floors from the ground up. A crate depends on lower floors only.
const FLOORS: &[&[&str]] = &[
    &["types"],
    &["storage", "formats", "access"],
    &["tables", "catalog"],
    &["query", "ingest"],
    &["api-rest", "api-flight"],
    &["lakebed"],
];

/// The one edge within a floor.
const SAME_FLOOR: (&str, &str) = ("catalog", "tables");

/// The crates that may name DataFusion.
const ENGINE: &[&str] = &["tables", "query"];

/// Lines of a source file beyond which there is a seam to split along.
const MAX_LINES: usize = 500;

pub(crate) fn run() -> Result {
    eprintln!("\n── tidy");
    let mut wrong = floors()?;
    wrong.extend(sources()?);
    for line in &wrong {
        eprintln!("{line}");
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("tidy found {} things", wrong.len())) }
}

fn floors() -> Result<Vec<String>> {
    let output = cargo(&["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .map_err(|error| format!("cargo metadata does not start: {error}"))?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata is no JSON: {error}"))?;
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let Some(name) = package["name"].as_str().map(short_name) else { continue };
        if matches!(name, "xtask" | "testkit" | "fuzz") {
            continue;
        }
        let Some(floor) = floor_of(name) else {
            wrong.push(format!("crate {name} stands on no floor: add it to xtask's list"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            wrong.extend(check_dependency(name, floor, dependency));
        }
    }
    Ok(wrong)
}

fn check_dependency(name: &str, floor: usize, dependency: &Value) -> Option<String> {
    let full_name = dependency["name"].as_str()?;
    let to = short_name(full_name);
    let for_tests = dependency["kind"].as_str() == Some("dev");
    if full_name.starts_with("datafusion") && !ENGINE.contains(&name) {
        return Some(format!("{name} names {full_name}: only {} may", ENGINE.join(" and ")));
    }
    if to == "testkit" {
        return (!for_tests).then(|| format!("{name} depends on testkit outside its tests"));
    }
    let below = floor_of(to).is_none_or(|below| below < floor);
    let allowed = below || for_tests || (name, to) == SAME_FLOOR;
    (!allowed).then(|| format!("{name} depends on {to}, which is not on a lower floor"))
}

fn short_name(package: &str) -> &str {
    package.strip_prefix("lakebed-").unwrap_or(package)
}

fn floor_of(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&name))
}

fn sources() -> Result<Vec<String>> {
    let mut files = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(&root().join(folder), &mut files)?;
    }
    let mut wrong = Vec::new();
    let mut texts = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let shown = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
        let is_test = shown.contains("/tests/") || shown.ends_with("tests.rs");
        if !text.starts_with("//!") {
            wrong.push(format!("{shown} does not begin with //! and what it is for"));
        }
        let lines = text.split("#[cfg(test)]").next().unwrap_or(&text).lines().count();
        if lines > MAX_LINES && !is_test {
            wrong.push(format!("{shown} has {lines} lines: split it along a seam in the problem"));
        }
        if shown.starts_with("crates/") {
            texts.push(text);
        }
    }
    wrong.extend(metrics::check(&texts)?);
    Ok(wrong)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result {
    let entries = fs::read_dir(folder).map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| format!("{} cannot be listed: {error}", folder.display()))?.path();
        match path.is_dir() {
            true if path.ends_with("target") || path.ends_with("vendor") => {}
            true => collect(&path, files)?,
            false if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
            false => {}
        }
    }
    Ok(())
}
