//! `events`: timestamped rows of 30 days from several producers, in order of time but for one in a hundred that
//! comes up to some hours late.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{
        ArrayRef, Decimal128Builder, Int64Array, Int64Builder, StringArray, StringBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    record_batch::RecordBatch,
};
use lakebed_types::{Error, Result};

use super::draw::{Draw, record_batch};

/// 2024-03-01T00:00:00Z in microseconds.
const START: i64 = 1_709_251_200_000_000;
/// The 30 days over which the rows are spread, in microseconds.
const SPAN: u64 = 30 * 86_400_000_000;
const USERS: f64 = 100_000.0;
const PRODUCERS: u64 = 8;
/// Mean lateness of a late row, in microseconds: two hours.
const LATENESS: f64 = 7_200e6;

const KINDS: &[&str] =
    &["page_view", "click", "search", "add_to_cart", "purchase", "sign_in", "sign_up", "share", "error"];
const DEVICES: &[&str] = &["mobile", "desktop", "tablet", "tv"];
const PATHS: &[&str] = &["/", "/search", "/product", "/cart", "/checkout", "/account", "/help"];

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("event_id", DataType::Utf8, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("user_id", DataType::Int64, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("device", DataType::Utf8, true),
        Field::new("amount", DataType::Decimal128(10, 2), true),
        Field::new("properties", DataType::Utf8, false),
        Field::new("producer", DataType::Utf8, false),
        Field::new("sequence", DataType::Int64, false),
    ]))
}

/// The rows of this range, of `total` in all. The producers take turns, each with its own unbroken sequence.
pub(super) fn batch(rows: Range<u64>, total: u64, draw: &mut Draw) -> Result<RecordBatch> {
    let mut event_id = StringBuilder::new();
    let mut ts = TimestampMicrosecondBuilder::new();
    let mut user_id = Int64Builder::new();
    let mut kind = StringBuilder::new();
    let mut device = StringBuilder::new();
    let mut amount = Decimal128Builder::new();
    let mut properties = StringBuilder::new();
    for row in rows.clone() {
        event_id.append_value(uuid(draw));
        ts.append_value(time(row, total, draw));
        // The cube makes a few users busy and most of them rare.
        let user = draw.unit();
        user_id.append_value((user * user * user * USERS) as i64 + 1);
        let event = draw.pick_early(KINDS);
        kind.append_value(event);
        device.append_option(draw.chance(0.95).then(|| draw.pick_early(DEVICES)));
        amount.append_option((event == "purchase").then(|| 99 + i128::from(draw.below(50_000))));
        properties.append_value(properties_of(event, draw));
    }
    let producer = StringArray::from_iter_values(rows.clone().map(|row| format!("producer-{}", row % PRODUCERS + 1)));
    let sequence = Int64Array::from_iter_values(rows.map(|row| (row / PRODUCERS) as i64));
    let amount = amount.finish().with_precision_and_scale(10, 2);
    let amount = amount.map_err(|cause| Error::internal("generated amounts do not fit").with_source(cause))?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(event_id.finish()),
        Arc::new(ts.finish().with_timezone("UTC")),
        Arc::new(user_id.finish()),
        Arc::new(kind.finish()),
        Arc::new(device.finish()),
        Arc::new(amount),
        Arc::new(properties.finish()),
        Arc::new(producer),
        Arc::new(sequence),
    ];
    record_batch(schema(), columns)
}

/// A random UUID of version 4.
fn uuid(draw: &mut Draw) -> String {
    let (high, low) = (draw.below(u64::MAX), draw.below(u64::MAX));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

/// When a row happened. Rows follow each other evenly; a late one happened before its neighbours.
fn time(row: u64, total: u64, draw: &mut Draw) -> i64 {
    let arrival = (u128::from(SPAN) * u128::from(row) / u128::from(total.max(1))) as i64;
    let lateness = if draw.chance(0.01) { draw.exponential(LATENESS) as i64 } else { 0 };
    START + (arrival - lateness).max(0)
}

fn properties_of(event: &str, draw: &mut Draw) -> String {
    match event {
        "purchase" | "add_to_cart" => {
            let (items, sku) = (draw.below(5) + 1, draw.below(10_000));
            format!(r#"{{"items":{items},"sku":"SKU-{sku:05}","coupon":{}}}"#, draw.chance(0.1))
        }
        "search" => format!(r#"{{"terms":{},"results":{}}}"#, draw.below(6) + 1, draw.below(500)),
        "error" => format!(r#"{{"status":{}}}"#, draw.pick(&[400, 404, 409, 500, 503])),
        _ => format!(r#"{{"path":"{}","duration_ms":{}}}"#, draw.pick_early(PATHS), draw.below(5_000)),
    }
}
