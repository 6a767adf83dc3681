//! Parquet files: their footer, a page of their rows, and a query with and without a filter.

use lakebed_tables::{ReadCaches, inspect, read_page};
use lakebed_types::{ErrorKind, Result};

use crate::world::world;

/// Rows of a page.
const PAGE: usize = 100;

pub(super) fn run(input: &[u8]) {
    let world = world();
    world.with_file("parquet", input, async |location, meta| {
        let looked = inspect(&world.storage, location, meta).await.expect("a store in memory does not fail");
        let caches = ReadCaches::new(1 << 20, 0);
        for offset in [0, 3] {
            check(read_page(&world.storage, &caches, location, offset, PAGE).await);
        }
        check(world.rows(&format!("SELECT * FROM '{location}'")).await);
        if let Some(column) = looked.ok().and_then(|found| found.schema.fields().first().cloned()) {
            let column = column.name().replace('"', "\"\"");
            let least = format!("SELECT min(\"{column}\") FROM '{location}'");
            let some = format!("SELECT count(*) FROM '{location}' WHERE \"{column}\" > ({least})");
            check(world.rows(&some).await);
        }
    });
}

fn check<T>(outcome: Result<T>) {
    if let Err(error) = outcome {
        assert_ne!(error.kind(), ErrorKind::Internal, "{error:?}");
    }
}
