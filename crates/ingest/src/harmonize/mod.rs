//! Columns as they came → the table's columns, by its rules. Each bad row is named, with the first thing that is wrong.

mod added;
mod cast;
mod checks;
mod column;
mod constant;
mod nested;
mod number;
mod plan;
mod text;
mod types;

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringBuilder, new_null_array},
    compute::{filter_record_batch, kernels::zip::zip},
    datatypes::DataType,
};
use lakebed_formats::{Numbers, json_rows};
use lakebed_types::{Error, Result};

pub(crate) use added::{added_columns, with_columns};
pub(crate) use plan::Plan;
pub(crate) use types::table_schema;

use crate::{
    decode::{BadRow, Chunk},
    harmonize::plan::{DayPlan, UnknownPlan},
};

/// What is wrong with rows of a chunk, by their place in it: the field, and the reason.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    rows: BTreeMap<usize, (String, String)>,
}

impl Faulty {
    /// Remembers the first thing that is wrong with a row.
    pub(crate) fn add(&mut self, row: usize, field: &str, reason: impl FnOnce() -> String) {
        self.rows.entry(row).or_insert_with(|| (field.to_owned(), reason()));
    }

    /// Hands what is wrong with members of values on to the rows that they belong to.
    fn hand_on(self, rows: &mut Faulty, row_of: impl Fn(usize) -> Option<usize>) {
        for (place, wrong) in self.rows {
            if let Some(row) = row_of(place) {
                rows.rows.entry(row).or_insert(wrong);
            }
        }
    }
}

/// Rows of a chunk in the table's columns.
#[derive(Debug)]
pub(crate) struct Harmonized {
    /// The good ones.
    pub(crate) batch: RecordBatch,
    /// The bad ones, without their bytes.
    pub(crate) bad: Vec<BadRow>,
    /// For each bad row its place in the chunk's batch.
    pub(crate) places: Vec<usize>,
}

/// Brings a chunk's rows to the table's columns.
///
/// # Errors
/// `invalid_request` where a column as a whole cannot become what the table wants.
pub(crate) fn harmonize(chunk: &Chunk, plan: &Plan) -> Result<Harmonized> {
    let mut faulty = Faulty::default();
    let mut columns: Vec<Option<ArrayRef>> = Vec::with_capacity(plan.columns.len());
    for (column, fields) in plan.columns.iter().zip(fields_of(chunk, plan)) {
        columns.push(match column.derived {
            true => None,
            false => Some(checks::check(column.bring(&chunk.batch, &fields, &mut faulty)?, column, &mut faulty)?),
        });
    }
    if let UnknownPlan::Column(index) = plan.unknown {
        columns[index] = Some(unknown_column(chunk, plan)?);
    }
    if let Some(DayPlan { from, column }) = plan.day {
        columns[column] = columns[from].as_ref().map(day_of).transpose()?;
    }
    let rows = chunk.batch.num_rows();
    let columns = columns.into_iter().zip(plan.schema.fields());
    let columns = columns.map(|(column, field)| column.unwrap_or_else(|| new_null_array(field.data_type(), rows)));
    let batch = RecordBatch::try_new(plan.schema.clone(), columns.collect())
        .map_err(|error| Error::internal("harmonized columns do not make a batch").with_source(error))?;
    parted(batch, chunk, faulty)
}

/// For each column the places of the fields that are it.
fn fields_of(chunk: &Chunk, plan: &Plan) -> Vec<Vec<usize>> {
    let mut fields = vec![Vec::new(); plan.columns.len()];
    for (place, field) in chunk.batch.schema().fields().iter().enumerate() {
        if let Some(column) = plan.column_of(field.name()) {
            fields[column].push(place);
        }
    }
    fields
}

/// The good rows, and the bad ones with their numbers.
fn parted(batch: RecordBatch, chunk: &Chunk, faulty: Faulty) -> Result<Harmonized> {
    if faulty.rows.is_empty() {
        return Ok(Harmonized { batch, bad: Vec::new(), places: Vec::new() });
    }
    let good: BooleanArray = (0..batch.num_rows()).map(|row| Some(!faulty.rows.contains_key(&row))).collect();
    let batch = filter_record_batch(&batch, &good)
        .map_err(|error| Error::internal("good rows cannot be told from bad ones").with_source(error))?;
    let places = faulty.rows.keys().copied().collect();
    let bad = faulty.rows.into_iter().map(|(row, (field, reason))| BadRow {
        row: chunk.number(row),
        field: Some(field),
        reason,
        raw: None,
    });
    Ok(Harmonized { batch, bad: bad.collect(), places })
}

