//! `sample`: sequential ids, dates, categories, normal and exponential values, flags, strings.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanBuilder, Date32Array, Float64Builder, Int64Array, StringBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    record_batch::RecordBatch,
};
use lakebed_types::Result;

use super::draw::{Draw, record_batch};

/// 2024-01-01 in days since 1970-01-01.
const FIRST_DAY: u64 = 19_723;
/// Rows of one date. So dates rise with the ids, and statistics of row groups can exclude by date.
const ROWS_PER_DAY: u64 = 1_000;
/// After ten years the dates begin again.
const DAYS: u64 = 3_653;
const MICROSECONDS_PER_DAY: u64 = 86_400_000_000;

const CATEGORIES: &[&str] = &["books", "clothing", "electronics", "food", "garden", "music", "sports", "toys"];
const FIRST_NAMES: &[&str] = &[
    "Ada",
    "Alan",
    "Barbara",
    "Chioma",
    "Dennis",
    "Edsger",
    "Frances",
    "Grace",
    "Hedy",
    "Ingrid",
    "Jürgen",
    "Katherine",
    "Leslie",
    "María",
    "Niklaus",
    "Olga",
    "Per",
    "Radia",
    "Sofía",
    "Tim",
    "Umberto",
    "Vint",
    "Wei",
    "Yukihiro",
    "Zoë",
];
const LAST_NAMES: &[&str] = &[
    "Anders",
    "Bakker",
    "Costa",
    "Dubois",
    "Eriksson",
    "Fischer",
    "García",
    "Haddad",
    "Ivanova",
    "Jansen",
    "Kim",
    "Larsen",
    "Müller",
    "Nakamura",
    "O'Brien",
    "Papadopoulos",
    "Quinn",
    "Rossi",
    "Silva",
    "Tanaka",
    "Ueda",
    "Varga",
    "Wang",
    "Young",
    "Zhang",
];
const NOTES: &[&str] =
    &["first order", "returned, then reordered", "gift wrapped", "says \"thank you\"", "call before delivery"];

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("date", DataType::Date32, false),
        Field::new("category", DataType::Utf8, false),
        Field::new("value_normal", DataType::Float64, false),
        Field::new("value_exponential", DataType::Float64, false),
        Field::new("flag", DataType::Boolean, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("created_at", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("note", DataType::Utf8, true),
    ]))
}

/// The rows of this range; the id of a row is its place, from 1 on.
pub(super) fn batch(rows: Range<u64>, draw: &mut Draw) -> Result<RecordBatch> {
    let day = |row: u64| FIRST_DAY + row / ROWS_PER_DAY % DAYS;
    let ids = Int64Array::from_iter_values(rows.clone().map(|row| row as i64 + 1));
    let dates = Date32Array::from_iter_values(rows.clone().map(|row| day(row) as i32));
    let mut category = StringBuilder::new();
    let mut normal = Float64Builder::new();
    let mut exponential = Float64Builder::new();
    let mut flag = BooleanBuilder::new();
    let mut name = StringBuilder::new();
    let mut created_at = TimestampMicrosecondBuilder::new();
    let mut note = StringBuilder::new();
    for row in rows {
        category.append_value(draw.pick_early(CATEGORIES));
        normal.append_value(draw.normal(100.0, 15.0));
        exponential.append_value(draw.exponential(10.0));
        flag.append_value(draw.chance(0.5));
        name.append_value(format!("{} {}", draw.pick(FIRST_NAMES), draw.pick(LAST_NAMES)));
        created_at.append_value((day(row) * MICROSECONDS_PER_DAY + draw.below(MICROSECONDS_PER_DAY)) as i64);
        note.append_option(draw.chance(0.3).then(|| draw.pick(NOTES)));
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids),
        Arc::new(dates),
        Arc::new(category.finish()),
        Arc::new(normal.finish()),
        Arc::new(exponential.finish()),
        Arc::new(flag.finish()),
        Arc::new(name.finish()),
        Arc::new(created_at.finish()),
        Arc::new(note.finish()),
    ];
    record_batch(schema(), columns)
}
