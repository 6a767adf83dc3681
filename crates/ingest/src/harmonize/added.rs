//! Fields that become columns: which they are, and of what types.

use std::{collections::HashSet, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use lakebed_types::Result;

use super::{plan::Plan, types::table_schema};
use crate::decode::{Decoded, JsonTypes};

/// The columns that a body has and the table has not. Fields without any value are none; of those whose names differ in
/// case only, there is one.
///
/// # Errors
/// `unsupported` where a column's type has no place in a table.
pub(crate) fn added_columns(decoded: &Decoded, plan: &Plan) -> Result<Vec<FieldRef>> {
    let (mut fields, mut names): (Vec<Field>, HashSet<String>) = Default::default();
    for chunk in &decoded.chunks {
        for (field, values) in chunk.batch.schema().fields().iter().zip(chunk.batch.columns()) {
            let empty = values.logical_null_count() == values.len();
            if plan.column_of(field.name()).is_none() && !empty && names.insert(field.name().to_lowercase()) {
                fields.push(field.as_ref().clone());
            }
        }
    }
    fields.extend(of_json(decoded).iter().map(|field| field.as_ref().clone()));
    Ok(table_schema(&Schema::new(fields))?.fields().iter().cloned().collect())
}

/// The types of gathered JSON fields, which differ from row to row: what fits all, or text.
fn of_json(decoded: &Decoded) -> Vec<FieldRef> {
    let mut types = JsonTypes::default();
    for fields in decoded.chunks.iter().filter_map(|chunk| chunk.unknown.as_ref()).flatten().flatten() {
        for (name, value) in &fields.0 {
            // What is no JSON was no row.
            types.see_field(name, &serde_json::from_str(value).unwrap_or_default());
        }
    }
    types.schema().fields().iter().filter(|field| field.data_type() != &DataType::Null).cloned().collect()
}

/// A table's columns with more of them at the end.
pub(crate) fn with_columns(schema: &Schema, added: &[FieldRef]) -> Arc<Schema> {
    Arc::new(Schema::new(schema.fields().iter().chain(added).cloned().collect::<Vec<_>>()))
}
