//! Part of `cargo xtask tidy`: what operators are told about metrics holds.
//!
//! Each metric that the dashboard, the alert rules and the guide name is one that some crate counts, and the guide names them
//! all.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{Result, environment::root};

/// What every metric of ours begins with.
const PREFIX: &str = "lakebed_";
/// What a histogram adds to its name.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];
const GUIDE: &str = "docs/guides/operations.md";
const DASHBOARD: &str = "docs/operations/grafana-dashboard.json";
const RULES: &str = "docs/operations/alerts.yml";

/// What is wrong, a line for each thing. `sources`: the text of every source file.
pub(crate) fn check(sources: &[String]) -> Result<Vec<String>> {
    let counted: BTreeSet<&str> = sources.iter().flat_map(|text| counted(text)).collect();
    let mut wrong = Vec::new();
    for file in [GUIDE, DASHBOARD, RULES] {
        let text = read(&root().join(file))?;
        let named = named(&text);
        let unknown = named.iter().filter(|name| !counted.contains(stem(name, &counted)));
        wrong.extend(unknown.map(|name| format!("{file} names the metric {name}, which nothing counts")));
        if file == GUIDE {
            let missing = counted.iter().filter(|name| !named.contains(*name));
            wrong.extend(missing.map(|name| format!("{file} does not name the metric {name}")));
        }
        if file == DASHBOARD && serde_json::from_str::<serde_json::Value>(&text).is_err() {
            wrong.push(format!("{file} is no JSON"));
        }
    }
    Ok(wrong)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))
}

/// The names in `counter!("…`, `gauge!("…` and `histogram!("…`.
fn counted(text: &str) -> impl Iterator<Item = &str> {
    ["counter!(", "gauge!(", "histogram!("].into_iter().flat_map(move |call| {
        text.split(call).skip(1).filter_map(|after| {
            let name = after.trim_start().strip_prefix('"')?.split('"').next()?;
            name.starts_with(PREFIX).then_some(name)
        })
    })
}

/// Every word that begins like a metric. A crate's name, as in a log filter, is none.
fn named(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c)).filter(|word| word.starts_with(PREFIX));
    words.filter(|word| !crate_names().contains(*word)).collect()
}

fn crate_names() -> BTreeSet<String> {
    let folders = fs::read_dir(root().join("crates")).into_iter().flatten().flatten();
    folders.map(|folder| format!("{PREFIX}{}", folder.file_name().to_string_lossy().replace('-', "_"))).collect()
}

/// The metric that a series of a histogram is of.
fn stem<'a>(name: &'a str, counted: &BTreeSet<&str>) -> &'a str {
    let stems = OF_HISTOGRAMS.iter().filter_map(|end| name.strip_suffix(end));
    stems.into_iter().find(|stem| counted.contains(stem)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_are_counted_and_where_they_are_used() {
        let source =
            "counter!(\"lakebed_a_total\", \"x\" => y); metrics::histogram!(\n    \"lakebed_b_seconds\").record(1.0)";
        let counted: BTreeSet<&str> = counted(source).collect();
        assert_eq!(counted, BTreeSet::from(["lakebed_a_total", "lakebed_b_seconds"]));
        let used =
            named("sum(rate(lakebed_a_total{x=\"1\"}[5m])) / lakebed_b_seconds_bucket, --log lakebed_query=debug");
        assert_eq!(used, BTreeSet::from(["lakebed_a_total", "lakebed_b_seconds_bucket"]));
        assert!(used.iter().all(|name| counted.contains(stem(name, &counted))));
    }
}
