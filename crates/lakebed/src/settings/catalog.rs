//! `[catalog]`: freshness and the crawler's bounds.

use lakebed_catalog::{CatalogSettings, Freshness};
use lakebed_types::Result;

use super::{Key, Values};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "catalog.freshness",
        default: "on_query:5s",
        about: "When new files of a table are looked for: `on_query:AGE`, `interval:TIME` or `manual`.",
    },
    Key { name: "catalog.parallel_requests", default: "32", about: "Files that a crawl looks into at once." },
    Key { name: "catalog.max_files", default: "1000000", about: "Files below one crawled location." },
];

/// Reads the section.
pub(crate) fn catalog_settings(values: &Values) -> Result<CatalogSettings> {
    let text = values.text("catalog.freshness").unwrap_or_default();
    let default_freshness: Freshness =
        text.parse().map_err(|_| values.wrong("catalog.freshness", text, "on_query:AGE, interval:TIME or manual"))?;
    Ok(CatalogSettings {
        default_freshness,
        parallel_requests: values.parse("catalog.parallel_requests", "a number")?,
        max_files: values.parse("catalog.max_files", "a number")?,
    })
}
