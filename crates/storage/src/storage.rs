//! The stores that this process may reach.

use std::{collections::BTreeMap, sync::Arc};

use futures::{
    StreamExt, TryStreamExt, future,
    stream::{self, BoxStream},
};
use lakebed_types::{Error, ErrorKind, Result};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use parking_lot::RwLock;
use tokio::sync::Semaphore;
use url::Url;

use crate::{
    Location, Mode, StorageSettings, StoreCounters,
    allow_list::{AllowList, outside},
    bucket::Bucket,
    cache::BlockCache,
    classify,
    connect::connect,
    counted::CountedStore,
    counters::Meter,
    local::LocalFiles,
};

/// The stores that this process may reach. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: StorageSettings,
    counters: Arc<StoreCounters>,
    /// Shared by all remote stores. None where it is switched off.
    blocks: Option<BlockCache>,
    stores: RwLock<BTreeMap<Url, Arc<Bucket>>>,
}

impl Storage {
    /// Nothing is allowed yet.
    pub fn new(settings: StorageSettings) -> Self {
        let blocks = BlockCache::new(settings.cache_bytes);
        let inner = Inner { settings, counters: Arc::default(), blocks, stores: RwLock::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Allows everything below `location` (a file: just that object). Creates the store's client at the first
    /// location of a bucket. Does no request.
    ///
    /// # Errors
    /// `invalid_request` where the settings for this store contradict each other.
    pub fn allow(&self, location: &Location, mode: Mode) -> Result<()> {
        let mut stores = self.inner.stores.write();
        let bucket = match stores.get(&location.store_url()) {
            Some(bucket) => bucket.clone(),
            None => {
                let bucket = Arc::new(self.open(location)?);
                stores.insert(location.store_url(), bucket.clone());
                bucket
            }
        };
        bucket.allowed().allow(location, mode);
        Ok(())
    }

    /// Allows everything below `location`, whose bucket is reached through this client from now on instead of one that the
    /// settings describe: for stores that are not among the known ones, and for those of tests. It is treated as far away.
    pub fn allow_through(&self, client: Arc<dyn ObjectStore>, location: &Location, mode: Mode) {
        let allowed = Arc::new(AllowList::new(location));
        allowed.allow(location, mode);
        let bucket = self.bucket_through(client, location, allowed);
        self.inner.stores.write().insert(location.store_url(), Arc::new(bucket));
    }

    fn open(&self, location: &Location) -> Result<Bucket> {
        let allowed = Arc::new(AllowList::new(location));
        let settings = &self.inner.settings;
        let near: Arc<dyn ObjectStore> = match location.scheme() {
            "file" => Arc::new(LocalFiles::new(allowed.clone())),
            "memory" => Arc::new(InMemory::new()),
            _ => return Ok(self.bucket_through(connect(location, settings)?, location, allowed)),
        };
        // What is as near as memory gains nothing from being kept in memory.
        Ok(Bucket::new(CountedStore { client: near, meter: self.meter(None), requests: None }, None, allowed))
    }

    /// A bucket behind a network: few requests at once, and the block cache in front.
    fn bucket_through(&self, client: Arc<dyn ObjectStore>, location: &Location, allowed: Arc<AllowList>) -> Bucket {
        let requests = Some(Arc::new(Semaphore::new(self.inner.settings.max_connections.max(1))));
        let blocks = self.inner.blocks.as_ref().map(|blocks| blocks.of_store(location.store_url()));
        Bucket::new(CountedStore { client, meter: self.meter(None), requests }, blocks, allowed)
    }

    /// The allowed locations and their modes, in order.
    pub fn allowed(&self) -> Vec<(Location, Mode)> {
        self.inner.stores.read().values().flat_map(|bucket| bucket.allowed().entries()).collect()
    }

    /// Fails with `location_not_allowed` where the location is outside what is allowed in this mode.
    pub fn check(&self, location: &Location, mode: Mode) -> Result<()> {
        self.bucket(location)?.allowed().check(location, mode)
    }

    /// The store that holds `location`, after `check(location, Read)`. It refuses every path outside the
    /// allowed locations of its bucket, and writes outside the writable ones.
    ///
    /// # Errors
    /// `location_not_allowed`.
    pub fn store(&self, location: &Location) -> Result<Arc<dyn ObjectStore>> {
        Ok(self.readable(location)?.store())
    }

    /// The same store, which also counts into `counters` (one query's), and may answer from the block cache what is
    /// asked by [`crate::ObjectVersion::range`].
    ///
    /// # Errors
    /// `location_not_allowed`.
    pub fn counted(&self, location: &Location, counters: Arc<StoreCounters>) -> Result<Arc<dyn ObjectStore>> {
        Ok(self.readable(location)?.cached(self.meter(Some(counters))))
    }

    fn meter(&self, query: Option<Arc<StoreCounters>>) -> Meter {
        Meter::new(self.inner.counters.clone(), query)
    }

    /// The store registered for a bucket's URL, for DataFusion's registry; None if nothing of it is allowed.
    pub fn store_for_url(&self, url: &Url) -> Option<Arc<dyn ObjectStore>> {
        Some(self.bucket(&self.bucket_of(url)?).ok()?.store())
    }

    fn readable(&self, location: &Location) -> Result<Arc<Bucket>> {
        let bucket = self.bucket(location)?;
        bucket.allowed().check(location, Mode::Read)?;
        Ok(bucket)
    }

    fn bucket(&self, location: &Location) -> Result<Arc<Bucket>> {
        let stores = self.inner.stores.read();
        stores.get(&location.store_url()).cloned().ok_or_else(|| outside(location))
    }

    /// The root of the store that a URL names, however it spells scheme and slashes.
    fn bucket_of(&self, url: &Url) -> Option<Location> {
        let (scheme, rest) = url.as_str().split_once("://")?;
        let bucket = rest.split('/').next().unwrap_or_default();
        Location::parse(&format!("{scheme}://{bucket}/")).ok()
    }

    /// Every object below a folder, in the order of the store's LIST; a file lists as itself.
    /// A folder or bucket that does not exist is an error (`bucket_not_found`, `object_not_found`), an empty one is not.
    /// A URL without a trailing slash that names no object is taken as a folder. Object stores have no empty
    /// folders: there a prefix without any object does not exist, except a whole bucket.
    pub fn list(&self, location: &Location) -> BoxStream<'static, Result<ObjectMeta>> {
        let (storage, location) = (self.clone(), location.clone());
        stream::once(async move { storage.list_found(location).await }).try_flatten().boxed()
    }

    async fn list_found(self, location: Location) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let store = self.readable(&location)?.store();
        let location = with_folder_looked_up(location).await;
        if !location.is_folder() {
            match self.head(&location).await {
                Ok(meta) => return Ok(stream::once(async { Ok(meta) }).boxed()),
                Err(error) if error.kind() != ErrorKind::ObjectNotFound || location.is_local() => return Err(error),
                Err(_) => {}
            }
        }
        if let Some(folder) = location.local_path() {
            self.check_local_folder(&location, &folder).await?;
            return Ok(list_below(store.as_ref(), &location));
        }
        let mut listed = store.list(Some(location.path())).peekable();
        let empty = std::pin::Pin::new(&mut listed).peek().await.is_none();
        if empty && !location.path().is_root() {
            let message = format!("`{location}` does not exist: no object's name begins with it");
            return Err(Error::new(ErrorKind::ObjectNotFound, message));
        }
        let folder = location.path().clone();
        let without_marker = listed.try_filter(move |meta| future::ready(!is_folder_marker(meta, &folder)));
        Ok(without_marker.map_err(move |error| classify(error, &location)).boxed())
    }

