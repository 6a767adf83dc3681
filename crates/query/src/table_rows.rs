//! Small results that are made here and not by a plan.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{Field, Schema, SchemaRef},
};
use chrono::{DateTime, Utc};
use lakebed_types::Result;

use crate::error::from_arrow;

/// Named columns of equal length that become one batch.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    columns: Vec<(&'static str, ArrayRef)>,
}

impl Columns {
    pub(crate) fn text<T: Into<Option<String>>>(self, name: &'static str, values: impl Iterator<Item = T>) -> Self {
        self.with(name, Arc::new(values.map(Into::into).collect::<StringArray>()))
    }

    pub(crate) fn count<T: Into<Option<u64>>>(self, name: &'static str, values: impl Iterator<Item = T>) -> Self {
        let signed = |value: T| value.into().map(|value| i64::try_from(value).unwrap_or(i64::MAX));
        self.with(name, Arc::new(values.map(signed).collect::<Int64Array>()))
    }

    pub(crate) fn number(self, name: &'static str, values: impl Iterator<Item = f64>) -> Self {
        self.with(name, Arc::new(values.map(Some).collect::<Float64Array>()))
    }

    pub(crate) fn flag(self, name: &'static str, values: impl Iterator<Item = bool>) -> Self {
        self.with(name, Arc::new(values.map(Some).collect::<BooleanArray>()))
    }

    pub(crate) fn time<T: Into<Option<DateTime<Utc>>>>(
        self,
        name: &'static str,
        values: impl Iterator<Item = T>,
    ) -> Self {
        let micros = values.map(|time| time.into().map(|time| time.timestamp_micros()));
        self.with(name, Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC")))
    }

    fn with(mut self, name: &'static str, column: ArrayRef) -> Self {
        self.columns.push((name, column));
        self
    }

    pub(crate) fn finish(self) -> Result<RecordBatch> {
        let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), true);
        let schema = Schema::new(self.columns.iter().map(field).collect::<Vec<_>>());
        let arrays = self.columns.into_iter().map(|(_, column)| column).collect();
        RecordBatch::try_new(Arc::new(schema), arrays).map_err(from_arrow)
    }
}

/// One row that says what was done.
pub(crate) fn status(text: impl Into<String>) -> Result<RecordBatch> {
    Columns::default().text("status", std::iter::once(text.into())).finish()
}

/// One row with a number of rows.
pub(crate) fn row_count(rows: u64) -> Result<RecordBatch> {
    Columns::default().count("count", std::iter::once(rows)).finish()
}

/// The schema of [`status`].
pub(crate) fn status_schema() -> SchemaRef {
    schema_of(status(""))
}

/// The schema of [`row_count`].
pub(crate) fn row_count_schema() -> SchemaRef {
    schema_of(row_count(0))
}

fn schema_of(batch: Result<RecordBatch>) -> SchemaRef {
    batch.map_or_else(|_| Arc::new(Schema::empty()), |batch| batch.schema())
}
