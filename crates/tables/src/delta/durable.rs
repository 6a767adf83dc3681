//! Making sure that what was written to a local disk outlives a power cut, as far as the disk keeps its word. Of an object
//! store's answer it is taken for granted.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{ErrorKind as IoErrorKind, Result as IoResult},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use lakebed_storage::Location;
use lakebed_types::{Error, ErrorKind, Result};

use super::log::STAGED;

/// Folders that a new file may have brought with it: of its partition or log, of its table, and three above.
const FOLDERS: usize = 5;
/// A folder that has not changed for so long before the file was written has no new name in it.
const RECENT: Duration = Duration::from_secs(3600);

/// Brings a file, its name and those of new folders to the disk. Nothing to do where the location is not local.
pub(super) async fn sync(location: &Location) -> Result<()> {
    on_disk(location, |path| {
        File::open(path)?.sync_all()?;
        names(path)
    })
    .await
}

/// Brings what is in a file to the disk, and not its name.
pub(super) async fn sync_file(location: &Location) -> Result<()> {
    on_disk(location, |path| File::open(path)?.sync_all()).await
}

/// Brings the name of a file and those of new folders to the disk, and not what is in it.
pub(super) async fn sync_names(location: &Location) -> Result<()> {
    on_disk(location, names).await
}

/// Brings the names in a folder to the disk.
pub(super) async fn sync_folder(location: &Location) -> Result<()> {
    on_disk(location, |path| File::open(path)?.sync_all()).await
}

/// # Errors
/// `disk_failed`. What was written since the last time may be lost then, also where a later attempt succeeds.
async fn on_disk(location: &Location, sync: impl FnOnce(&Path) -> IoResult<()> + Send + 'static) -> Result<()> {
    let Some(path) = location.local_path() else { return Ok(()) };
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::DiskFailed, format!("{location} cannot be brought to the disk: {error}"))
            .with_source(error)
    };
    let done = tokio::task::spawn_blocking(move || sync(&path)).await;
    done.map_err(|error| Error::internal("a task of the disk ended early").with_source(error))?.map_err(failed)
}

fn names(path: &Path) -> IoResult<()> {
    let written = std::fs::metadata(path)?.modified()?;
    let mut above = path.ancestors().skip(1);
    if let Some(folder) = above.next() {
        File::open(folder)?.sync_all()?;
    }
    for folder in above.take(FOLDERS - 1) {
        match sync_if_new(folder, written) {
            // A folder that is not ours to read was there before.
            Err(error) if error.kind() == IoErrorKind::PermissionDenied => break,
            done => done?,
        }
    }
    Ok(())
}

/// Each sync costs a flush of the disk, so one that nobody needs is left out.
fn sync_if_new(folder: &Path, written: SystemTime) -> IoResult<()> {
    let folder = File::open(folder)?;
    if folder.metadata()?.modified()? + RECENT >= written {
        folder.sync_all()?;
    }
    Ok(())
}

/// Removes what processes that were killed have left in these folders: files that were never given their name, older than
/// `oldest`. The local store calls them `name#1`, and leaves them out of what it lists. How many.
pub(super) async fn remove_staged(folders: BTreeSet<PathBuf>, oldest: SystemTime) -> u64 {
    let remove = move || folders.iter().map(|folder| remove_staged_in(folder, oldest).unwrap_or(0)).sum::<u64>();
    tokio::task::spawn_blocking(remove).await.unwrap_or(0)
}

fn remove_staged_in(folder: &Path, oldest: SystemTime) -> IoResult<u64> {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let is_left = entry.file_name().to_str().is_some_and(is_staged) && entry.file_type()?.is_file();
        if is_left && entry.metadata()?.modified()? < oldest {
            match std::fs::remove_file(entry.path()) {
                Ok(()) => removed += 1,
                Err(error) => {
                    tracing::debug!(file = %entry.path().display(), %error, "a file that was never finished stays")
                }
            }
        }
    }
    Ok(removed)
}

/// Of the files of a table alone.
fn is_staged(name: &str) -> bool {
    let Some((name, number)) = name.rsplit_once('#') else { return false };
    let is_ours = [".parquet", ".json", STAGED].iter().any(|end| name.ends_with(end)) || name == "_last_checkpoint";
    is_ours && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_that_were_never_finished_go_once_they_are_old() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a.parquet#1", "00000000000000000003.json#2", ".x.tmp#1", "a.parquet", "notes#1", "a.parquet#x"];
        for name in names {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        std::fs::create_dir(folder.path().join("b.parquet#1")).unwrap();
        let folders = || BTreeSet::from([folder.path().to_owned(), folder.path().join("gone")]);
        assert_eq!(remove_staged(folders(), SystemTime::UNIX_EPOCH).await, 0);
        let later = std::fs::metadata(folder.path()).unwrap().modified().unwrap() + RECENT;
        assert_eq!(remove_staged(folders(), later).await, 3);
        let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut left: Vec<_> = left.collect();
        left.sort();
        assert_eq!(left, ["a.parquet", "a.parquet#x", "b.parquet#1", "notes#1"]);
    }
}
