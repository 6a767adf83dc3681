//! The engine over a lake of real files, a real catalog and real admission.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod background;
mod cancel;
mod ddl;
mod delta;
mod faults;
mod hostile;
mod lake;
mod memory;
mod result_cache;
mod select;
mod system;
