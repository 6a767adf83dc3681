//! Arrow ⇄ JSON, NDJSON, CSV, Arrow IPC, Parquet: one file per format.
//!
//! Turns batches into bytes, one batch at a time and with flat memory. Knows nothing of queries, HTTP or files.
//! What every type becomes in JSON and CSV stands in `docs/reference/json-types.md` and is held by `tests/types.rs`.

mod accept;
mod arrow_ipc;
mod cast;
mod cells;
mod csv;
mod encoder;
mod format;
mod json;
mod json_text;
mod ndjson;
mod parquet;
mod plain;
mod text;
mod value;

pub use cast::cast_strictly;
pub use encoder::{EncodeOptions, Encoder, Numbers};
pub use format::Format;
pub use value::{json_rows, json_value};
