//! Which types a table may have, and what the others become.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use lakebed_tables::lake_schema;
use lakebed_types::{Error, ErrorKind, Result, sql_type_name};

/// The columns of a table in the lake, for columns of any types.
///
/// # Errors
/// `unsupported` for types that a Delta table has no place for.
pub(crate) fn table_schema(schema: &Schema) -> Result<SchemaRef> {
    let field = |field: &FieldRef| -> Result<Field> {
        let data_type = table_type(field.data_type()).ok_or_else(|| {
            let name = sql_type_name(field.data_type());
            Error::new(ErrorKind::Unsupported, format!("column `{}` is {name}, which no Delta table has", field.name()))
                .with_hint(
                    "Use BIGINT, DOUBLE, DECIMAL, BOOLEAN, VARCHAR, VARBINARY, DATE or TIMESTAMP WITH TIME ZONE.",
                )
        })?;
        Ok(Field::new(field.name(), data_type, true))
    };
    let fields = schema.fields().iter().map(field).collect::<Result<Vec<_>>>()?;
    // Names inside of lists and maps are those that the log gives back.
    lake_schema(&Schema::new(fields))
}

/// What a type becomes. Integers without a sign get one and room for it; times are kept in UTC, in microseconds.
fn table_type(data_type: &DataType) -> Option<DataType> {
    use DataType as D;
    Some(match data_type {
        D::Boolean | D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::Float32 | D::Float64 | D::Date32 => {
            data_type.clone()
        }
        D::UInt8 => D::Int16,
        D::UInt16 => D::Int32,
        D::UInt32 => D::Int64,
        D::UInt64 => D::Decimal128(20, 0),
        D::Float16 => D::Float32,
        D::Date64 => D::Date32,
        D::Timestamp(_, _) => D::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        D::Null | D::Utf8 | D::LargeUtf8 | D::Utf8View => D::Utf8,
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => D::Binary,
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) if *s >= 0 => D::Decimal128(*p, *s),
        D::Dictionary(_, values) => table_type(values)?,
        D::List(item) | D::LargeList(item) | D::FixedSizeList(item, _) => D::List(table_field(item)?),
        // No Parquet file has a place for one without members.
        D::Struct(fields) if fields.is_empty() => return None,
        D::Struct(fields) => D::Struct(fields.iter().map(table_field).collect::<Option<_>>()?),
        D::Map(entries, sorted) => match entries.data_type() {
            D::Struct(fields) if fields.len() == 2 => {
                let key = Arc::new(fields[0].as_ref().clone().with_data_type(table_type(fields[0].data_type())?));
                let inner = D::Struct([key, table_field(&fields[1])?].into_iter().collect());
                D::Map(Arc::new(entries.as_ref().clone().with_data_type(inner)), *sorted)
            }
            _ => return None,
        },
        _ => return None,
    })
}

fn table_field(field: &FieldRef) -> Option<FieldRef> {
    Some(Arc::new(Field::new(field.name(), table_type(field.data_type())?, true)))
}

/// What a text format's decoder is told: the type's nesting, with text wherever there is a value. One place says then
/// what a text means, and which text means nothing.
pub(super) fn as_text_type(data_type: &DataType) -> DataType {
    let inner = |field: &FieldRef| -> FieldRef {
        Arc::new(field.as_ref().clone().with_data_type(as_text_type(field.data_type())))
    };
    match data_type {
        DataType::List(item) => DataType::List(inner(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        _ => DataType::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_no_struct_without_members() {
        let empty = || DataType::Struct(arrow::datatypes::Fields::empty());
        let inside = DataType::Struct([Field::new("in", empty(), true)].into_iter().collect());
        for data_type in [empty(), DataType::new_list(empty(), true), inside] {
            let error = table_schema(&Schema::new(vec![Field::new("x", data_type, true)])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.message().contains("column `x`"), "{error:?}");
        }
    }
}
