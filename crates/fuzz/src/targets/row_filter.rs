//! Filters of requests for rows: they choose among the rows of their table, and do nothing else.
//!
//! An input is the filter, and after a zero byte the columns, and after another the columns to sort by, with commas between.

use lakebed_access::Principal;
use lakebed_query::RowsRequest;
use lakebed_types::{DatabaseName, ErrorKind, TableName};

use crate::world::{options, world};

/// Rows of the table.
const ROWS: usize = 20;

pub(super) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut parts = text.split('\0');
    let filter = parts.next().unwrap_or_default().to_owned();
    let (columns, sort) = (names(parts.next()), names(parts.next()));
    let request = RowsRequest {
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        filter: Some(filter.clone()),
        sort: sort.iter().map(|name| (name.trim_start_matches('-').to_owned(), name.starts_with('-'))).collect(),
        limit: ROWS * 2,
        offset: 0,
    };
    let table = TableName::new(DatabaseName::default_database(), "kinds").expect("a table's name");
    let (world, who) = (world(), Principal::local());
    let prepared = world.wait(world.query.prepare_rows(&who, &table, &request, &options()));
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return assert_ne!(error.kind(), ErrorKind::TableNotFound, "{filter}: {error}"),
    };
    assert_eq!(prepared.snapshots().len(), 1, "{filter}: reads more than its table");
    let asked = if columns.is_empty() { 10 } else { columns.len() };
    assert_eq!(prepared.schema().fields().len(), asked, "{filter}: other columns");
    if let Ok(batches) = world.wait(world.run(&who, prepared)) {
        let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        assert!(rows <= ROWS, "{filter}: {rows} rows of a table that has {ROWS}");
    }
}

fn names(list: Option<&str>) -> Vec<&str> {
    list.unwrap_or_default().split(',').filter(|name| !name.is_empty()).collect()
}
