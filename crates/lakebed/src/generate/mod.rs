//! Data to try Lakebed with: the same rows for the same seed, on every machine, in bounded memory.

mod billing;
mod billing_line;
mod draw;
mod events;
mod sample;
#[cfg(test)]
mod tests;
mod write;

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use lakebed_types::Result;

pub use write::write;

/// Rows of a batch; also the rows that share one state of the random generator.
const BATCH_ROWS: u64 = 8192;

/// What kind of rows to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Dataset {
    /// Sequential ids, dates, categories, normal and exponential values, flags, strings.
    Sample,
    /// A cost-and-usage report of 93 columns.
    Billing,
    /// Timestamped events of 30 days, in order but for some late ones.
    Events,
}

impl Dataset {
    /// The columns, in order.
    pub fn schema(self) -> SchemaRef {
        match self {
            Dataset::Sample => sample::schema(),
            Dataset::Billing => billing::schema(),
            Dataset::Events => events::schema(),
        }
    }

    /// Exactly `rows` rows, in batches of at most 8,192.
    pub fn batches(self, rows: u64, seed: u64) -> Batches {
        Batches { dataset: self, rows, seed, next_row: 0 }
    }
}

/// The rows of a data set, one batch at a time.
#[derive(Debug)]
pub struct Batches {
    dataset: Dataset,
    rows: u64,
    seed: u64,
    next_row: u64,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next_row >= self.rows {
            return None;
        }
        let end = self.rows.min(self.next_row + BATCH_ROWS);
        let range = self.next_row..end;
        // A stream of its own for every batch: no batch depends on those before it.
        let mut draw = draw::Draw::new(self.seed, self.next_row / BATCH_ROWS);
        self.next_row = end;
        Some(match self.dataset {
            Dataset::Sample => sample::batch(range, &mut draw),
            Dataset::Billing => billing::batch(range, self.rows, &mut draw),
            Dataset::Events => events::batch(range, self.rows, &mut draw),
        })
    }
}
