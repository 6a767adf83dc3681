//! The form in which a result is sent: the schema that is promised, and batches that have exactly it.
//!
//! Clients differ in what they read. Dictionaries, views and the small decimals are sent as the plain types that all of them
//! know; every column says its SQL type in the metadata that drivers look for.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
};
use lakebed_formats::cast_strictly;
use lakebed_types::{Error, ErrorKind, Result, sql_type_name};
use ring::digest;

/// Rows of a message.
const MAX_ROWS: usize = 64 << 10;
/// Bytes that a message should have, and those above which it is divided: many clients read 4 MiB at most.
const GOOD_BYTES: usize = 2 << 20;
const MAX_BYTES: usize = 3 << 20;

/// Metadata of columns, in the words of Flight SQL.
const TYPE_NAME: &str = "ARROW:FLIGHT:SQL:TYPE_NAME";
const PRECISION: &str = "ARROW:FLIGHT:SQL:PRECISION";
const SCALE: &str = "ARROW:FLIGHT:SQL:SCALE";
const IS_AUTO_INCREMENT: &str = "ARROW:FLIGHT:SQL:IS_AUTO_INCREMENT";
const IS_CASE_SENSITIVE: &str = "ARROW:FLIGHT:SQL:IS_CASE_SENSITIVE";
const IS_READ_ONLY: &str = "ARROW:FLIGHT:SQL:IS_READ_ONLY";
const IS_SEARCHABLE: &str = "ARROW:FLIGHT:SQL:IS_SEARCHABLE";

/// How one result is sent.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    schema: SchemaRef,
}

impl Shape {
    /// Of a result. `nullable`: all columns are promised to be, for a statement whose parameters may still make them so.
    pub(crate) fn of(schema: &Schema, nullable: bool) -> Self {
        let fields: Vec<Field> = schema.fields().iter().map(|field| sent(field, nullable)).collect();
        Self { schema: Arc::new(Schema::new(fields)) }
    }

    /// Of rows that have it already.
    pub(crate) fn exact(schema: SchemaRef) -> Self {
        Self { schema }
    }

    /// What is promised.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Tells one promise from another.
    pub(crate) fn digest(&self) -> Vec<u8> {
        let mut text = String::new();
        for field in self.schema.fields() {
            text.push_str(&format!("{:?} {:?} {}\n", field.name(), field.data_type(), field.is_nullable()));
        }
        digest::digest(&digest::SHA256, text.as_bytes()).as_ref()[..16].to_vec()
    }

    /// A batch in parts of a message each, with exactly the promised schema.
    ///
    /// # Errors
    /// `internal` for a batch of another schema; `invalid_value` for a value that the plain type cannot hold.
    pub(crate) fn parts(&self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let (rows, bytes) = (batch.num_rows(), bytes_of(batch));
        if rows <= MAX_ROWS && bytes <= GOOD_BYTES {
            return Ok(vec![self.fit(batch)?]);
        }
        let each = (rows * GOOD_BYTES / bytes.max(1)).clamp(1, MAX_ROWS);
        let mut parts = Vec::with_capacity(rows / each + 1);
        let mut at = 0;
        while at < rows {
            let count = each.min(rows - at);
            self.add(&batch.slice(at, count), &mut parts)?;
            at += count;
        }
        Ok(parts)
    }

    /// Rows differ in size, so what is still too large is halved.
    fn add(&self, part: &RecordBatch, parts: &mut Vec<RecordBatch>) -> Result<()> {
        let rows = part.num_rows();
        if rows > 1 && bytes_of(part) > MAX_BYTES {
            self.add(&part.slice(0, rows / 2), parts)?;
            return self.add(&part.slice(rows / 2, rows - rows / 2), parts);
        }
        parts.push(self.fit(part)?);
        Ok(())
    }

    /// A batch with exactly the promised schema.
    ///
    /// # Errors
    /// As for [`Shape::parts`].
    pub(crate) fn fit(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let fields = self.schema.fields();
        if fields.len() != batch.num_columns() {
            return Err(Error::internal("a batch has other columns than its result"));
        }
        let columns = fields.iter().zip(batch.columns()).map(|(field, column)| plain(column, field));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| Error::internal("a batch has another schema than its result").with_source(error))
    }
}

fn plain(column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    cast_strictly(column, field.data_type()).map_err(|error| {
        let what = format!("column `{}` cannot be sent as {}", field.name(), sql_type_name(field.data_type()));
        Error::new(ErrorKind::InvalidValue, what).with_source(error)
    })
}

fn sent(field: &Field, nullable: bool) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.extend(column_metadata(field.data_type()));
    let data_type = plain_type(field.data_type());
    Field::new(field.name(), data_type, nullable || field.is_nullable()).with_metadata(metadata)
}

