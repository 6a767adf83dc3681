//! Lists local folders in the order in which an object store lists keys.

use std::{
    fs::Metadata,
    io,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{ListResult, ObjectMeta, Result, path::Path};

use crate::{Mode, local::Confines, location_text::file_path};

/// Files given to the stream at once, between two visits to the blocking threads.
const CHUNK: usize = 1024;

/// All files below a folder. One folder's names are in memory at a time, for each level of the path.
/// A folder that cannot be read gives an error in its place, and the walk goes on.
pub(crate) fn list(folder: Path, confines: Arc<Confines>) -> BoxStream<'static, Result<ObjectMeta>> {
    let start = Walk { levels: Vec::new(), confines, start: Some(folder) };
    let chunks = stream::unfold(Some(start), |walk| async move {
        let mut walk = walk?;
        let work = tokio::task::spawn_blocking(move || {
            let chunk: Vec<_> = walk.by_ref().take(CHUNK).collect();
            (chunk, walk)
        });
        match work.await {
            Ok((chunk, _)) if chunk.is_empty() => None,
            Ok((chunk, walk)) => Some((chunk, Some(walk))),
            Err(error) => Some((vec![Err(error.into())], None)),
        }
    });
    chunks.flat_map(stream::iter).boxed()
}

/// The files and folders directly below a folder; nothing if it does not exist.
pub(crate) async fn list_folder(folder: Path, confines: Arc<Confines>) -> Result<ListResult> {
    tokio::task::spawn_blocking(move || {
        let mut found = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
        for entry in Level::open(&folder, &confines)?.into_iter().flat_map(|level| level.entries) {
            match entry.metadata {
                Some(metadata) => found.objects.push(object_meta(entry.path, &metadata)),
                None => found.common_prefixes.push(entry.path),
            }
        }
        Ok(found)
    })
    .await?
}

/// A walk under way: the folders from the first to the current one.
struct Walk {
    levels: Vec<Level>,
    confines: Arc<Confines>,
    start: Option<Path>,
}

/// What is left of one folder.
struct Level {
    /// Without links, to notice a link that leads back into its own path.
    real: PathBuf,
    entries: std::vec::IntoIter<Entry>,
}

/// A file, or a folder where there is no metadata.
struct Entry {
    path: Path,
    metadata: Option<Metadata>,
}

impl Iterator for Walk {
    type Item = Result<ObjectMeta>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(start) = self.start.take()
            && let Err(error) = self.enter(&start)
        {
            return Some(Err(error));
        }
        loop {
            let Some(entry) = self.levels.last_mut()?.entries.next() else {
                self.levels.pop();
                continue;
            };
            match entry.metadata {
                Some(metadata) => return Some(Ok(object_meta(entry.path, &metadata))),
                None => {
                    if let Err(error) = self.enter(&entry.path) {
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}

impl Walk {
    fn enter(&mut self, folder: &Path) -> Result<()> {
        let Some(level) = Level::open(folder, &self.confines)? else { return Ok(()) };
        if self.levels.iter().any(|above| above.real == level.real) {
            tracing::warn!(folder = %file_path(folder).display(), "passed over a symbolic link that leads back into its own path");
            return Ok(());
        }
        self.levels.push(level);
        Ok(())
    }
}

impl Level {
    /// Reads a folder's names. None if it does not exist, is a file, or is reached by a link that leads outside.
    fn open(folder: &Path, confines: &Confines) -> Result<Option<Self>> {
        match Self::read(folder, confines) {
            Ok(level) => Ok(level),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(object_store::Error::PermissionDenied {
                path: file_path(folder).display().to_string(),
                source: Box::new(error),
            }),
        }
    }

    fn read(folder: &Path, confines: &Confines) -> io::Result<Option<Self>> {
        let written = file_path(folder);
        let real = std::fs::canonicalize(&written)?;
        if real != written && !confines.holds(&real, Mode::Read) {
            tracing::warn!(folder = %written.display(), "passed over a symbolic link that leads outside the configured locations");
            return Ok(None);
        }
        let mut entries = Vec::new();
        for found in std::fs::read_dir(&written)? {
            entries.extend(Entry::read(folder, &found?)?);
        }
        entries.sort_by_cached_key(Entry::sort_key);
        Ok(Some(Self { real, entries: entries.into_iter() }))
    }
}

impl Entry {
    /// None, with a warning, for what cannot be an object: names that no path holds, broken links, sockets.
    fn read(folder: &Path, found: &std::fs::DirEntry) -> io::Result<Option<Self>> {
        let file = found.path();
        let Some(path) = below(folder, &found.file_name()) else {
            tracing::warn!(file = %file.display(), "passed over a name that cannot be a path in a store");
            return Ok(None);
        };
        let metadata = match std::fs::metadata(&file) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "passed over a file that cannot be looked at");
                return Ok(None);
            }
        };
        if metadata.is_dir() {
            return Ok(Some(Self { path, metadata: None }));
        }
        let listed = metadata.is_file() && !is_unfinished(&file);
        Ok(listed.then_some(Self { path, metadata: Some(metadata) }))
    }

    /// Keys of object stores compare by bytes, and everything in a folder has its slash.
    fn sort_key(&self) -> String {
        let slash = if self.metadata.is_none() { "/" } else { "" };
        format!("{}{slash}", self.path)
    }
}

fn below(folder: &Path, name: &std::ffi::OsStr) -> Option<Path> {
    let name = name.to_str()?;
    let text = if folder.is_root() { name.to_owned() } else { format!("{folder}/{name}") };
    Path::parse(text).ok()
}

/// `name#1` is how the local store calls a file that is still being written.
fn is_unfinished(file: &FilePath) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let suffix = name.split_once('#').map_or("", |(_, suffix)| suffix);
    !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit())
}

/// The facts of a file, as LIST and HEAD give them. The ETag changes with the file's identity, time and size.
pub(crate) fn object_meta(location: Path, metadata: &Metadata) -> ObjectMeta {
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    let micros = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let (inode, size) = (inode(metadata), metadata.len());
    ObjectMeta {
        location,
        last_modified: modified.into(),
        size,
        e_tag: Some(format!("{inode:x}-{micros:x}-{size:x}")),
        version: None,
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}
