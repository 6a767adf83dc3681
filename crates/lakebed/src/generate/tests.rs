//! The generated rows, and the files that hold them.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use arrow::{
    array::{Array, AsArray},
    compute::concat_batches,
    datatypes::{Int64Type, TimestampMicrosecondType},
};
use clap::ValueEnum;
use lakebed_types::ErrorKind;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

fn all(dataset: Dataset, rows: u64, seed: u64) -> RecordBatch {
    let batches: Vec<RecordBatch> = dataset.batches(rows, seed).map(Result::unwrap).collect();
    concat_batches(&dataset.schema(), &batches).unwrap()
}

fn in_folder(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    (folder, path)
}

fn names_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_same_seed_gives_the_same_rows() {
    for dataset in Dataset::value_variants().iter().copied() {
        let rows = all(dataset, 10_000, 1);
        assert_eq!(rows.num_rows(), 10_000);
        assert_eq!(rows, all(dataset, 10_000, 1));
        assert_ne!(rows, all(dataset, 10_000, 2));
        assert_eq!(dataset.batches(0, 1).count(), 0);
    }
}

#[test]
fn the_rows_of_a_seed_never_change() {
    let sums = [Dataset::Sample, Dataset::Billing, Dataset::Events].map(|dataset| {
        let (_folder, path) = in_folder("rows.csv");
        write(dataset, 2_000, 42, &path, |_| ()).unwrap();
        crc(&fs::read(path).unwrap())
    });
    assert_eq!(sums, ["289c4ac4", "e2533c1b", "7385fa4d"]);
}

/// CRC-32 in hexadecimal.
fn crc(bytes: &[u8]) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    format!("{:08x}", crc.sum())
}

#[test]
fn sample_ids_are_sequential_and_some_notes_are_missing() {
    let rows = all(Dataset::Sample, 20_000, 7);
    let ids = rows["id"].as_primitive::<Int64Type>();
    assert!(ids.values().iter().copied().eq(1..=20_000));
    assert!((13_000..15_000).contains(&rows["note"].null_count()));
    let mean = |name: &str| {
        let values = rows[name].as_primitive::<arrow::datatypes::Float64Type>();
        values.values().iter().sum::<f64>() / 20_000.0
    };
    assert!((mean("value_normal") - 100.0).abs() < 0.5);
    assert!((mean("value_exponential") - 10.0).abs() < 0.3);
}

#[test]
fn a_longer_sample_begins_with_the_shorter_one() {
    assert_eq!(all(Dataset::Sample, 20_000, 7).slice(0, 9_000), all(Dataset::Sample, 9_000, 7));
}

#[test]
fn billing_has_93_columns_of_different_names() {
    let schema = Dataset::Billing.schema();
    let names: std::collections::HashSet<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!((schema.fields().len(), names.len()), (93, 93));
}

#[test]
fn every_billing_column_says_something() {
    let rows = all(Dataset::Billing, 20_000, 7);
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        assert!(column.null_count() < 20_000, "{}", field.name());
    }
    let reserved = &rows["reservation_effective_cost"];
    assert!((10_000..19_900).contains(&reserved.null_count()));
    let start = rows["bill_billing_period_start_date"].as_primitive::<TimestampMicrosecondType>();
    let end = rows["bill_billing_period_end_date"].as_primitive::<TimestampMicrosecondType>();
    let hour = rows["line_item_usage_start_date"].as_primitive::<TimestampMicrosecondType>();
    for row in 0..rows.num_rows() {
        assert!(start.value(row) <= hour.value(row) && hour.value(row) < end.value(row));
    }
}

#[test]
fn events_come_in_order_but_for_the_late_ones() {
    let rows = all(Dataset::Events, 50_000, 7);
    let times = rows["ts"].as_primitive::<TimestampMicrosecondType>().values();
    let late = times.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!((250..1_000).contains(&late), "{late}");
    let days: std::collections::HashSet<i64> = times.iter().map(|time| time / 86_400_000_000).collect();
    assert_eq!(days.len(), 30);
    let ids: std::collections::HashSet<&str> = rows["event_id"].as_string::<i32>().iter().flatten().collect();
    assert_eq!(ids.len(), 50_000);
    for properties in rows["properties"].as_string::<i32>().iter().flatten() {
        assert!(serde_json::from_str::<serde_json::Value>(properties).unwrap().is_object());
    }
}

#[test]
fn files_hold_the_rows() {
    let (folder, parquet) = in_folder("rows.parquet");
    let mut seen = Vec::new();
    let bytes = write(Dataset::Sample, 130_000, 3, &parquet, |rows| seen.push(rows)).unwrap();
    assert_eq!(bytes, fs::metadata(&parquet).unwrap().len());
    assert_eq!(seen.last(), Some(&130_000));
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&parquet).unwrap()).unwrap();
    assert_eq!(
        reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect::<Vec<_>>(),
        [122_880, 7_120]
    );
    let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    assert_eq!(concat_batches(&Dataset::Sample.schema(), &read).unwrap(), all(Dataset::Sample, 130_000, 3));
    assert_eq!(names_in(folder.path()), ["rows.parquet"]);
}

#[test]
fn compressed_text_is_the_same_text() {
    let (folder, plain) = in_folder("rows.csv");
    let gzip = folder.path().join("rows.csv.gz");
    write(Dataset::Events, 3_000, 3, &plain, |_| ()).unwrap();
    write(Dataset::Events, 3_000, 3, &gzip, |_| ()).unwrap();
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(&gzip).unwrap()).read_to_end(&mut text).unwrap();
    assert_eq!(text, fs::read(&plain).unwrap());
    let lines = folder.path().join("rows.ndjson");
    write(Dataset::Events, 3_000, 3, &lines, |_| ()).unwrap();
    assert_eq!(fs::read_to_string(lines).unwrap().lines().count(), 3_000);
}

#[test]
fn a_file_that_cannot_be_written_leaves_nothing_behind() {
    let (folder, path) = in_folder("rows.xlsx");
    let error = write(Dataset::Sample, 10, 3, &path, |_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(error.hint().unwrap().contains(".csv.gz"));
    let error = write(Dataset::Sample, 10, 3, &folder.path().join("no/such/rows.csv"), |_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    let taken = folder.path().join("taken.csv");
    fs::create_dir(&taken).unwrap();
    assert_eq!(write(Dataset::Sample, 10, 3, &taken, |_| ()).unwrap_err().kind(), ErrorKind::DiskFailed);
    assert_eq!(names_in(folder.path()), ["taken.csv"]);
}
