//! What a command has sent of a file, kept in the user's state folder until all is sent: a run that broke off goes on after
//! it, also when the server has long forgotten the keys.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use lakebed_types::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

/// The folder of the records; none for a user who has no folder for such things.
pub(crate) fn records_folder(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let folder = |name: &str| environment.get(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let of_home = || folder("HOME").filter(|home| home.is_dir()).map(|home| home.join(".local/state"));
    Some(folder("XDG_STATE_HOME").or_else(of_home)?.join("lakebed/ingest"))
}

/// The parts of one file that were acknowledged to one command.
#[derive(Debug)]
pub(crate) struct SentRecord {
    path: PathBuf,
    /// Rows that were taken of each part, by its key.
    rows: HashMap<String, u64>,
    last: Option<String>,
}

impl SentRecord {
    /// Reads what earlier runs have left. `command`: all that tells this command and file from others.
    ///
    /// # Errors
    /// `disk_failed` where there is a record that cannot be read.
    pub(crate) fn open(folder: &Path, command: &[&str]) -> Result<Self> {
        let mut digest = Sha256::new();
        for text in command {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        }
        let path = folder.join(format!("{:x}", digest.finalize()));
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(|error| failed(&path, "read", error))?,
        };
        let mut record = Self { path, rows: HashMap::new(), last: None };
        // A line that broke off is of a part that will be sent again.
        for line in String::from_utf8_lossy(&bytes).split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let Some((rows, key)) = line.split_once(' ') else { continue };
            let Ok(rows) = rows.parse() else { continue };
            record.rows.insert(key.to_owned(), rows);
            record.last = Some(key.to_owned());
        }
        Ok(record)
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The key of the part that was acknowledged last.
    pub(crate) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Rows that were taken of a part by an earlier run.
    pub(crate) fn rows_of(&self, key: &str) -> Option<u64> {
        self.rows.get(key).copied()
    }

    /// Adds a part, for later runs; it is on the disk afterwards.
    ///
    /// # Errors
    /// `disk_failed`.
    pub(crate) async fn add(&self, key: &str, rows: u64) -> Result<()> {
        // The first line end closes a line that broke off before.
        let (path, line) = (self.path.clone(), format!("\n{rows} {key}\n"));
        let writing = tokio::task::spawn_blocking(move || {
            append(&path, line.as_bytes()).map_err(|error| failed(&path, "written", error))
        });
        writing.await.map_err(|error| Error::internal("writing a record was given up").with_source(error))?
    }

    /// Removes it: nothing has been sent, or everything.
    ///
    /// # Errors
    /// `disk_failed`.
    pub(crate) fn forget(&mut self) -> Result<()> {
        self.rows.clear();
        self.last = None;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&self.path, "removed", error)),
            _ => Ok(()),
        }
    }
}

fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(line)?;
    file.sync_data()
}

fn failed(path: &Path, how: &str, error: io::Error) -> Error {
    let message = format!("the record {} of what was sent cannot be {how}: {error}", path.display());
    Error::new(ErrorKind::DiskFailed, message).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_record_has_what_was_added_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let open = |file: &str| SentRecord::open(&folder.path().join("a/b"), &["http://a", "t", file]).unwrap();
        assert_eq!(open("x").last(), None);
        for (key, rows) in [("one", 10), ("two", 0)] {
            open("x").add(key, rows).await.unwrap();
        }
        // The process died while it wrote the last line, and the next one goes on after it.
        append(open("x").path(), b"\n7 thr").unwrap();
        let mut record = open("x");
        assert_eq!((record.rows_of("one"), record.rows_of("two"), record.rows_of("thr")), (Some(10), Some(0), None));
        assert_eq!(record.last(), Some("two"));
        record.add("three", 7).await.unwrap();
        assert_eq!((open("x").rows_of("three"), open("x").last()), (Some(7), Some("three")));
        assert_eq!(open("y").last(), None, "another file");
        record.forget().unwrap();
        record.forget().unwrap();
        assert_eq!(open("x").rows_of("one"), None);
    }

    #[test]
    fn records_lie_in_the_users_state_folder() {
        let home = tempfile::tempdir().unwrap();
        let folder = |variables: &[(&str, &Path)]| {
            let text = |path: &Path| path.to_str().unwrap().to_owned();
            records_folder(&variables.iter().map(|(name, path)| (name.to_string(), text(path))).collect())
        };
        let of_home = home.path().join(".local/state/lakebed/ingest");
        assert_eq!(folder(&[("HOME", home.path())]), Some(of_home.clone()));
        assert_eq!(folder(&[("HOME", home.path()), ("XDG_STATE_HOME", Path::new("relative"))]), Some(of_home));
        let state = folder(&[("HOME", home.path()), ("XDG_STATE_HOME", Path::new("/state"))]);
        assert_eq!(state.as_deref(), Some(Path::new("/state/lakebed/ingest")));
        let missing = home.path().join("missing");
        assert_eq!(folder(&[("HOME", missing.as_path())]), None);
    }
}