/// The type in which values of this one are sent.
fn plain_type(data_type: &DataType) -> DataType {
    use DataType as D;
    match data_type {
        D::Utf8View => D::Utf8,
        D::BinaryView => D::Binary,
        D::Dictionary(_, values) => plain_type(values),
        D::RunEndEncoded(_, values) => plain_type(values.data_type()),
        D::Decimal32(precision, scale) | D::Decimal64(precision, scale) => D::Decimal128(*precision, *scale),
        D::List(item) | D::ListView(item) => D::List(plain_field(item)),
        D::LargeList(item) | D::LargeListView(item) => D::LargeList(plain_field(item)),
        D::FixedSizeList(item, size) => D::FixedSizeList(plain_field(item), *size),
        D::Struct(fields) => D::Struct(fields.iter().map(plain_field).collect::<Fields>()),
        D::Map(entries, sorted) => D::Map(plain_field(entries), *sorted),
        other => other.clone(),
    }
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let data_type = plain_type(field.data_type());
    if data_type == *field.data_type() {
        field.clone()
    } else {
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    }
}

/// What drivers show of a column's type.
pub(crate) fn column_metadata(data_type: &DataType) -> HashMap<String, String> {
    let is_text = data_type.is_string() || matches!(data_type, DataType::Dictionary(_, values) if values.is_string());
    let flag = |yes: bool| if yes { "1" } else { "0" }.to_owned();
    let mut metadata = HashMap::from([
        (TYPE_NAME.to_owned(), sql_type_name(data_type)),
        (IS_AUTO_INCREMENT.to_owned(), flag(false)),
        (IS_CASE_SENSITIVE.to_owned(), flag(is_text)),
        (IS_READ_ONLY.to_owned(), flag(true)),
        (IS_SEARCHABLE.to_owned(), flag(!data_type.is_nested())),
    ]);
    if let Some((precision, scale)) = precision(data_type) {
        metadata.insert(PRECISION.to_owned(), precision.to_string());
        metadata.insert(SCALE.to_owned(), scale.to_string());
    }
    metadata
}

/// Decimal digits, and those of them after the point.
fn precision(data_type: &DataType) -> Option<(u8, i8)> {
    use DataType as D;
    match data_type {
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s) => Some((*p, *s)),
        D::Int8 | D::UInt8 => Some((3, 0)),
        D::Int16 | D::UInt16 => Some((5, 0)),
        D::Int32 | D::UInt32 => Some((10, 0)),
        D::Int64 => Some((19, 0)),
        D::UInt64 => Some((20, 0)),
        _ => None,
    }
}

/// Bytes of the values of a batch, without what its buffers hold besides.
pub(crate) fn bytes_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(column_bytes).sum()
}

fn column_bytes(column: &ArrayRef) -> usize {
    let texts = match column.data_type() {
        DataType::Utf8View => column.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => column.as_binary_view().total_buffer_bytes_used(),
        _ => 0,
    };
    texts + column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Int64Array, StringArray, StringViewArray, types::Int32Type};

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn views_and_dictionaries_are_sent_as_text() {
        let view: ArrayRef = Arc::new(StringViewArray::from(vec!["a long text that is not inlined", "b"]));
        let dictionary: ArrayRef = Arc::new(vec!["x", "y"].into_iter().collect::<DictionaryArray<Int32Type>>());
        let batch = batch(vec![("view", view), ("dictionary", dictionary)]);
        let shape = Shape::of(&batch.schema(), false);
        let parts = shape.parts(&batch).unwrap();
        assert_eq!(parts[0].schema(), *shape.schema());
        for (at, wanted) in [["a long text that is not inlined", "b"], ["x", "y"]].into_iter().enumerate() {
            assert_eq!(parts[0].column(at).as_string::<i32>(), &StringArray::from(wanted.to_vec()));
        }
        assert_eq!(shape.schema().field(0).metadata()[TYPE_NAME], "VARCHAR");
    }

    #[test]
    fn parts_hold_all_rows_in_order_and_are_small() {
        let texts = (0..3_000).map(|i| "x".repeat(if i % 100 == 0 { 100_000 } else { 10 }));
        let texts: ArrayRef = Arc::new(texts.map(Some).collect::<StringArray>());
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..3_000));
        let whole = batch(vec![("text", texts), ("number", numbers)]);
        let sliced = whole.slice(500, 2_000);
        let shape = Shape::of(&whole.schema(), false);
        let parts = shape.parts(&sliced).unwrap();
        assert!(parts.iter().all(|part| bytes_of(part) <= MAX_BYTES), "{}", parts.len());
        let numbers: Vec<i64> = parts
            .iter()
            .flat_map(|part| part.column(1).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec())
            .collect();
        assert_eq!(numbers, (500..2_500).collect::<Vec<_>>());
    }

    #[test]
    fn one_huge_row_is_a_part_of_its_own() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(8 << 20), "y".into()]));
        let whole = batch(vec![("text", texts)]);
        assert_eq!(Shape::of(&whole.schema(), false).parts(&whole).unwrap().len(), 2);
    }

    #[test]
    fn a_slice_of_a_large_batch_is_one_part() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..4_000_000));
        let slice = batch(vec![("number", numbers)]).slice(1_000, 10);
        assert_eq!(Shape::of(&slice.schema(), false).parts(&slice).unwrap().len(), 1);
    }
}
