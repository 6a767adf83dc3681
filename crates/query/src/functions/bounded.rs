//! A function that first works out how much it would make.

use std::{hash::Hash, sync::Arc};

use datafusion::{
    arrow::{
        array::AsArray,
        compute::{cast, concat},
        datatypes::{DataType, FieldRef, Int64Type},
    },
    common::{DataFusionError, Result, ScalarValue},
    logical_expr::{
        ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        simplify::{ExprSimplifyResult, SimplifyContext},
    },
};
use lakebed_types::{Error, ErrorKind, format_bytes, format_count};

use super::{series::series_items, size::row_bytes};

/// Items of one list.
pub(super) const MAX_ITEMS: u64 = 1_000_000;
/// Bytes that a generating function makes per batch.
const MAX_GENERATED_BYTES: u64 = 64 << 20;
/// Bytes that a combining function makes per batch: its arguments are data already, and documents are large.
const MAX_COMBINED_BYTES: u64 = 256 << 20;
/// Bytes of a regular expression.
const MAX_PATTERN_BYTES: u64 = 10_000;
/// Product of the lengths of two texts that are compared letter by letter.
const MAX_PAIRS: u64 = 100_000_000;

/// How a function's output grows with its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    /// `f(text, times)`.
    Repeat,
    /// `f(text, length[, fill])`.
    Pad,
    /// `f(text, what, with)`.
    Replace,
    /// `f(text, pattern)`: takes long for long patterns.
    Pattern,
    /// `f(a, b)`: takes long for long texts.
    Pairs,
    /// At most twice the sum of the arguments.
    Sum,
    /// One argument between all others or their items.
    Joined,
    /// `f(item, times)`.
    ArrayRepeat,
    /// `f(list, items[, item])`.
    ArrayResize,
    /// `f([start, ]stop[, step])`.
    Series,
}

/// The function, bounded by the rule.
pub(super) fn bounded(function: Arc<ScalarUDF>, rule: Rule) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Bounded { function, rule }))
}

/// A wrapped function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    function: Arc<ScalarUDF>,
    rule: Rule,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.function.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.function.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(arg_types)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        // Only where what comes out is no call of the function without its bound.
        match self.rule {
            Rule::Pattern if !has_long_literal(&args) => self.function.simplify(args, info),
            _ => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn short_circuits(&self) -> bool {
        self.function.short_circuits()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bounds = self.check(&args)?;
        match self.rule {
            Rule::Replace if bounds.iter().sum::<u64>() > MAX_GENERATED_BYTES => self.invoke_in_parts(args, &bounds),
            _ => self.function.invoke_with_args(args),
        }
    }
}

fn has_long_literal(args: &[Expr]) -> bool {
    args.iter().any(|arg| match arg {
        Expr::Literal(scalar, _) => {
            matches!(scalar.try_as_str(), Some(Some(text)) if text.len() as u64 > MAX_PATTERN_BYTES)
        }
        _ => false,
    })
}

impl Bounded {
    /// Refuses what is too much; bytes that each row may make, where the rule knows.
    fn check(&self, args: &ScalarFunctionArgs) -> Result<Vec<u64>> {
        let rows = args.number_rows.max(1);
        let bytes = |at: usize| args.args.get(at).map_or_else(|| vec![0; rows], |value| row_bytes(value, rows));
        let count = |at: usize| args.args.get(at).map_or_else(|| Ok(vec![0; rows]), |value| counts(value, rows));
        match self.rule {
            Rule::Repeat => self.limit_total(times(&bytes(0), &count(1)?), MAX_GENERATED_BYTES),
            Rule::Pad => {
                let width = if args.args.get(2).is_some_and(is_wide) { 4 } else { 1 };
                let padded = count(1)?.into_iter().map(|length| length.saturating_mul(width)).collect();
                self.limit_total(padded, MAX_GENERATED_BYTES)
            }
            Rule::Replace => {
                self.limit_patterns(&bytes(1))?;
                self.limit_rows(replaced(&bytes(0), &bytes(2)), MAX_GENERATED_BYTES)
            }
            Rule::Pattern => self.limit_patterns(&bytes(1)),
            Rule::Pairs => self.limit_pairs(times(&bytes(0), &bytes(1))),
            Rule::Sum => self.limit_total(summed(args, rows), MAX_COMBINED_BYTES),
            Rule::Joined => self.limit_total(joined(args, rows), MAX_COMBINED_BYTES),
            Rule::ArrayRepeat => {
                let items = self.limit_items(count(1)?)?;
                self.limit_total(times(&bytes(0), &items), MAX_GENERATED_BYTES)
            }
            Rule::ArrayResize => {
                let items = self.limit_items(count(1)?)?;
                self.limit_total(times(&bytes(2), &items), MAX_GENERATED_BYTES)
            }
            Rule::Series => {
                let items = self.limit_items(series_items(&args.args, rows)?)?;
                self.limit_total(items.into_iter().map(|items| items * 8).collect(), MAX_GENERATED_BYTES)
            }
        }
    }

    fn limit_items(&self, items: Vec<u64>) -> Result<Vec<u64>> {
        match items.iter().copied().max() {
            Some(most) if most > MAX_ITEMS => {
                Err(self.too_much(&format!("a list of {} items", format_count(most)), &format_count(MAX_ITEMS)))
            }
            _ => Ok(items),
        }
    }

    fn limit_total(&self, bytes: Vec<u64>, limit: u64) -> Result<Vec<u64>> {
        let total = bytes.iter().fold(0u64, |total, bytes| total.saturating_add(*bytes));
        if total > limit {
            return Err(self.too_much(&format_bytes(total), &format_bytes(limit)));
        }
        Ok(bytes)
    }

