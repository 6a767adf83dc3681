//! Damage of every byte of a small log: a clean beginning, or a refusal; never another row.

use std::{
    fs,
    path::Path,
    sync::{Arc, mpsc},
};

use arrow::{
    array::{Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use lakebed_testkit::MockClock;
use lakebed_types::{DatabaseName, ErrorKind, Result, TableName};
use tempfile::TempDir;

use super::{Cut, Entry, Intent, KeptKey, Log, LogFolder, LogStart, Part, Record, Rows, read, scan};
use crate::faults::{Faults, NoFaults};

fn faults() -> Arc<dyn Faults> {
    Arc::new(NoFaults)
}

fn name() -> TableName {
    TableName::new(DatabaseName::default_database(), "t").unwrap()
}

fn rows(first: i64) -> Record {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![first, first + 1]))]).unwrap();
    Record::Rows(Rows { key: None, parts: vec![Part { table: name(), table_id: "a".into(), batch }] })
}

/// Writes records to a folder, which is free again then.
fn write(folder: &Path, records: &[Record], file_bytes: u64) {
    let log = Log::start(LogStart {
        folder: LogFolder::open(folder, "node").unwrap(),
        files: Vec::new(),
        next_lsn: 1,
        file_bytes,
        preamble: Box::new(Vec::new),
        faults: faults(),
        clock: Arc::new(MockClock::new()),
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for record in records {
        let (sender, receiver) = mpsc::channel();
        let deliver = Box::new(move |outcome: Result<u64>| sender.send(outcome).unwrap());
        let entry = Entry { record: record.encode().unwrap(), tables: vec![(name(), None)], sync: true, deliver };
        runtime.block_on(log.append(entry)).unwrap();
        receiver.recv().unwrap().unwrap();
    }
    log.close();
}

/// What a start reads.
fn read_all(folder: &Path) -> Result<Vec<(u64, Record)>> {
    let folder = LogFolder::open(folder, "node")?;
    for file in crate::recover::check(&folder, &faults())? {
        drop(file);
    }
    let mut all = Vec::new();
    for (_, path) in folder.files()? {
        read(&path, faults(), |lsn, record| {
            all.push((lsn, record));
            Ok(true)
        })?;
    }
    Ok(all)
}

fn small_log(file_bytes: u64) -> (TempDir, Vec<(u64, Record)>) {
    let folder = TempDir::new().unwrap();
    let records: Vec<Record> = (0..3).map(|number| rows(number * 2)).collect();
    write(folder.path(), &records, file_bytes);
    (folder, (1..).zip(records).collect())
}

fn log_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    files.sort();
    files
}

/// Puts the files of a log in a folder of their own, one of them with other bytes.
fn with_damage(log: &Path, damaged: &Path, bytes: &[u8]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in log_files(log) {
        let copy = folder.path().join(file.file_name().unwrap());
        match file == damaged {
            true => fs::write(copy, bytes).unwrap(),
            false => drop(fs::copy(&file, copy).unwrap()),
        }
    }
    folder
}

#[test]
fn what_is_written_is_read() {
    for file_bytes in [1, 1_000_000] {
        let (folder, written) = small_log(file_bytes);
        assert_eq!(read_all(folder.path()).unwrap(), written);
        assert_eq!(log_files(folder.path()).len(), if file_bytes == 1 { 3 } else { 1 });
    }
}

#[test]
fn a_cut_end_leaves_a_clean_beginning() {
    let (folder, written) = small_log(1_000_000);
    let file = log_files(folder.path()).pop().unwrap();
    let bytes = fs::read(&file).unwrap();
    for length in 0..bytes.len() {
        let cut = with_damage(folder.path(), &file, &bytes[..length]);
        let found = read_all(cut.path()).unwrap();
        assert_eq!(found, written[..found.len()], "cut at {length}");
        assert!(found.len() < written.len(), "cut at {length}");
        assert_eq!(read_all(cut.path()).unwrap(), found, "the second start, cut at {length}");
    }
}

#[test]
fn a_flipped_bit_leaves_a_clean_beginning_or_a_refusal() {
    let (folder, written) = small_log(1_000_000);
    let file = log_files(folder.path()).pop().unwrap();
    let bytes = fs::read(&file).unwrap();
    let last_record = bytes.len() * 2 / 3;
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let damaged = with_damage(folder.path(), &file, &flipped);
        match read_all(damaged.path()) {
            Ok(found) => {
                assert_eq!(found, written[..found.len()], "flipped at {at}");
                assert!(at >= last_record && found.len() == 2, "flipped at {at}: {} records", found.len());
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::CorruptFile, "flipped at {at}: {error:?}");
                assert!(error.message().contains("is damaged at byte"), "{error:?}");
                assert!(error.hint().unwrap().contains("move it out of the folder"), "{error:?}");
                let after = fs::read(log_files(damaged.path()).pop().unwrap()).unwrap();
                assert_eq!(after, flipped, "a refusal changes nothing");
            }
        }
    }
}

#[test]
fn a_complete_file_is_never_cut() {
    let (folder, _) = small_log(1);
    let first = log_files(folder.path()).remove(0);
    let bytes = fs::read(&first).unwrap();
    for length in 1..bytes.len() {
        let cut = with_damage(folder.path(), &first, &bytes[..length]);
        assert_eq!(read_all(cut.path()).unwrap_err().kind(), ErrorKind::CorruptFile, "cut at {length}");
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let damaged = with_damage(folder.path(), &first, &flipped);
        assert_eq!(read_all(damaged.path()).unwrap_err().kind(), ErrorKind::CorruptFile, "flipped at {at}");
    }
}

#[test]
fn a_cut_file_is_on_disk_without_its_torn_end() {
    let (folder, _) = small_log(1_000_000);
    let file = log_files(folder.path()).pop().unwrap();
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let scanned = scan(&file, Cut::TornTail, faults()).unwrap();
    assert_eq!(scanned.bytes + scanned.cut, bytes.len() as u64 - 1);
    assert_eq!(fs::metadata(&file).unwrap().len(), scanned.bytes);
}

#[test]
fn other_records_read_back() {
    let key = KeptKey {
        key: "k".into(),
        body: "b".into(),
        lsn: 7,
        accepted: 2,
        rejected: 1,
        at: chrono::DateTime::from_timestamp(1_700_000_000, 5_000).unwrap(),
    };
    let intent = Intent { table: name(), table_id: "a".into(), after: 3, upto: 9, rows: 2, adds: Vec::new() };
    for record in [Record::Keys(vec![key.clone(), key]), Record::Intent(intent)] {
        let mut bytes = record.encode().unwrap();
        super::record::set_lsn(&mut bytes, 12);
        assert_eq!(Record::decode(&bytes).unwrap(), (12, record));
    }
    assert_eq!(Record::decode(&[9; 20]).unwrap_err().kind(), ErrorKind::CorruptFile);
}
