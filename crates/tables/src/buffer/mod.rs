//! Rows that are accepted and not yet in files: readable at once, exact against any version of their table.
//!
//! Each row carries the log position (LSN) that it came with. A version of the table says up to which position its files
//! hold the rows of this buffer, so a reader takes from the buffer just what lies above: every row once, whatever is
//! flushed meanwhile. Rows that are in files stay here for a while, for readers of versions before that.

mod chunk;
mod provider;
mod prune;
mod registry;
mod rows;
mod table;

#[cfg(test)]
mod tests;

pub use provider::provider_with_buffer;
pub use registry::Buffers;
pub use rows::BufferRows;
pub use table::{Newest, TableBuffer};
