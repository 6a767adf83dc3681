//! Nested values: each member is brought to its own type as a column is, and what is wrong with one is wrong with its row.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, make_array, new_null_array},
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, FieldRef, Fields},
    error::ArrowError,
};
use lakebed_types::{Error, Result};

use super::{Faulty, cast, column::ColumnPlan};

/// Brings nested values to the column's type.
pub(super) fn bring(values: &ArrayRef, column: &ColumnPlan, faulty: &mut Faulty) -> Result<ArrayRef> {
    let target = column.field.data_type();
    match (values.data_type(), target) {
        (DataType::Null, _) => Ok(new_null_array(target, values.len())),
        (DataType::Struct(_), DataType::Struct(fields)) => structs(values.as_struct(), fields, column, faulty),
        (DataType::List(_), DataType::List(item)) => lists(values.as_list(), item, column, faulty),
        (DataType::LargeList(from) | DataType::FixedSizeList(from, _), DataType::List(item)) => {
            let plain = cast::plain(values, &DataType::List(from.clone()), column)?;
            lists(plain.as_list(), item, column, faulty)
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => maps(values.as_map(), entries, *sorted, column, faulty),
        _ => Err(cast::cannot(values.data_type(), column)),
    }
}

fn structs(values: &StructArray, fields: &Fields, column: &ColumnPlan, faulty: &mut Faulty) -> Result<ArrayRef> {
    let name = column.field.name();
    if let Some(stranger) = values.fields().iter().find(|field| fields.find(field.name()).is_none()) {
        let member = stranger.name().escape_debug();
        return Err(Error::invalid_request(format!("column `{name}` has no member `{member}`")));
    }
    let (mut members, mut inner) = (Vec::with_capacity(fields.len()), Faulty::default());
    for field in fields {
        members.push(match values.column_by_name(field.name()) {
            Some(member) => member_of(column, format!("{name}.{}", field.name()), field).convert(member, &mut inner)?,
            None => new_null_array(field.data_type(), values.len()),
        });
    }
    inner.hand_on(faulty, |row| values.is_valid(row).then_some(row));
    let made = StructArray::try_new_with_length(fields.clone(), members, values.nulls().cloned(), values.len());
    Ok(Arc::new(made.map_err(|error| does_not_fit(column, error))?))
}

fn lists(values: &ListArray, item: &FieldRef, column: &ColumnPlan, faulty: &mut Faulty) -> Result<ArrayRef> {
    let mut inner = Faulty::default();
    let items = member_of(column, column.field.name().clone(), item).convert(values.values(), &mut inner)?;
    inner.hand_on(faulty, |place| owner(values.offsets(), values, place));
    let made = ListArray::try_new(item.clone(), values.offsets().clone(), items, values.nulls().cloned());
    Ok(Arc::new(made.map_err(|error| does_not_fit(column, error))?))
}

fn maps(
    values: &MapArray,
    entries: &FieldRef,
    sorted: bool,
    column: &ColumnPlan,
    faulty: &mut Faulty,
) -> Result<ArrayRef> {
    let DataType::Struct(fields) = entries.data_type() else { return Err(Error::internal("a map without entries")) };
    let [key, value] = &fields[..] else { return Err(Error::internal("a map without keys and values")) };
    let (name, mut inner) = (column.field.name(), Faulty::default());
    let keys = member_of(column, name.clone(), key).convert(values.keys(), &mut inner)?;
    let items = member_of(column, name.clone(), value).convert(values.values(), &mut inner)?;
    inner.hand_on(faulty, |place| owner(values.offsets(), values, place));
    let fitting = |error| does_not_fit(column, error);
    // A bad key leaves its place empty, which no map may have; its row goes anyway.
    let keys = make_array(keys.to_data().into_builder().nulls(None).build().map_err(fitting)?);
    let inside = StructArray::try_new(fields.clone(), vec![keys, items], None).map_err(fitting)?;
    let made = MapArray::try_new(entries.clone(), values.offsets().clone(), inside, values.nulls().cloned(), sorted);
    Ok(Arc::new(made.map_err(fitting)?))
}

/// The plan of a member. Rules are for columns, but for what a time means.
fn member_of(column: &ColumnPlan, name: String, field: &Field) -> ColumnPlan {
    ColumnPlan {
        field: Arc::new(Field::new(name, field.data_type().clone(), true)),
        names: Vec::new(),
        derived: false,
        required: false,
        default: None,
        allowed: Vec::new(),
        min: None,
        max: None,
        pattern: None,
        trim: false,
        case: None,
        zone: column.zone,
        zone_name: column.zone_name.clone(),
        unit: column.unit,
        scale: None,
    }
}

/// The row that an item at this place belongs to; None where it is left over from a slice or below a NULL.
fn owner(offsets: &OffsetBuffer<i32>, rows: &dyn Array, place: usize) -> Option<usize> {
    let place = i32::try_from(place).ok()?;
    let row = offsets.partition_point(|offset| *offset <= place).checked_sub(1)?;
    (row < rows.len() && rows.is_valid(row)).then_some(row)
}

fn does_not_fit(column: &ColumnPlan, error: ArrowError) -> Error {
    Error::invalid_request(format!("values of column `{}` do not fit its type", column.field.name())).with_source(error)
}

#[cfg(test)]
mod tests {
    use lakebed_types::parse_sql_type;
    use serde_json::json;

    use super::*;
    use crate::{
        RowsFormat, TableRules, decode,
        harmonize::{Plan, harmonize, rows_as_json},
    };

    fn plan(data_type: DataType) -> Plan {
        let fields = vec![Field::new("id", DataType::Int64, true), Field::new("v", data_type, true)];
        Plan::new(Arc::new(arrow::datatypes::Schema::new(fields)), &TableRules::default(), 100).unwrap()
    }

    fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new("element", item, true)))
    }

    fn record(fields: &[(&str, DataType)]) -> DataType {
        DataType::Struct(fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect())
    }

    /// What becomes of NDJSON rows: the good ones as JSON, and of the bad ones their number, field and reason.
    fn of(data_type: DataType, lines: &str) -> (Vec<serde_json::Value>, Vec<(u64, String, String)>) {
        let plan = plan(data_type);
        let decoded = decode::decode(RowsFormat::NdJson, &lines.to_owned().into(), &plan.wanted).unwrap();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for chunk in &decoded.chunks {
            let done = harmonize(chunk, &plan).unwrap();
            good.extend(rows_as_json(&done.batch).unwrap().into_iter().map(serde_json::Value::Object));
            let all = chunk.bad.iter().chain(&done.bad);
            bad.extend(all.map(|bad| (bad.row, bad.field.clone().unwrap_or_default(), bad.reason.clone())));
        }
        (good, bad)
    }

    #[test]
    fn a_fraction_is_no_integer_however_deep() {
        let data_type = record(&[("n", DataType::Int64), ("all", list(DataType::Int32))]);
        let lines = "{\"id\":1,\"v\":{\"n\":1.5}}\n{\"id\":2,\"v\":{\"n\":2.0,\"all\":[3,\"4\"]}}\n\
                     {\"id\":3,\"v\":null}\n{\"id\":4,\"v\":{\"all\":[1,2.25]}}\n{\"id\":5,\"v\":{\"all\":[]}}\n";
        let (good, bad) = of(data_type, lines);
        let ids: Vec<_> = good.iter().map(|row| row["id"].clone()).collect();
        assert_eq!(ids, [json!(2), json!(3), json!(5)]);
        assert_eq!(good[0]["v"], json!({"n": 2, "all": [3, 4]}));
        let named: Vec<_> = bad.iter().map(|(row, field, _)| (*row, field.as_str())).collect();
        assert_eq!(named, [(1, "v.n"), (4, "v.all")]);
        assert!(bad[0].2.contains("`1.5` is not a value of the type BIGINT"), "{bad:?}");
    }

    #[test]
    fn keys_and_values_of_maps_are_checked() {
        let entries = [Field::new("key", DataType::Int32, false), Field::new("value", DataType::Float32, true)];
        let inside = Field::new("key_value", DataType::Struct(entries.into_iter().collect()), false);
        let lines =
            "{\"id\":1,\"v\":{\"1\":0.5}}\n{\"id\":2,\"v\":{\"x\":1}}\n{\"id\":3,\"v\":{\"7\":1e300,\"8\":1}}\n";
        let (good, bad) = of(DataType::Map(Arc::new(inside), false), lines);
        assert_eq!(good, [json!({"id": 1, "v": [{"key": 1, "value": 0.5}]})]);
        assert_eq!(bad.iter().map(|(row, ..)| *row).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn times_and_decimals_inside_are_read_as_in_columns() {
        let time = parse_sql_type("TIMESTAMP WITH TIME ZONE").unwrap();
        let data_type = record(&[("at", time), ("price", DataType::Decimal128(10, 2))]);
        let lines = "{\"id\":1,\"v\":{\"at\":\"2024-03-01T10:00:00+02:00\",\"price\":1.25}}\n{\"id\":2,\"v\":{\"price\":1.255}}\n";
        let (good, bad) = of(data_type, lines);
        assert!(good[0]["v"]["at"].as_str().unwrap().starts_with("2024-03-01T08:00:00"), "{good:?}");
        assert_eq!(bad, [(2, "v.price".to_owned(), "`1.255` is not a value of the type DECIMAL(10,2)".to_owned())]);
    }

    #[test]
    fn items_belong_to_the_row_whose_list_they_are_in() {
        let lists: ListArray = ListArray::from_iter_primitive::<arrow::datatypes::Float64Type, _, _>([
            Some(vec![Some(0.5)]),
            Some(vec![]),
            None,
            Some(vec![Some(1.0), Some(2.5), None]),
        ]);
        for (skip, bad) in [(0, vec![0, 3]), (1, vec![2]), (3, vec![0])] {
            let values: ArrayRef = Arc::new(lists.slice(skip, lists.len() - skip));
            let (plan, mut faulty) = (plan(list(DataType::Int64)), Faulty::default());
            let brought = plan.columns[1].convert(&values, &mut faulty).unwrap();
            assert_eq!(brought.len(), values.len());
            assert_eq!(faulty.rows.keys().copied().collect::<Vec<_>>(), bad, "from {skip}");
        }
    }
}
