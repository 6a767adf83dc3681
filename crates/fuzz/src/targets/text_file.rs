//! A file of text that is looked into and read as a table. Two ways to count its rows agree, and whatever is wrong with
//! it is never the server's fault.

use lakebed_tables::inspect;
use lakebed_types::ErrorKind;

use crate::world::{World, world};

/// Takes a file whose name has this ending.
pub(super) fn read(ending: &str, content: &[u8]) {
    let world = world();
    world.with_file(ending, content, async |location, meta| {
        let looked = inspect(&world.storage, location, meta).await.expect("a store in memory does not fail");
        let all = rows(world, &format!("SELECT * FROM '{location}'")).await;
        let counted = rows(world, &format!("SELECT count(*) FROM '{location}'")).await;
        if looked.is_err() {
            assert!(all.is_none(), "a file that is no table was read as one");
        }
        let Some((all, _)) = all else { return };
        if let Some((_, counted)) = counted {
            assert_eq!(Some(all as i64), counted, "rows, and what count(*) says");
        }
        if let Some(known) = looked.ok().and_then(|inspection| inspection.summary.rows()) {
            assert_eq!(all as u64, known, "rows, and what looking into the file said");
        }
    });
}

/// How many rows, and the first value if it is a number; None for an error.
async fn rows(world: &World, sql: &str) -> Option<(usize, Option<i64>)> {
    use arrow::{array::AsArray, datatypes::Int64Type};
    let batches = match world.rows(sql).await {
        Ok(batches) => batches,
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::Internal, "{error:?}");
            return None;
        }
    };
    let first = batches.iter().find(|batch| batch.num_rows() > 0).filter(|batch| batch.num_columns() > 0);
    let number = first.and_then(|batch| batch.column(0).as_primitive_opt::<Int64Type>().map(|column| column.value(0)));
    Some((batches.iter().map(|batch| batch.num_rows()).sum(), number))
}
