//! Location URL → object store: which buckets and folders may be reached, with which credentials,
//! timeouts and retries, and what each request cost.
//!
//! Knows object stores and nothing of tables, formats or SQL. Every store that leaves this crate
//! refuses paths outside the allowed prefixes, counts requests and bytes, and bounds every wait.

#![allow(missing_docs, clippy::todo)] // skeleton

use std::{sync::Arc, time::Duration};

use futures::stream::BoxStream;
use lakebed_types::{Error, Result};
use object_store::{ObjectMeta, ObjectStore};
use url::Url;

/// A place in an object store: `s3://bucket/prefix/`, `file:///absolute/folder/`, `gs://`, `az://`.
/// Normalised: absolute, no `.` or `..`, percent-decoded path; folders end with a slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {/* scheme, bucket, path, folder flag */}

impl Location {
    /// Reads a URL or a local path (relative to the working directory; `~` is not expanded). Whether a local path
    /// is a folder is looked up; for URLs a trailing slash says so.
    pub fn parse(text: &str) -> Result<Self> {
        todo!("{text}")
    }
    /// `s3`, `file`, `gs`, `az`, `memory`.
    pub fn scheme(&self) -> &str {
        todo!()
    }
    /// The store that holds it: `s3://bucket`, `file://`. Key of DataFusion's registry (`ObjectStoreUrl`).
    pub fn store_url(&self) -> Url {
        todo!()
    }
    /// The path inside the store, without leading slash.
    pub fn path(&self) -> &object_store::path::Path {
        todo!()
    }
    pub fn is_folder(&self) -> bool {
        todo!()
    }
    /// The location of an object of the same store, given its full path in the store.
    pub fn sibling(&self, path: &object_store::path::Path) -> Location {
        let _ = path;
        todo!()
    }
    /// A folder or file below this one.
    pub fn child(&self, relative: &str) -> Result<Location> {
        todo!("{relative}")
    }
    /// The last segment of the path, without slash: the name of the file or folder; empty for a bucket's root.
    pub fn file_name(&self) -> &str {
        todo!()
    }
    /// Whether `other` is this location or below it, in the same store.
    pub fn contains(&self, other: &Location) -> bool {
        let _ = other;
        todo!()
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
    }
}

/// What may be done below an allowed location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    Read,
    ReadWrite,
}

/// Credentials, endpoints, timeouts: plain data, read from the environment and files by the binary.
#[derive(Debug, Clone)]
pub struct StorageSettings {
    /// Options for object_store by their `AmazonS3ConfigKey` / `GoogleConfigKey` / `AzureConfigKey` names, such as
    /// (`aws_region`, `eu-west-1`), (`aws_endpoint`, `http://127.0.0.1:8333`), (`aws_allow_http`, `true`).
    pub options: Vec<(String, String)>,
    pub connect_timeout: Duration, // default 3 s
    pub request_timeout: Duration, // default 30 s
    pub retry_limit: usize,        // default 3
    pub retry_budget: Duration,    // default 20 s: all retries of one request
    pub max_connections: usize,    // default 128, per store
    /// Runtime that network I/O runs on; None = the current one.
    pub io_runtime: Option<tokio::runtime::Handle>,
}
impl Default for StorageSettings {
    fn default() -> Self {
        todo!()
    }
}

/// Requests and bytes since the start, or for one query.
#[derive(Debug, Default)]
pub struct StoreCounters {/* atomics: requests, bytes_read, bytes_written */}
impl StoreCounters {
    pub fn requests(&self) -> u64 {
        todo!()
    }
    pub fn bytes_read(&self) -> u64 {
        todo!()
    }
    pub fn bytes_written(&self) -> u64 {
        todo!()
    }
}

/// The stores that this process may reach. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {/* Arc<…> */}

impl Storage {
    pub fn new(settings: StorageSettings) -> Self {
        let _ = settings;
        todo!()
    }
    /// Allows everything below `location` (a file: just that object). Creates the store's client at the first
    /// location of a bucket. Does no request.
    pub fn allow(&self, location: &Location, mode: Mode) -> Result<()> {
        let _ = (location, mode);
        todo!()
    }
    /// The allowed locations and their modes, in order.
    pub fn allowed(&self) -> Vec<(Location, Mode)> {
        todo!()
    }
    /// Fails with `location_not_allowed` where the location is outside what is allowed in this mode.
    pub fn check(&self, location: &Location, mode: Mode) -> Result<()> {
        let _ = (location, mode);
        todo!()
    }
    /// The store that holds `location`, after `check(location, Read)`. It refuses every path outside the
    /// allowed locations of its bucket, and writes outside the writable ones.
    pub fn store(&self, location: &Location) -> Result<Arc<dyn ObjectStore>> {
        let _ = location;
        todo!()
    }
    /// The store registered for a bucket's URL, for DataFusion's registry; None if nothing of it is allowed.
    pub fn store_for_url(&self, url: &Url) -> Option<Arc<dyn ObjectStore>> {
        let _ = url;
        todo!()
    }
    /// The same store as `store`, which also counts into `counters` (one query's).
    pub fn counted(&self, location: &Location, counters: Arc<StoreCounters>) -> Result<Arc<dyn ObjectStore>> {
        let _ = (location, counters);
        todo!()
    }
    /// Every object below a folder, in the order of the store's LIST; a file lists as itself.
    /// A folder or bucket that does not exist is an error (`bucket_not_found`, `object_not_found`), an empty one is not.
    pub fn list(&self, location: &Location) -> BoxStream<'static, Result<ObjectMeta>> {
        let _ = location;
        todo!()
    }
    /// One object's size, time and ETag.
    pub async fn head(&self, location: &Location) -> Result<ObjectMeta> {
        let _ = location;
        todo!()
    }
    /// Counters of the whole process.
    pub fn counters(&self) -> &StoreCounters {
        todo!()
    }
}

/// Turns an object store's error into ours: which bucket or object, and which of bucket_not_found,
/// object_not_found, store_access_denied, store_wrong_signature, store_token_expired, store_unreachable,
/// store_failed, location_not_allowed. Finds the cause also through layers of DataFusion's and Parquet's errors
/// (walks `source()`).
pub fn classify(error: object_store::Error, location: &impl std::fmt::Display) -> Error {
    let _ = (error, location);
    todo!()
}
/// The same for any error whose chain of sources may hold an object store's error; None if it holds none.
pub fn classify_chain(error: &(dyn std::error::Error + 'static), location: &impl std::fmt::Display) -> Option<Error> {
    let _ = (error, location);
    todo!()
}
