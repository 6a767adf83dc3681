//! One column: found under its names, and brought to its type.

use arrow::{
    array::{Array, ArrayRef, RecordBatch, new_null_array, timezone::Tz},
    buffer::NullBuffer,
    compute::kernels::zip::zip,
    datatypes::FieldRef,
};
use lakebed_types::{Error, Result};
use regex::Regex;

use super::{Faulty, as_text, cast, checks, constant::Constant, fill, nested, number::Factor, text, unpacked};
use crate::{
    decode::two_fields,
    rules::{Case, EpochUnit},
};

/// How one column is made.
#[derive(Debug, Clone)]
pub(super) struct ColumnPlan {
    pub(super) field: FieldRef,
    /// Its own name, and the others.
    pub(super) names: Vec<String>,
    /// It is made of other columns.
    pub(super) derived: bool,
    pub(super) required: bool,
    pub(super) default: Option<Constant>,
    pub(super) allowed: Vec<Constant>,
    pub(super) min: Option<Constant>,
    pub(super) max: Option<Constant>,
    pub(super) pattern: Option<Regex>,
    pub(super) trim: bool,
    pub(super) case: Option<Case>,
    pub(super) zone: Tz,
    pub(super) zone_name: String,
    pub(super) unit: Option<EpochUnit>,
    pub(super) scale: Option<Factor>,
}

impl ColumnPlan {
    /// The column in its type, of the fields at these places of a batch; NULL where a value is missing or bad.
    pub(super) fn bring(&self, batch: &RecordBatch, fields: &[usize], faulty: &mut Faulty) -> Result<ArrayRef> {
        let schema = batch.schema_ref();
        let mut found: Option<ArrayRef> = None;
        for (nth, place) in fields.iter().enumerate() {
            let sent = batch.column(*place);
            if sent.logical_null_count() == sent.len() && found.is_some() {
                continue;
            }
            for earlier in &fields[..nth] {
                for row in both(batch.column(*earlier), sent) {
                    let other = || two_fields(self.field.name(), schema.field(*earlier).name());
                    faulty.add(row, schema.field(*place).name(), other);
                }
            }
            let values = self.convert(sent, faulty)?;
            found = Some(match found {
                None => values,
                Some(earlier) => either(&earlier, &values)?,
            });
        }
        let values = found.unwrap_or_else(|| new_null_array(self.field.data_type(), batch.num_rows()));
        match &self.default {
            // A bad value has been named already, whatever stands here instead.
            Some(default) => fill(&values, &default.value),
            None => Ok(values),
        }
    }

    /// Values in the column's type; NULL where one is bad.
    pub(super) fn convert(&self, values: &ArrayRef, faulty: &mut Faulty) -> Result<ArrayRef> {
        let values = &unpacked(values)?;
        if self.field.data_type().is_nested() {
            return nested::bring(values, self, faulty);
        }
        let values = match as_text(values) {
            Some(values) => text::parse(&values, self, faulty)?,
            None => cast::cast(values, self, faulty)?,
        };
        checks::within_years(values, self.field.name(), faulty)
    }
}

/// The rows in which both have a value.
fn both<'a>(first: &'a ArrayRef, second: &'a ArrayRef) -> impl Iterator<Item = usize> + 'a {
    let all_missing = [first, second].iter().any(|values| values.logical_null_count() == values.len());
    let rows = if all_missing { 0 } else { first.len() };
    let (first, second) = (first.logical_nulls(), second.logical_nulls());
    let has = |nulls: &Option<NullBuffer>, row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    (0..rows).filter(move |row| has(&first, *row) && has(&second, *row))
}

/// The first's values, and the second's where the first has none.
fn either(first: &ArrayRef, second: &ArrayRef) -> Result<ArrayRef> {
    let has = arrow::compute::is_not_null(first).and_then(|has| zip(&has, first, second));
    has.map_err(|error| Error::internal("two names of a column do not go together").with_source(error))
}
