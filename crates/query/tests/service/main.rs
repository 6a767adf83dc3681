//! The engine over a lake of real files, a real catalog and real admission.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod background;
mod cancel;
mod ddl;
mod hostile;
mod lake;
mod memory;
mod select;
mod system;
