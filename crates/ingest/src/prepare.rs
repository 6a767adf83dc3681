//! A body → rows of a table and rows that are refused. Computes; waits for nothing.

use std::sync::Arc;

use arrow::{
    array::{RecordBatch, UInt64Array},
    compute::{concat_batches, take_record_batch},
    datatypes::FieldRef,
};
use bytes::Bytes;
use lakebed_types::{Error, ErrorKind, Result};

use crate::{
    body::RowsFormat,
    decode::{self, BadRow, Budget, Chunk, Decoded, Source},
    harmonize::{self, Plan},
};

/// What a body has.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The good rows.
    pub(crate) batch: RecordBatch,
    /// The bad ones, in their order, each with its bytes.
    pub(crate) bad: Vec<BadRow>,
    /// Columns that the table has to get first.
    pub(crate) added: Vec<FieldRef>,
}

/// Decodes and harmonizes a body.
///
/// # Errors
/// Those of [`decode::decode`] and [`harmonize::harmonize`]; `request_too_large` where the rows take too much.
pub(crate) fn prepare(format: RowsFormat, bytes: &Bytes, plan: &Plan) -> Result<Prepared> {
    let decoded = decode::decode(format, bytes, &plan.wanted)?;
    if plan.adds_columns() {
        let added = harmonize::added_columns(&decoded, plan)?;
        if !added.is_empty() {
            let schema = harmonize::with_columns(&plan.schema, &added);
            let wider = Plan::new(schema, &plan.rules, plan.wanted.max_rows)?;
            let decoded = decode::decode(format, bytes, &wider.wanted)?;
            return Ok(Prepared { added, ..harmonized(decoded, &wider, bytes)? });
        }
    }
    harmonized(decoded, plan, bytes)
}

fn harmonized(decoded: Decoded, plan: &Plan, bytes: &Bytes) -> Result<Prepared> {
    let mut budget = Budget::for_body(bytes.len());
    let (mut batches, mut bad) = (Vec::with_capacity(decoded.chunks.len()), Vec::new());
    for mut chunk in decoded.chunks {
        budget.take(plan.bare_bytes(chunk.batch.num_rows()))?;
        let mut harmonized = harmonize::harmonize(&chunk, plan)?;
        if matches!(decoded.source, Source::Columns) {
            raw_of_columns(&chunk, &harmonized.places, &mut harmonized.bad)?;
        }
        batches.push(harmonized.batch);
        bad.append(&mut chunk.bad);
        bad.append(&mut harmonized.bad);
    }
    bad.sort_by_key(|bad: &BadRow| bad.row);
    raw_of_text(&decoded.source, &mut bad);
    let batch = match batches.len() {
        1 => batches.remove(0),
        _ => concat_batches(&plan.schema, &batches)
            .map_err(|error| Error::internal("chunks of rows do not go together").with_source(error))?,
    };
    Ok(Prepared { batch, bad, added: Vec::new() })
}

fn raw_of_columns(chunk: &Chunk, places: &[usize], bad: &mut [BadRow]) -> Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    let places: UInt64Array = places.iter().map(|place| *place as u64).collect();
    let rows = take_record_batch(&chunk.batch, &places)
        .map_err(|error| Error::internal("bad rows cannot be taken out").with_source(error))?;
    for (bad, row) in bad.iter_mut().zip(harmonize::rows_as_json(&rows)?) {
        bad.raw = serde_json::to_vec(&row).ok().map(Bytes::from);
    }
    Ok(())
}

fn raw_of_text(source: &Source, bad: &mut [BadRow]) {
    let without: Vec<u64> = bad.iter().filter(|bad| bad.raw.is_none()).map(|bad| bad.row).collect();
    if without.is_empty() {
        return;
    }
    let found = source.raw(&without);
    for (bad, raw) in bad.iter_mut().filter(|bad| bad.raw.is_none()).zip(found) {
        bad.raw = raw;
    }
}

/// The columns of a batch in the order of a schema; NULL for those that it does not have. Names may differ in case: another
/// request may have added the column first.
///
/// # Errors
/// `schema_conflict` where the schema has no place for a column, or one of another type.
pub(crate) fn conform(batch: &RecordBatch, schema: &arrow::datatypes::SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let mut taken = 0;
    let mut column = |field: &FieldRef| match place_of(batch, field.name()) {
        Some(place) => {
            taken += 1;
            Arc::clone(batch.column(place))
        }
        None => arrow::array::new_null_array(field.data_type(), batch.num_rows()),
    };
    let columns = schema.fields().iter().map(&mut column).collect();
    let conflict = || {
        Error::new(ErrorKind::SchemaConflict, "the table's columns have changed meanwhile")
            .with_hint("Send the rows again.")
    };
    if taken < batch.num_columns() {
        return Err(conflict());
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(|error| conflict().with_source(error))
}

fn place_of(batch: &RecordBatch, name: &str) -> Option<usize> {
    let fields = batch.schema_ref().fields();
    let alike = |field: &FieldRef| field.name().to_lowercase() == name.to_lowercase();
    fields.find(name).map(|(place, _)| place).or_else(|| fields.iter().position(alike))
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, Int64Array},
        datatypes::{DataType, Field, Schema},
    };

    use super::*;

    #[test]
    fn columns_find_their_places_whatever_the_case_of_their_names() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let batch = RecordBatch::try_from_iter([("a", Arc::clone(&values)), ("foo", Arc::clone(&values))]).unwrap();
        let schema = |names: &[&str]| {
            Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect::<Vec<_>>()))
        };
        let found = conform(&batch, &schema(&["Foo", "b", "a"])).unwrap();
        assert_eq!((found.column(0), found.column(1).null_count(), found.column(2)), (&values, 2, &values));
        let error = conform(&batch, &schema(&["a", "b"])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SchemaConflict, "nothing is left out in silence");
    }
}
