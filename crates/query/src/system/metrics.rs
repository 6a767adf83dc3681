//! `system.metrics`: what `/metrics` shows, as rows.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use lakebed_access::{Principal, Role};
use lakebed_types::Result;
use serde_json::{Map, Value};

use crate::{service::Engine, table_rows::Columns};

/// One line of the page.
#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    kind: String,
    labels: Map<String, Value>,
    value: f64,
}

/// For administrators, as the page is; nothing for others.
pub(super) fn metrics(engine: &Engine, who: &Principal) -> Result<RecordBatch> {
    let may = who.role() >= Role::Admin || !engine.access.wants_credentials();
    let samples = if may { samples(&engine.metrics_page()) } else { Vec::new() };
    let all = || samples.iter();
    Columns::default()
        .text("name", all().map(|sample| sample.name.clone()))
        .text("kind", all().map(|sample| sample.kind.clone()))
        .text("labels", all().map(|sample| Value::Object(sample.labels.clone()).to_string()))
        .number("value", all().map(|sample| sample.value))
        .finish()
}

/// <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>
fn samples(page: &str) -> Vec<Sample> {
    let mut kinds = HashMap::new();
    let mut samples = Vec::new();
    for line in page.lines() {
        if let Some((family, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            kinds.insert(family, kind);
        } else if !line.starts_with('#') {
            samples.extend(sample(line, &kinds));
        }
    }
    samples
}

fn sample(line: &str, kinds: &HashMap<&str, &str>) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (name, labels(rest.strip_suffix('}')?)?),
        None => (series, Map::new()),
    };
    // The series of a histogram are named after it.
    let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| kinds.get(name.strip_suffix(end)?));
    let kind = kinds.get(name).or(family).copied().unwrap_or("untyped");
    Some(Sample { name: name.to_owned(), kind: kind.to_owned(), labels, value: value.parse().ok()? })
}

/// `name="value",…`, with `\\`, `\"` and `\n` in values.
fn labels(mut rest: &str) -> Option<Map<String, Value>> {
    let mut labels = Map::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"")?;
        let (mut value, mut letters) = (String::new(), after.char_indices());
        let end = loop {
            match letters.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match letters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, letter) => value.push(letter),
            }
        };
        labels.insert(name.trim_start_matches(',').to_owned(), Value::String(value));
        rest = &after[end..];
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_rows() {
        let page = "# HELP a what\n# TYPE a counter\na{x=\"1\",y=\"a \\\"b\\\",\\n}\"} 3\n\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 0.5\n";
        let found = samples(page);
        let shown: Vec<_> = found
            .iter()
            .map(|s| (s.name.as_str(), s.kind.as_str(), Value::Object(s.labels.clone()).to_string(), s.value))
            .collect();
        assert_eq!(
            shown,
            [
                ("a", "counter", r#"{"x":"1","y":"a \"b\",\n}"}"#.to_owned(), 3.0),
                ("h_bucket", "histogram", r#"{"le":"+Inf"}"#.to_owned(), 2.0),
                ("h_sum", "histogram", "{}".to_owned(), 0.5),
            ]
        );
        assert!(samples("broken{x=\"1").is_empty());
    }
}
