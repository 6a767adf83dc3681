//! The only kind of store that leaves this crate: allowed paths only.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, future::Either, stream, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};

use crate::{Mode, allow_list::AllowList};

/// Checks every path before it goes on to the cache and the store below.
#[derive(Debug, Clone)]
pub(crate) struct GuardedStore {
    pub(crate) below: Arc<dyn ObjectStore>,
    pub(crate) allowed: Arc<AllowList>,
}

impl GuardedStore {
    fn check_prefix(&self, prefix: Option<&Path>) -> Result<()> {
        self.allowed.check_path(prefix.unwrap_or(&Path::ROOT), Mode::Read)
    }
}

impl fmt::Display for GuardedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guarded({})", self.below)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for GuardedStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.allowed.check_path(path, Mode::ReadWrite)?;
        self.below.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.allowed.check_path(path, Mode::ReadWrite)?;
        self.below.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.allowed.check_path(path, Mode::Read)?;
        self.below.get_opts(path, options).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.allowed.check_path(path, Mode::Read)?;
        self.below.get_ranges(path, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let allowed = self.allowed.clone();
        let checked = paths.map(move |path| {
            let path = path?;
            allowed.check_path(&path, Mode::ReadWrite)?;
            Ok(path)
        });
        self.below.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.check_prefix(prefix) {
            Ok(()) => self.below.list(prefix),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = match self.check_prefix(prefix) {
            Ok(()) => Either::Left(self.below.list_with_offset(prefix, offset)),
            Err(error) => Either::Right(stream::once(async { Err(error) })),
        };
        listed.boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check_prefix(prefix)?;
        self.below.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.allowed.check_path(from, Mode::Read)?;
        self.allowed.check_path(to, Mode::ReadWrite)?;
        self.below.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.allowed.check_path(from, Mode::ReadWrite)?;
        self.allowed.check_path(to, Mode::ReadWrite)?;
        self.below.rename_opts(from, to, options).await
    }
}