/// The day in UTC of times or dates.
fn day_of(times: &ArrayRef) -> Result<ArrayRef> {
    arrow::compute::cast(times, &DataType::Date32)
        .map_err(|error| Error::internal("times have no days").with_source(error))
}

/// Fields that are no columns, as JSON text.
fn unknown_column(chunk: &Chunk, plan: &Plan) -> Result<ArrayRef> {
    let rows = chunk.batch.num_rows();
    let columns = extra_columns(chunk, plan)?;
    if chunk.unknown.is_none() && columns.is_none() {
        return Ok(new_null_array(&DataType::Utf8, rows));
    }
    let mut texts = StringBuilder::new();
    for row in 0..rows {
        let columns = || columns.as_ref().map(|columns| &columns[row]).filter(|fields| !fields.is_empty());
        texts.append_option(match &chunk.unknown {
            Some(unknown) => unknown[row].as_ref().map(|fields| fields.to_json()),
            None => columns().map(|fields| serde_json::to_string(fields).unwrap_or_default()),
        });
    }
    Ok(Arc::new(texts.finish()))
}

/// The columns of a body that the table does not have, row by row and without empty fields.
fn extra_columns(chunk: &Chunk, plan: &Plan) -> Result<Option<Vec<Fields>>> {
    let schema = chunk.batch.schema();
    let extra: Vec<usize> =
        (0..schema.fields().len()).filter(|column| plan.column_of(schema.field(*column).name()).is_none()).collect();
    if extra.is_empty() {
        return Ok(None);
    }
    let batch = chunk.batch.project(&extra).map_err(|error| Error::internal("columns are gone").with_source(error))?;
    rows_as_json(&batch).map(Some)
}

/// A row as a JSON object.
type Fields = serde_json::Map<String, serde_json::Value>;

/// Rows as JSON objects, without fields that have no value.
pub(crate) fn rows_as_json(batch: &RecordBatch) -> Result<Vec<Fields>> {
    let rows = json_rows(std::slice::from_ref(batch), Numbers::default())?;
    let without_nulls = |row| match row {
        serde_json::Value::Object(fields) => {
            fields.into_iter().filter(|(_, value): &(String, serde_json::Value)| !value.is_null()).collect()
        }
        _ => Fields::new(),
    };
    Ok(rows.into_iter().map(without_nulls).collect())
}

/// `values`, with `filler` where they have none.
fn fill(values: &ArrayRef, filler: &dyn arrow::array::Datum) -> Result<ArrayRef> {
    if values.null_count() == 0 {
        return Ok(values.clone());
    }
    let missing = arrow::compute::is_null(values).and_then(|missing| zip(&missing, filler, values));
    missing.map_err(|error| Error::internal("missing values cannot be filled").with_source(error))
}

/// Values that stand for themselves: those of dictionaries and runs are written out.
fn unpacked(values: &ArrayRef) -> Result<ArrayRef> {
    let inner = match values.data_type() {
        DataType::Dictionary(_, inner) => inner.as_ref(),
        DataType::RunEndEncoded(_, inner) => inner.data_type(),
        _ => return Ok(values.clone()),
    };
    let plain = arrow::compute::cast(values, inner);
    unpacked(&plain.map_err(|error| Error::invalid_request("values cannot be unpacked").with_source(error))?)
}

/// Text of any Arrow kind as plain text.
fn as_text(values: &ArrayRef) -> Option<ArrayRef> {
    match values.data_type() {
        DataType::Utf8 => Some(values.clone()),
        DataType::LargeUtf8 | DataType::Utf8View => arrow::compute::cast(values, &DataType::Utf8).ok(),
        _ => None,
    }
    .filter(|text| text.as_string_opt::<i32>().is_some())
}
