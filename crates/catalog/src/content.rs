//! What one table has, from the files that are candidates for it: columns, partition columns, files, and what does not
//! fit and why.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::{
    array::{Array, StringArray},
    compute::cast,
    datatypes::{DataType, Field, Fields, Schema, SchemaRef},
};
use lakebed_tables::{FileKind, SchemaConflict, merge_schemas, partition_type};
use lakebed_types::sql_type_name;

use crate::{
    path::{hive_keys, hive_values},
    survey::Found,
};

/// What is already settled about a table.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) kind: FileKind,
    /// Partition columns in path order; a declared one has its type, a found one gets it from its values.
    pub(crate) keys: Vec<(String, Option<DataType>)>,
    /// The declared columns of the files; None = what the files have.
    pub(crate) declared: Option<SchemaRef>,
    /// Files must share columns with these to belong here at all.
    pub(crate) like: Option<SchemaRef>,
}

/// What a table is.
#[derive(Debug)]
pub(crate) struct Content {
    /// In the files' spelling, without partition columns. None where there is no file and nothing declared.
    pub(crate) file_schema: Option<SchemaRef>,
    pub(crate) partitions: SchemaRef,
    /// One for each candidate, in their order.
    pub(crate) places: Vec<Place>,
}

/// What became of one candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is part of the table, with these partition values.
    In(Vec<Option<String>>),
    /// It is not, for this reason.
    Out(String),
}

/// The name of a kind for people.
pub(crate) fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Parquet => "Parquet",
        FileKind::Csv => "CSV",
        FileKind::NdJson => "NDJSON",
        FileKind::JsonArray => "a JSON array",
    }
}

/// Settles what a table has. Where schemas contradict each other, the one that most files have wins, and of equally
/// frequent ones the one that comes first by path. `forced` are candidates that are out for a reason already known.
pub(crate) fn settle(candidates: &[&Found], rules: &Rules, forced: &HashMap<usize, &str>) -> Content {
    let place = |(i, found): (usize, &&Found)| match forced.get(&i) {
        Some(reason) => Place::Out((*reason).to_owned()),
        None => place(found, rules),
    };
    let mut places: Vec<Place> = candidates.iter().enumerate().map(place).collect();
    let file_schema = match &rules.declared {
        Some(declared) => {
            check_declared(candidates, declared, &mut places);
            Some(Arc::clone(declared))
        }
        None => merge(candidates, &mut places),
    };
    let partitions = partition_schema(&rules.keys, &places);
    let file_schema = file_schema.map(|schema| without(&schema, &partitions));
    Content { file_schema, partitions, places }
}

fn place(found: &Found, rules: &Rules) -> Place {
    if found.kind != rules.kind {
        return Place::Out(format!("it is {}, the table is {}", kind_name(found.kind), kind_name(rules.kind)));
    }
    let (keys, wanted): (Vec<String>, Vec<&str>) =
        (hive_keys(&found.path), rules.keys.iter().map(|(key, _)| key.as_str()).collect());
    if !keys.iter().map(|key| key.to_lowercase()).eq(wanted.iter().map(|key| key.to_lowercase())) {
        return Place::Out(format!("its partition folders are {}, the table's are {}", names(&keys), names(&wanted)));
    }
    if let Some(like) = &rules.like
        && !alike(&found.schema, like)
    {
        return Place::Out("it shares less than half of its columns with the table".to_owned());
    }
    let values = hive_values(&found.path);
    match values.iter().zip(&rules.keys).find(|(value, key)| !is_of_type(value, key)) {
        Some((value, (key, declared))) => {
            let (value, declared) = (value.as_deref().unwrap_or_default(), declared.as_ref().map(type_name));
            Place::Out(format!("`{key}` is `{value}`, which is no {}", declared.unwrap_or_default()))
        }
        None => Place::In(values),
    }
}

/// Whether a partition's value can be read as its declared type.
fn is_of_type(value: &Option<String>, (_, declared): &(String, Option<DataType>)) -> bool {
    let (Some(value), Some(declared)) = (value, declared) else { return true };
    let text = StringArray::from(vec![value.as_str()]);
    cast(&text, declared).is_ok_and(|typed| typed.null_count() == 0)
}

fn names<T: AsRef<str>>(keys: &[T]) -> String {
    match keys {
        [] => "none".to_owned(),
        keys => keys.iter().map(|key| format!("`{}`", key.as_ref())).collect::<Vec<_>>().join(", "),
    }
}

/// Whether at least half of the columns of the smaller schema are in the larger one.
fn alike(left: &SchemaRef, right: &SchemaRef) -> bool {
    let names = |schema: &SchemaRef| schema.fields().iter().map(|f| f.name().to_lowercase()).collect::<HashSet<_>>();
    let (left, right) = (names(left), names(right));
    left.intersection(&right).count() * 2 >= left.len().min(right.len())
}

