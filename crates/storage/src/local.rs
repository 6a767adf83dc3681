//! Local files as an object store, with symbolic links kept inside the allowed folders.

use std::{
    fmt,
    ops::Range,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use lakebed_types::{Error, ErrorKind};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, local::LocalFileSystem, path::Path,
};

use crate::{
    Mode,
    allow_list::{AllowList, refusal},
    location_text::file_path,
    opened::Opened,
    walk,
};

/// object_store's own local store follows symbolic links wherever they lead; this one only inside the allowed folders.
/// Reads check the file that was opened. Writes check the path first: someone who changes links below a writable
/// folder at that moment is not kept out.
#[derive(Debug)]
pub(crate) struct LocalFiles {
    inner: LocalFileSystem,
    confines: Arc<Confines>,
}

impl LocalFiles {
    pub(crate) fn new(allowed: Arc<AllowList>) -> Self {
        Self { inner: LocalFileSystem::new(), confines: Arc::new(Confines { allowed }) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Confines) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let confines = self.confines.clone();
        tokio::task::spawn_blocking(move || work(&confines)).await?
    }

    async fn check(&self, path: &Path, mode: Mode) -> Result<()> {
        let path = path.clone();
        self.blocking(move |confines| confines.check(&path, mode)).await
    }

    /// A link itself may be removed or moved; what counts is the folder that it stands in.
    async fn check_parent(&self, path: &Path) -> Result<()> {
        self.check(&path.parent().unwrap_or(Path::ROOT), Mode::ReadWrite).await
    }
}

/// Decides where links may lead: into any allowed location of the needed mode.
#[derive(Debug)]
pub(crate) struct Confines {
    allowed: Arc<AllowList>,
}

impl Confines {
    /// Blocks on the file system. The path's text is taken to be allowed already.
    pub(crate) fn check(&self, path: &Path, mode: Mode) -> Result<()> {
        let real = real_path(&file_path(path))
            .map_err(|source| object_store::Error::Generic { store: "local", source: Box::new(source) })?;
        self.check_real(path, &real, mode)
    }

    /// The same where it is known already what stands behind the links.
    pub(crate) fn check_real(&self, path: &Path, real: &FilePath, mode: Mode) -> Result<()> {
        if real == file_path(path) || self.holds(real, mode) { Ok(()) } else { Err(self.leads_outside(path)) }
    }

    /// Whether a path without links lies in an allowed location of at least this mode.
    pub(crate) fn holds(&self, real: &FilePath, mode: Mode) -> bool {
        let roots = self.allowed.entries().into_iter().filter(|(_, known)| *known >= mode);
        let mut roots = roots.filter_map(|(location, _)| location.local_path());
        roots.any(|root| real_path(&root).is_ok_and(|root| real.starts_with(root)))
    }

    fn leads_outside(&self, path: &Path) -> object_store::Error {
        let location = self.allowed.location(path);
        let error = Error::new(
            ErrorKind::LocationNotAllowed,
            format!("`{location}` is a symbolic link, or below one, that leads outside the configured locations"),
        );
        refusal(path, error.with_hint("Configure the folder that the link leads to, or copy the files."))
    }
}

/// The path without links; what does not exist yet is taken as written.
fn real_path(path: &FilePath) -> std::io::Result<PathBuf> {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        match std::fs::canonicalize(existing) {
            Ok(real) => return Ok(missing.iter().rev().fold(real, |real, name| real.join(name))),
            Err(error) => match (error.kind(), existing.file_name(), existing.parent()) {
                (std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory, Some(name), Some(parent)) => {
                    missing.push(name);
                    existing = parent;
                }
                _ => return Err(error),
            },
        }
    }
}

impl fmt::Display for LocalFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalFiles")
    }
}

#[async_trait]
impl ObjectStore for LocalFiles {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.check(path, Mode::ReadWrite).await?;
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.check(path, Mode::ReadWrite).await?;
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let path = path.clone();
        self.blocking(move |confines| Opened::open(&path, confines)?.get(path, &options)).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (path, ranges) = (path.clone(), ranges.to_vec());
        self.blocking(move |confines| {
            let mut file = Opened::open(&path, confines)?;
            ranges.iter().map(|range| file.read(range)).collect()
        })
        .await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let confines = self.confines.clone();
        let checked = paths.and_then(move |path| {
            let confines = confines.clone();
            async move {
                let parent = path.parent().unwrap_or(Path::ROOT);
                tokio::task::spawn_blocking(move || confines.check(&parent, Mode::ReadWrite)).await??;
                Ok(path)
            }
        });
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        walk::list(prefix.cloned().unwrap_or_default(), self.confines.clone())
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        walk::list_folder(prefix.cloned().unwrap_or_default(), self.confines.clone()).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check(from, Mode::Read).await?;
        self.check(to, Mode::ReadWrite).await?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.check_parent(from).await?;
        self.check(to, Mode::ReadWrite).await?;
        self.inner.rename_opts(from, to, options).await
    }
}
