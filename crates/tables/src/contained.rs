//! Panics that end at the file they come from.
//!
//! The Parquet reader panics on some damaged files instead of saying what is wrong with them. One such file must not end a
//! crawl over thousands, and a query over it is told what is the matter.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use futures::{FutureExt, Stream, StreamExt};
use lakebed_storage::Location;
use lakebed_types::{Error, Result};
use parquet::errors::ParquetError;

use crate::caches::damaged;

/// What `read` gives. What it was at work on is dropped where it panics.
///
/// # Errors
/// `corrupt_file` where the reader panics.
pub(crate) async fn contained<T>(location: &Location, read: impl Future<Output = T>) -> Result<T> {
    AssertUnwindSafe(read).catch_unwind().await.map_err(|panic| broken(location, panic.as_ref()))
}

/// The same for a step that does not await.
pub(crate) fn contained_step<T>(location: &Location, read: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).map_err(|panic| broken(location, panic.as_ref()))
}

/// The same for what comes in pieces; a panic is the last of them.
pub(crate) fn contained_stream<T>(
    location: Arc<Location>,
    read: impl Stream<Item = T>,
) -> impl Stream<Item = Result<T>> {
    AssertUnwindSafe(read).catch_unwind().map(move |item| item.map_err(|panic| broken(&location, panic.as_ref())))
}

fn broken(location: &Location, panic: &(dyn Any + Send)) -> Error {
    damaged(location, ParquetError::General(format!("it breaks the Parquet reader: {}", panic_text(panic))))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}