/// The distinct schemas of the files that are in, most frequent first, each with the index of its first file.
fn distinct(candidates: &[&Found], places: &[Place]) -> Vec<(SchemaRef, usize, usize)> {
    let mut distinct: Vec<(SchemaRef, usize, usize)> = Vec::new();
    let mut rank = HashMap::new();
    for (i, found) in candidates.iter().enumerate().filter(|(i, _)| matches!(places[*i], Place::In(_))) {
        let at = *rank.entry(Arc::as_ptr(&found.schema)).or_insert_with(|| {
            distinct.push((Arc::clone(&found.schema), i, 0));
            distinct.len() - 1
        });
        distinct[at].2 += 1;
    }
    distinct.sort_by_key(|(_, first, files)| (Reverse(*files), *first));
    distinct
}

fn merge(candidates: &[&Found], places: &mut [Place]) -> Option<SchemaRef> {
    let mut merged: Option<SchemaRef> = None;
    let mut inside: Vec<usize> = Vec::new();
    for (schema, first, _) in distinct(candidates, places) {
        let so_far = merged.as_ref().unwrap_or(&schema);
        match merge_schemas(so_far, &schema, candidates[first].kind) {
            Ok(wider) => {
                merged = Some(wider);
                inside.push(first);
            }
            Err(conflict) => {
                let reason = conflict_reason(&conflict, inside.iter().map(|file| candidates[*file]));
                leave_out(candidates, places, &schema, &reason);
            }
        }
    }
    merged
}

/// Names a file that has the column, with the type that it has there: the type so far may be wider than any file's.
fn conflict_reason<'a>(conflict: &SchemaConflict, mut inside: impl Iterator<Item = &'a Found>) -> String {
    let of = |found: &'a Found| {
        let field = found.schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(&conflict.column))?;
        Some(format!("{} in `{}`", type_name(field.data_type()), found.path))
    };
    let other = inside.find_map(of).unwrap_or_else(|| format!("{} elsewhere", type_name(&conflict.left)));
    format!("column `{}` is {} here and {other}", conflict.column, type_name(&conflict.right))
}

fn type_name(data_type: &DataType) -> String {
    sql_type_name(data_type)
}

fn leave_out(candidates: &[&Found], places: &mut [Place], schema: &SchemaRef, reason: &str) {
    for (found, place) in candidates.iter().zip(places.iter_mut()) {
        if Arc::ptr_eq(&found.schema, schema) && matches!(place, Place::In(_)) {
            *place = Place::Out(reason.to_owned());
        }
    }
}

/// A file fits a declaration if each declared column that it has widens to the declared type. Text is parsed as
/// declared, so its guessed types do not matter.
fn check_declared(candidates: &[&Found], declared: &SchemaRef, places: &mut [Place]) {
    for (schema, first, _) in distinct(candidates, places) {
        if candidates[first].kind != FileKind::Parquet {
            continue;
        }
        if let Some(reason) = declared_misfit(&schema, declared, candidates[first].kind) {
            leave_out(candidates, places, &schema, &reason);
        }
    }
}

fn declared_misfit(found: &SchemaRef, declared: &SchemaRef, kind: FileKind) -> Option<String> {
    let find = |name: &str| found.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name));
    let mut any = false;
    for wanted in declared.fields() {
        let Some(field) = find(wanted.name()) else { continue };
        any = true;
        let one = |field: &Arc<Field>| {
            let field = field.as_ref().clone().with_name(wanted.name()).with_nullable(true);
            Arc::new(Schema::new(vec![field]))
        };
        let fits = merge_schemas(&one(wanted), &one(field), kind)
            .is_ok_and(|wider| same_type(wider.field(0).data_type(), wanted.data_type()));
        if !fits {
            let (declared, found) = (type_name(wanted.data_type()), type_name(field.data_type()));
            return Some(format!("column `{}` is {found} here and declared as {declared}", wanted.name()));
        }
    }
    (!any).then(|| "it has none of the declared columns".to_owned())
}

/// Strings are one type to SQL, however Arrow lays them out.
fn same_type(left: &DataType, right: &DataType) -> bool {
    left == right
        || sql_type_name(left) == sql_type_name(right) && !matches!(left, DataType::Timestamp(..))
        || matches!((left, right), (DataType::Timestamp(_, a), DataType::Timestamp(_, b)) if a.is_some() == b.is_some())
}

fn partition_schema(keys: &[(String, Option<DataType>)], places: &[Place]) -> SchemaRef {
    let values_of = |position: usize| {
        places.iter().filter_map(move |place| match place {
            Place::In(values) => Some(values.get(position).and_then(|value| value.as_deref())),
            Place::Out(_) => None,
        })
    };
    let field = |(position, (key, declared)): (usize, &(String, Option<DataType>))| {
        let data_type = declared.clone().unwrap_or_else(|| partition_type(values_of(position)));
        Field::new(key, data_type, true)
    };
    Arc::new(Schema::new(keys.iter().enumerate().map(field).collect::<Vec<_>>()))
}

/// A column that is also a partition column comes from the path.
fn without(schema: &SchemaRef, partitions: &SchemaRef) -> SchemaRef {
    let is_partition =
        |name: &str| partitions.fields().iter().any(|field| field.name().to_lowercase() == name.to_lowercase());
    let kept: Fields = schema.fields().iter().filter(|field| !is_partition(field.name())).cloned().collect();
    Arc::new(Schema::new(kept))
}