    fn limit_rows(&self, bytes: Vec<u64>, limit: u64) -> Result<Vec<u64>> {
        match bytes.iter().copied().max() {
            Some(most) if most > limit => Err(self.too_much(&format_bytes(most), &format_bytes(limit))),
            _ => Ok(bytes),
        }
    }

    fn limit_patterns(&self, bytes: &[u64]) -> Result<Vec<u64>> {
        match bytes.iter().copied().max() {
            Some(longest) if longest > MAX_PATTERN_BYTES => Err(too_complex(format!(
                "function {}: a pattern of {} bytes, the limit is {}",
                self.name(),
                format_count(longest),
                format_count(MAX_PATTERN_BYTES)
            ))),
            _ => Ok(Vec::new()),
        }
    }

    fn limit_pairs(&self, pairs: Vec<u64>) -> Result<Vec<u64>> {
        match pairs.iter().copied().max() {
            Some(most) if most > MAX_PAIRS => Err(too_complex(format!(
                "function {}: {} pairs of letters in one row, the limit is {}",
                self.name(),
                format_count(most),
                format_count(MAX_PAIRS)
            ))),
            _ => Ok(pairs),
        }
    }

    fn too_much(&self, value: &str, limit: &str) -> DataFusionError {
        let message = format!("function {} would make {value} at once, the limit is {limit}", self.name());
        DataFusionError::External(Box::new(Error::new(ErrorKind::MemoryExhausted, message)))
    }

    /// Runs the function over a few rows at a time, so that no step makes more than its bound.
    fn invoke_in_parts(&self, args: ScalarFunctionArgs, bounds: &[u64]) -> Result<ColumnarValue> {
        let (mut parts, mut start, mut made) = (Vec::new(), 0, 0u64);
        while start < bounds.len() {
            let rows = rows_within(&bounds[start..], MAX_GENERATED_BYTES);
            let part = self.function.invoke_with_args(rows_of(&args, start, rows))?.into_array(rows)?;
            made += (0..part.len()).map(|row| super::size::bytes_at(&part, row)).sum::<u64>();
            if made > MAX_COMBINED_BYTES {
                return Err(self.too_much(&format_bytes(made), &format_bytes(MAX_COMBINED_BYTES)));
            }
            parts.push(part);
            start += rows;
        }
        let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&parts)?))
    }
}

fn too_complex(message: String) -> DataFusionError {
    DataFusionError::External(Box::new(Error::new(ErrorKind::QueryTooComplex, message)))
}

/// How many rows from the first on stay within the limit; at least one.
fn rows_within(bounds: &[u64], limit: u64) -> usize {
    let mut total = 0u64;
    let fits = bounds.iter().take_while(|bytes| {
        total = total.saturating_add(**bytes);
        total <= limit
    });
    fits.count().max(1)
}

fn rows_of(args: &ScalarFunctionArgs, start: usize, rows: usize) -> ScalarFunctionArgs {
    let part = args.args.iter().map(|value| match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(start, rows)),
        scalar => scalar.clone(),
    });
    ScalarFunctionArgs {
        args: part.collect(),
        arg_fields: args.arg_fields.clone(),
        number_rows: rows,
        return_field: args.return_field.clone(),
        config_options: Arc::clone(&args.config_options),
    }
}

/// A count per row; negative and NULL are none.
fn counts(value: &ColumnarValue, rows: usize) -> Result<Vec<u64>> {
    let array = match value {
        ColumnarValue::Scalar(ScalarValue::Null) => return Ok(vec![0; rows]),
        ColumnarValue::Scalar(scalar) => scalar.to_array_of_size(rows)?,
        ColumnarValue::Array(array) => Arc::clone(array),
    };
    let array = cast(&array, &DataType::Int64)?;
    let counts = array.as_primitive::<Int64Type>().iter();
    Ok(counts.map(|count| u64::try_from(count.unwrap_or(0)).unwrap_or(0)).collect())
}

/// Whether a text may hold characters of more than one byte.
fn is_wide(value: &ColumnarValue) -> bool {
    match value {
        ColumnarValue::Scalar(scalar) => matches!(scalar.try_as_str(), Some(Some(text)) if !text.is_ascii()),
        ColumnarValue::Array(_) => true,
    }
}

fn times(left: &[u64], right: &[u64]) -> Vec<u64> {
    left.iter().zip(right).map(|(left, right)| left.saturating_mul(*right)).collect()
}

/// Between any two bytes something may be put in.
fn replaced(text: &[u64], with: &[u64]) -> Vec<u64> {
    text.iter().zip(with).map(|(text, with)| text.saturating_add((text + 1).saturating_mul(*with))).collect()
}

fn summed(args: &ScalarFunctionArgs, rows: usize) -> Vec<u64> {
    let mut sum = vec![0u64; rows];
    for value in &args.args {
        for (sum, bytes) in sum.iter_mut().zip(row_bytes(value, rows)) {
            *sum = sum.saturating_add(bytes);
        }
    }
    sum
}

/// `concat_ws(separator, a, b, …)` and `array_to_string(list, separator)`: no more separators than values or items.
fn joined(args: &ScalarFunctionArgs, rows: usize) -> Vec<u64> {
    let is_list =
        args.args.first().is_some_and(|first| matches!(first.data_type(), DataType::List(_) | DataType::LargeList(_)));
    let separator = args.args.get(usize::from(is_list)).map_or_else(|| vec![0; rows], |value| row_bytes(value, rows));
    let mut joined = summed(args, rows);
    for (sum, separator) in joined.iter_mut().zip(separator) {
        let separators = if is_list { *sum } else { args.args.len() as u64 };
        *sum = sum.saturating_add(separators.saturating_mul(separator));
    }
    joined
}
