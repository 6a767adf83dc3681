//! Panics that end at the file they come from.
//!
//! The Parquet reader panics on some damaged files instead of saying what is wrong with them. One such file must not end a
//! crawl over thousands.

use std::{any::Any, panic::AssertUnwindSafe};

use futures::FutureExt;
use lakebed_storage::Location;
use lakebed_types::Result;
use parquet::errors::ParquetError;

use crate::caches::damaged;

/// Reads something of a file.
///
/// # Errors
/// `corrupt_file` where the reader panics, else what `read` says. What `read` was at work on is dropped either way.
pub(crate) async fn contained<T>(location: &Location, read: impl Future<Output = Result<T>>) -> Result<T> {
    let done = AssertUnwindSafe(read).catch_unwind().await;
    done.unwrap_or_else(|panic| {
        let text = panic_text(panic.as_ref());
        Err(damaged(location, ParquetError::General(format!("it breaks the Parquet reader: {text}"))))
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}
