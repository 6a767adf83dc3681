//! Finding out whether a store keeps a commit from being written twice.

use bytes::Bytes;
use lakebed_storage::{Location, Storage, classify};
use lakebed_types::{Error, ErrorKind, Result};
use object_store::{ObjectStoreExt, PutMode, PutOptions};

/// Creates the object `name` in a folder twice, and removes it. `name` is one that nobody else uses.
///
/// # Errors
/// `unsupported` where the second creation succeeds: several writers would lose each other's rows there. The store's errors.
pub async fn probe_conditional_put(storage: &Storage, folder: &Location, name: &str) -> Result<()> {
    let location = folder.child(name)?;
    let store = storage.store(&location)?;
    let create = || {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(location.path(), Bytes::from_static(b"probe").into(), options)
    };
    let failed = |error| classify(error, &location);
    match create().await {
        // The first attempt's answer may have been lost.
        Ok(_) | Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {}
        Err(error) => return Err(failed(error)),
    }
    let second = create().await;
    let removed = store.delete(location.path()).await;
    match second {
        Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
            removed.map_err(failed)
        }
        Err(error) => Err(failed(error)),
        Ok(_) => Err(Error::new(ErrorKind::Unsupported, format!("the store of {folder} ignores conditional writes"))
            .with_hint("Tables with ingestion need a store that honours `If-None-Match: *` on PUT.")),
    }
}
