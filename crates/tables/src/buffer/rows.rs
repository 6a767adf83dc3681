//! The buffered rows that a query reads beside a version of their table.

use std::sync::Arc;

use arrow::{
    array::{Array, RecordBatch, RecordBatchOptions, new_null_array},
    compute::cast,
    datatypes::{Schema, SchemaRef},
    error::ArrowError,
};

use super::chunk::Chunk;
use crate::columns::match_columns;

/// The buffered rows that a version of their table does not hold. Cheap to clone; they stay as they are, whatever is
/// pushed or flushed.
#[derive(Debug, Clone)]
pub struct BufferRows {
    app_id: Arc<str>,
    last: u64,
    pub(super) pieces: Arc<[Piece]>,
}

/// The rows of a chunk from one on.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) chunk: Arc<Chunk>,
    pub(super) start: usize,
}

impl BufferRows {
    pub(super) fn new(app_id: &str, last: u64, pieces: Vec<Piece>) -> Self {
        Self { app_id: app_id.into(), last, pieces: pieces.into() }
    }

    /// How many there are.
    pub fn rows(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.rows() as u64).sum()
    }

    /// What they count as in memory.
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.chunk.bytes).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Which rows these are: with a version of the table, the same text means the same rows.
    pub fn position(&self) -> String {
        match self.is_empty() {
            true => String::new(),
            false => format!("{}@{}", self.app_id, self.last),
        }
    }
}

impl Piece {
    pub(super) fn rows(&self) -> usize {
        self.chunk.rows() - self.start
    }

    /// For each column of the table as the engine sees it, its place in the chunk.
    pub(super) fn places(&self, table: &Schema) -> Vec<Option<usize>> {
        match_columns(table, self.chunk.batch().schema_ref())
    }

    /// These columns of the table, as the engine sees it.
    pub(super) fn batch(
        &self,
        table: &Schema,
        columns: &[usize],
        projected: &SchemaRef,
    ) -> Result<RecordBatch, ArrowError> {
        let places = self.places(table);
        let rows = self.rows();
        let column = |column: &usize| {
            let wanted = table.field(*column).data_type();
            let Some(place) = places[*column] else { return Ok(new_null_array(wanted, rows)) };
            let found = self.chunk.column(place)?.slice(self.start, rows);
            if found.data_type() == wanted { Ok(found) } else { cast(&found, wanted) }
        };
        let columns = columns.iter().map(column).collect::<Result<Vec<_>, ArrowError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(projected), columns, &options)
    }
}
