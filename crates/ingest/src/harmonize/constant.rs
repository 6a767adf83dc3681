//! Values in rules: read once, in the column's own type, by the same rules as values in rows.

use arrow::array::{Array, ArrayRef, Scalar, StringArray};
use lakebed_types::Result;
use serde_json::Value;

use super::{Faulty, column::ColumnPlan, plan::wrong, text};

/// One value of a column's type.
#[derive(Debug, Clone)]
pub(super) struct Constant {
    /// As it stands in the rules.
    pub(super) shown: String,
    pub(super) value: Scalar<ArrayRef>,
}

/// Reads a value of the rule `rule`.
pub(super) fn read(column: &ColumnPlan, rule: &str, value: &Value) -> Result<Constant> {
    let name = column.field.name();
    let shown = match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(wrong(name, &format!("`{rule}` is not a single value")));
        }
        other => other.to_string(),
    };
    let mut faulty = Faulty::default();
    let text: ArrayRef = std::sync::Arc::new(StringArray::from(vec![shown.as_str()]));
    // A constant is written as it is kept: no scaling.
    let plain = ColumnPlan { scale: None, ..column.clone() };
    let values = text::parse(&text, &plain, &mut faulty)?;
    if let Some((_, (_, reason))) = faulty.rows.into_iter().next() {
        return Err(wrong(name, &format!("`{rule}`: {reason}")));
    }
    debug_assert_eq!(values.len(), 1);
    Ok(Constant { shown, value: Scalar::new(values) })
}
