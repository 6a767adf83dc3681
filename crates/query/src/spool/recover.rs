//! What a start makes of the files that it finds.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use lakebed_types::{Error, ErrorKind, QueryId, Result};

use super::{Slot, Spool, disk_failed, record::Record};
use crate::history::QueryRecord;

/// Takes over the records in the folder and removes all else. Oldest first.
pub(super) fn recover(spool: &Spool) -> Result<Vec<QueryRecord>> {
    let files = entries(&spool.dir).map_err(|error| folder_failed(&spool.dir, &error))?;
    let mut records = Vec::new();
    let mut named = HashSet::new();
    for path in &files {
        let Some(record) = read(path)? else { continue };
        let record = settle(spool, record)?;
        if record.expires.is_some_and(|expires| expires > spool.clock.now()) {
            named.insert(path.clone());
            named.extend(record.rows.is_some().then(|| spool.rows_path(record.id)));
        }
        records.push(record);
    }
    for path in files.iter().filter(|path| !named.contains(*path)) {
        remove(path).map_err(|error| disk_failed(path, &error))?;
    }
    records.sort_by_key(Record::submitted);
    records.into_iter().map(|record| take_over(spool, record, &named)).collect()
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(dir)?;
    fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

/// The record in a file; None where it is none. Of one that cannot be understood nothing can be told.
fn read(path: &Path) -> Result<Option<Record>> {
    let id = path.file_stem().and_then(OsStr::to_str).and_then(|stem| stem.parse::<QueryId>().ok());
    let (Some(id), Some("json")) = (id, path.extension().and_then(OsStr::to_str)) else { return Ok(None) };
    match Record::read(path) {
        Ok(record) if record.id == id => Ok(Some(record)),
        Err(error) if error.kind() != io::ErrorKind::InvalidData && error.kind() != io::ErrorKind::UnexpectedEof => {
            Err(disk_failed(path, &error))
        }
        _ => {
            tracing::warn!(path = %path.display(), "the record of a query cannot be understood and is removed");
            Ok(None)
        }
    }
}

/// An execution that had not ended will not end any more, and one without its rows has lost them.
fn settle(spool: &Spool, mut record: Record) -> Result<Record> {
    if record.expires.is_some_and(|expires| expires <= spool.clock.now()) {
        return Ok(record);
    }
    let rows_path = spool.rows_path(record.id);
    let is_whole = |bytes: u64| fs::metadata(&rows_path).is_ok_and(|found| found.len() == bytes);
    let failure = match (&record.expires, &record.rows) {
        (None, _) => (ErrorKind::Interrupted, format!("the server stopped before query {} ended", record.id)),
        (Some(_), Some(rows)) if !is_whole(rows.bytes) => {
            (ErrorKind::DiskFailed, format!("the result of query {} is lost or damaged", record.id))
        }
        _ => return Ok(record),
    };
    let now = spool.clock.now();
    record.fail(failure.0, failure.1, now, now + spool.lifetime);
    record.write(&spool.record_path(record.id))?;
    Ok(record)
}

fn take_over(spool: &Spool, record: Record, named: &HashSet<PathBuf>) -> Result<QueryRecord> {
    let path = spool.record_path(record.id);
    let mut slots = spool.slots.lock();
    match record.expires.filter(|_| named.contains(&path)) {
        Some(expires) => {
            let bytes = fs::metadata(&path).map_err(|error| disk_failed(&path, &error))?.len();
            let rows = record.rows.clone().map(|rows| (rows.bytes, rows.ends));
            let kept = spool.keep(record.id, bytes, expires, rows);
            spool.used.fetch_add(kept.bytes(), Ordering::Relaxed);
            slots.by_id.insert(record.id, Slot::Kept(Arc::new(kept)));
        }
        None => {
            slots.by_id.insert(record.id, Slot::Ended);
            slots.ended.push_back(record.id);
        }
    }
    drop(slots);
    Ok(record.into_history())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

fn folder_failed(dir: &Path, error: &io::Error) -> Error {
    Error::new(ErrorKind::DiskFailed, format!("the directory {} cannot be prepared: {error}", dir.display()))
}
