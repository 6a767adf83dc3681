//! Settings: flag > `LAKEBED_*` variable > `.env` > `lakebed.toml` > default, a file per section.
//!
//! Every setting is one [`Key`] with its default and its sentence; the reference page and `lakebed.toml`'s checks come
//! from that list.

mod catalog;
mod client;
mod data;
mod ingest;
mod key;
mod limits;
mod log;
mod oidc;
mod query;
mod reference;
mod server;
mod sources;
mod storage;
mod traces;
mod values;

pub(crate) use catalog::catalog_settings;
pub(crate) use client::ClientSettings;
pub(crate) use data::DataSettings;
pub(crate) use ingest::{RowsLimits, ingest_settings};
pub(crate) use key::Key;
pub(crate) use limits::limits;
pub(crate) use log::{LogFormat, LogSettings};
pub(crate) use oidc::{OidcSettings, is_safe};
pub(crate) use query::{lake_of, price, query_settings};
pub(crate) use reference::reference_page;
pub(crate) use server::{ServerSettings, TlsSettings};
pub(crate) use sources::{Sources, load};
pub(crate) use storage::storage_settings;
pub(crate) use traces::TraceSettings;
pub(crate) use values::{Values, parse_duration};

/// Every key, section by section, in the order of the reference page.
pub(crate) fn all_keys() -> impl Iterator<Item = &'static Key> {
    [
        server::KEYS,
        oidc::KEYS,
        data::KEYS,
        storage::KEYS,
        catalog::KEYS,
        query::KEYS,
        ingest::KEYS,
        limits::KEYS,
        client::KEYS,
        log::KEYS,
        traces::KEYS,
    ]
    .into_iter()
    .flatten()
}