    /// A missing folder is told from an empty one. Of the allowed locations themselves we say that the root is missing.
    async fn check_local_folder(&self, location: &Location, folder: &std::path::Path) -> Result<()> {
        match tokio::fs::metadata(folder).await {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(Error::new(ErrorKind::ObjectNotFound, format!("`{location}` is a file, not a folder"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let is_root = self.allowed().iter().any(|(allowed, _)| allowed.path() == location.path());
                let kind = if is_root { ErrorKind::BucketNotFound } else { ErrorKind::ObjectNotFound };
                Err(Error::new(kind, format!("folder `{location}` does not exist")))
            }
            Err(error) => {
                let error = object_store::Error::Generic { store: "local", source: Box::new(error) };
                Err(classify(error, location))
            }
        }
    }

    /// Says whether a URL without a trailing slash is an object or a folder: the location of the one that exists.
    ///
    /// # Errors
    /// `object_not_found` if neither does, and what the store says.
    pub async fn resolve(&self, location: &Location) -> Result<Location> {
        let location = &with_folder_looked_up(location.clone()).await;
        if location.is_folder() {
            return Ok(location.clone());
        }
        match self.head(location).await {
            Ok(_) => Ok(location.clone()),
            Err(error) if error.kind() == ErrorKind::ObjectNotFound => {
                let folder = location.as_folder();
                match self.list(&folder).try_next().await {
                    Ok(_) => Ok(folder),
                    Err(_) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// One object's size, time and ETag.
    ///
    /// # Errors
    /// `object_not_found`, `bucket_not_found`, and what else the store says.
    pub async fn head(&self, location: &Location) -> Result<ObjectMeta> {
        let store = self.readable(location)?.store();
        store.head(location.path()).await.map_err(|error| classify(error, location))
    }

    /// Counters of the whole process.
    pub fn counters(&self) -> &StoreCounters {
        &self.inner.counters
    }
}

/// A local folder may have come into being since its location was read.
async fn with_folder_looked_up(location: Location) -> Location {
    let Some(path) = location.local_path().filter(|_| !location.is_folder()) else { return location };
    match tokio::fs::metadata(path).await {
        Ok(metadata) if metadata.is_dir() => location.as_folder(),
        _ => location,
    }
}

fn list_below(store: &dyn ObjectStore, location: &Location) -> BoxStream<'static, Result<ObjectMeta>> {
    let location = location.clone();
    store.list(Some(location.path())).map_err(move |error| classify(error, &location)).boxed()
}

/// The empty object `folder/` that some programs write to make a folder show.
fn is_folder_marker(meta: &ObjectMeta, folder: &Path) -> bool {
    meta.size == 0 && meta.location == *folder
}
