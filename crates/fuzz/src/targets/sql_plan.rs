//! SQL text: a plan and an estimate, or an error, for whoever may do everything. Nothing runs.

use lakebed_access::Principal;

use crate::world::{options, world};

pub(super) fn run(input: &[u8]) {
    let Ok(sql) = std::str::from_utf8(input) else { return };
    let world = world();
    let prepared = world.wait(world.query.prepare(&Principal::local(), sql, &options()));
    if let Ok(prepared) = prepared {
        for (name, _) in prepared.snapshots() {
            assert!(name.starts_with("default.") || name.starts_with("s3://lake/"), "{sql}: reads {name}");
        }
        // That it comes back is all that can be said of any statement.
        let _ = world.wait(world.query.estimate(&prepared));
    }
}
