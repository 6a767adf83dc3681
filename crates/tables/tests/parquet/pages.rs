//! Pages of one file.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, StringArray},
    compute::concat_batches,
    datatypes::Int64Type,
};
use lakebed_storage::{Location, Mode, Storage};
use lakebed_tables::{ReadCaches, read_page};
use lakebed_types::ErrorKind;
use object_store::ObjectStoreExt;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use crate::lake::{Lake, ints};

const ROWS: i64 = 10_000;

/// Several row groups of several pages, one column with NULLs and strings of changing length.
fn paged(lake: &Lake, rows: i64) {
    let names = (0..rows).map(|n| (n % 7 != 0).then(|| "x".repeat((n % 23) as usize)));
    let names: ArrayRef = Arc::new(names.collect::<StringArray>());
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(3_000))
        .set_data_page_row_count_limit(256)
        .set_write_batch_size(64)
        .set_dictionary_enabled(false)
        .build();
    lake.file_with("p.parquet", vec![("id", ints(0..rows)), ("name", names)], properties);
}

#[test]
fn every_page_is_a_slice_of_the_file() {
    let lake = Lake::new();
    paged(&lake, ROWS);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let page = |offset: u64, limit: usize| {
        runtime.block_on(read_page(&lake.storage, &lake.caches, &lake.location("p.parquet"), offset, limit)).unwrap()
    };
    let whole = page(0, ROWS as usize);
    assert_eq!(whole.total_rows, ROWS as u64);
    let whole = concat_batches(&whole.schema, &whole.batches).unwrap();
    assert_eq!(whole.num_rows(), ROWS as usize);
    proptest!(ProptestConfig::with_cases(64), |(offset in 0..11_000u64, limit in 0..7_000usize)| {
        let part = page(offset, limit);
        let start = (offset as usize).min(ROWS as usize);
        let length = limit.min(ROWS as usize - start);
        let found = concat_batches(&part.schema, &part.batches).unwrap();
        prop_assert_eq!(found, whole.slice(start, length));
    });
}

#[tokio::test]
async fn the_last_page_reads_no_more_than_the_first() {
    let lake = Lake::new();
    let rows = 20 * ROWS as u64;
    paged(&lake, rows as i64);
    let location = lake.location("p.parquet");
    let bytes_of = async |offset: u64| {
        let before = lake.storage.counters().bytes_read();
        read_page(&lake.storage, &lake.caches, &location, offset, 100).await.unwrap();
        lake.storage.counters().bytes_read() - before
    };
    bytes_of(rows / 3).await;
    let read = [bytes_of(0).await, bytes_of(rows / 2).await, bytes_of(rows - 100).await];
    assert!(read[0] > 0 && read.iter().all(|bytes| *bytes < read[0] * 3), "{read:?}");
    let size = std::fs::metadata(lake.path("p.parquet")).unwrap().len();
    assert!(read[2] * 10 < size, "{} of {size}", read[2]);
}

#[tokio::test]
async fn the_next_page_is_there_already() {
    let lake = Lake::new();
    paged(&lake, ROWS);
    let location = lake.location("p.parquet");
    read_page(&lake.storage, &lake.caches, &location, 0, 100).await.unwrap();
    let before = lake.storage.counters().bytes_read();
    let page = read_page(&lake.storage, &lake.caches, &location, 100, 100).await.unwrap();
    assert_eq!(page.batches[0].column(0).as_primitive::<Int64Type>().values()[..2], [100, 101]);
    assert_eq!(lake.storage.counters().bytes_read(), before);
}

#[tokio::test]
async fn a_replaced_file_gives_its_new_rows_at_once() {
    let lake = Lake::new();
    let location = lake.location("p.parquet");
    for rows in [100, 5, 70] {
        lake.file("p.parquet", vec![("id", ints(0..rows))]);
        assert_eq!(rows_of(&lake.storage, &lake.caches, &location).await, rows as usize);
    }
}

#[tokio::test]
async fn a_replaced_object_gives_its_new_rows_at_once() {
    let lake = Lake::new();
    let location = Location::parse("memory://bucket/p.parquet").unwrap();
    lake.storage.allow(&location, Mode::ReadWrite).unwrap();
    let store = lake.storage.store(&location).unwrap();
    for rows in [100, 5, 70] {
        lake.file("p.parquet", vec![("id", ints(0..rows))]);
        store.put(location.path(), std::fs::read(lake.path("p.parquet")).unwrap().into()).await.unwrap();
        assert_eq!(rows_of(&lake.storage, &lake.caches, &location).await, rows as usize);
    }
}

async fn rows_of(storage: &Storage, caches: &ReadCaches, location: &Location) -> usize {
    let page = read_page(storage, caches, location, 0, 1000).await.unwrap();
    let read = page.batches.iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(read as u64, page.total_rows);
    read
}

#[tokio::test]
async fn a_page_of_no_file_is_object_not_found() {
    let lake = Lake::new();
    let error = read_page(&lake.storage, &lake.caches, &lake.location("no.parquet"), 0, 10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ObjectNotFound);
}
