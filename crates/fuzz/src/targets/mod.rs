//! The targets, one file each.

mod accept_header;
#[cfg(feature = "engine")]
mod csv_file;
#[cfg(feature = "engine")]
mod http_request;
mod issuer_token;
#[cfg(feature = "engine")]
mod json_file;
#[cfg(feature = "engine")]
mod page_token;
#[cfg(feature = "engine")]
mod parquet_file;
#[cfg(feature = "engine")]
mod row_filter;
#[cfg(feature = "engine")]
mod sql_body;
#[cfg(feature = "engine")]
mod sql_plan;
#[cfg(feature = "engine")]
mod text_file;

use crate::panics;

/// A way in for bytes of strangers.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, also of its corpus and its dictionary.
    pub name: &'static str,
    /// Longer inputs teach nothing that shorter ones do not.
    pub max_bytes: usize,
    /// How many mutations fit into a second or two of a test.
    pub rounds: usize,
    body: fn(&[u8]),
}

impl Target {
    /// Gives it one input.
    ///
    /// # Panics
    /// If the input does what no input may.
    pub fn run(&self, input: &[u8]) {
        panics::watch();
        (self.body)(input);
        if let Some(panic) = panics::taken() {
            panic!("{} on another thread: {panic}", self.name);
        }
    }
}

/// All of them, those without an engine first.
pub const TARGETS: &[Target] = &[
    Target { name: "accept_header", max_bytes: 2_000, rounds: 5_000, body: accept_header::run },
    Target { name: "issuer_token", max_bytes: 4_000, rounds: 1_000, body: issuer_token::run },
    #[cfg(feature = "engine")]
    Target { name: "page_token", max_bytes: 1_000, rounds: 400, body: page_token::run },
    #[cfg(feature = "engine")]
    Target { name: "row_filter", max_bytes: 4_000, rounds: 200, body: row_filter::run },
    #[cfg(feature = "engine")]
    Target { name: "sql_plan", max_bytes: 8_000, rounds: 200, body: sql_plan::run },
    #[cfg(feature = "engine")]
    Target { name: "sql_body", max_bytes: 8_000, rounds: 200, body: sql_body::run },
    #[cfg(feature = "engine")]
    Target { name: "http_request", max_bytes: 8_000, rounds: 400, body: http_request::run },
    #[cfg(feature = "engine")]
    Target { name: "csv_file", max_bytes: 16_000, rounds: 200, body: csv_file::run },
    #[cfg(feature = "engine")]
    Target { name: "json_file", max_bytes: 16_000, rounds: 200, body: json_file::run },
    #[cfg(feature = "engine")]
    Target { name: "parquet_file", max_bytes: 32_000, rounds: 200, body: parquet_file::run },
];

/// The target of a name.
///
/// # Panics
/// If there is none.
pub fn target(name: &str) -> &'static Target {
    let found = TARGETS.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("there is no fuzz target {name}"))
}
