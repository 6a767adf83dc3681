//! When to say "not now": memory and log are bounded, and rows that would go beyond are refused before they are read on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lakebed_types::{Error, ErrorKind, Result, format_bytes};

use crate::inner::Inner;

/// What a refused caller is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A refusal because of `limit`, one word for the metrics.
pub(crate) fn busy(limit: &'static str, message: impl Into<String>) -> Error {
    metrics::counter!("lakebed_ingest_busy_total", "limit" => limit).increment(1);
    Error::new(ErrorKind::IngestBusy, message)
        .with_hint("Nothing of the request was kept. Send it again after the time in Retry-After.")
        .with_retry_after(RETRY_AFTER)
}

/// Memory of one request, given back when it ends.
#[derive(Debug)]
pub(crate) struct Held {
    inner: Arc<Inner>,
    bytes: AtomicU64,
}

impl Held {
    /// Nothing yet.
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, bytes: AtomicU64::new(0) }
    }

    /// Takes memory until it is `bytes` in all.
    ///
    /// # Errors
    /// `ingest_busy` where there is no more; `request_too_large` where it does not fit even alone.
    pub(crate) fn grow(&self, bytes: u64) -> Result<()> {
        let limit = self.inner.settings.buffer_bytes;
        if bytes > limit {
            let message =
                format!("the request needs more memory than the {} that there is for rows", format_bytes(limit));
            return Err(Error::new(ErrorKind::RequestTooLarge, message)
                .with_hint("Send the rows in several requests, or raise ingest.memory."));
        }
        let before = self.bytes.fetch_max(bytes, Ordering::Relaxed);
        self.inner.in_flight.fetch_add(bytes.saturating_sub(before), Ordering::Relaxed);
        check(&self.inner)
    }

    /// Takes so much more memory.
    ///
    /// # Errors
    /// As [`Self::grow`].
    pub(crate) fn grow_by(&self, bytes: u64) -> Result<()> {
        self.grow(self.bytes.load(Ordering::Relaxed).saturating_add(bytes))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.inner.in_flight.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// Refuses where memory or log are full, and sets about making room.
///
/// # Errors
/// `ingest_busy`.
pub(crate) fn check(inner: &Arc<Inner>) -> Result<()> {
    let buffered = inner.buffers.bytes();
    let limit = inner.settings.buffer_bytes;
    if buffered + inner.in_flight.load(Ordering::Relaxed) > limit {
        inner.flush_soon();
        return Err(busy("memory", format!("rows that are not in files yet fill {}", format_bytes(limit))));
    }
    let limit = inner.settings.wal_bytes;
    if inner.log.get().is_some_and(|log| log.needed_bytes() > limit) {
        inner.flush_soon();
        return Err(busy(
            "log",
            format!("rows that are not in files yet fill {} of the write-ahead log", format_bytes(limit)),
        ));
    }
    Ok(())
}
