//! Prints how long a million rows of eight columns take, on one core, in each format or in those named as arguments.

use std::sync::Arc;

use arrow::{
    array::*,
    datatypes::{Field, Schema},
};
use lakebed_formats::{EncodeOptions, Encoder, Format};
use lakebed_types::{Clock, Result, SystemClock};
use serde_json::Map;

const ROWS: i64 = 1_000_000;
const BATCH_ROWS: i64 = 8_192;

fn main() -> Result<()> {
    let batch = batch();
    let named: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |format: &Format| named.is_empty() || named.iter().any(|name| name == format.name());
    for format in Format::ALL.iter().copied().filter(wanted) {
        let start = SystemClock.instant();
        let mut encoder = Encoder::new(format, batch.schema(), EncodeOptions::default())?;
        let mut bytes = encoder.begin()?.len();
        for _ in 0..ROWS / BATCH_ROWS {
            bytes += encoder.batch(&batch)?.len();
        }
        bytes += encoder.finish(&Map::new())?.len();
        println!("{:>8} {:>12} bytes {:?}", format.name(), bytes, SystemClock.instant() - start);
    }
    Ok(())
}

fn batch() -> RecordBatch {
    let rows = || 0..BATCH_ROWS;
    let decimal = Decimal128Array::from_iter_values(rows().map(|row| i128::from(row) * 7919));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows().map(|row| row * 1_000_003))),
        Arc::new(Date32Array::from_iter_values(rows().map(|row| row as i32))),
        Arc::new(StringArray::from_iter_values(rows().map(|row| format!("category {}", row % 7)))),
        Arc::new(Float64Array::from_iter_values(rows().map(|row| row as f64 / 7.0))),
        Arc::new(BooleanArray::from_iter(rows().map(|row| (row % 11 > 0).then_some(row % 2 == 0)))),
        Arc::new(StringViewArray::from_iter_values(rows().map(|row| format!("a somewhat longer name {row}")))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(
            rows().map(|row| 1_704_164_645_123_456 + row * 86_399_999),
        )),
        Arc::new(decimal.with_data_type(arrow::datatypes::DataType::Decimal128(12, 2))),
    ];
    let named = columns
        .iter()
        .enumerate()
        .map(|(place, column)| Field::new(format!("column_{place}"), column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(named.collect::<Vec<_>>()));
    match RecordBatch::try_new(schema, columns) {
        Ok(batch) => batch,
        Err(error) => unreachable!("{error}"),
    }
}
