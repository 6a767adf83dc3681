//! Tables for rows that come in: declared, made from rules or from the first rows, and those of rejects.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use lakebed_access::Principal;
use lakebed_catalog::{CreateDeltaTable, TableKind};
use lakebed_storage::{Location, Mode};
use lakebed_tables::{DeltaState, DeltaTable, probe_conditional_put};
use lakebed_types::{Error, ErrorKind, Result, StatementKind, TableName, parse_sql_type};
use uuid::Uuid;

use crate::{
    harmonize::{self, Plan},
    inner::Inner,
    rejects,
    rules::{TableRules, Unknown},
    table::{IngestTable, parse_rules},
};

/// Makes a table, or changes the rules of one that is there. Whether it is new.
pub(crate) async fn create(
    inner: &Arc<Inner>,
    who: &Principal,
    name: &TableName,
    schema: Option<SchemaRef>,
    rules: TableRules,
    comment: Option<String>,
    location: Option<Location>,
) -> Result<bool> {
    may_create(who, name)?;
    // As the catalog has it: with and without a slash at its end it is the same place.
    let location = location.map(|location| location.as_folder());
    if location.is_some() {
        who.may_use_paths("make tables of locations")?;
    }
    match inner.catalog.seen_by(who).table(name).await {
        Ok(table) => {
            let TableKind::Delta { location: there, rules: earlier, .. } = &table.kind else {
                return Err(Error::new(ErrorKind::AlreadyExists, format!("`{name}` is there, and takes no rows"))
                    .with_hint("Choose another name, or drop it first."));
            };
            if location.is_some_and(|location| location != *there) {
                return Err(Error::new(ErrorKind::AlreadyExists, format!("`{name}` is there, at {there}"))
                    .with_hint("Choose another name, or drop it first."));
            }
            fits(name, &table.schema, schema)?;
            change(inner, &table.name, &parse_rules(earlier)?, rules, comment).await?;
            Ok(false)
        }
        Err(error) if error.kind() == ErrorKind::TableNotFound => {
            match location {
                Some(location) => attach(inner, name, location, schema, rules, comment).await?,
                None => declare(inner, name, columns(schema.as_deref(), &rules)?, rules, comment, None).await?,
            }
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

/// Makes a table with these columns and no rules. Whether it is new: one that is there is left as it is.
pub(crate) async fn of_rows(inner: &Inner, name: &TableName, schema: &Schema) -> Result<bool> {
    let rules = TableRules::default();
    match declare(inner, name, columns(Some(schema), &rules)?, rules, None, None).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether this principal may make the table, or change its rules.
///
/// # Errors
/// `permission_denied`.
pub(crate) fn may_create(who: &Principal, name: &TableName) -> Result<()> {
    who.may_run(StatementKind::Insert)?;
    who.may_create_table(name)
}

/// Other rules for a table that is there.
async fn change(
    inner: &Inner,
    name: &TableName,
    earlier: &TableRules,
    rules: TableRules,
    comment: Option<String>,
) -> Result<()> {
    let state = inner.catalog.delta(name).await?.state();
    let rules = as_made(name, &state, rules)?;
    if let (Some(day), None) = (&earlier.day, &rules.day) {
        let message = format!("`{name}` has a folder for each day, so its rules have to say whose");
        return Err(Error::invalid_request(message)
            .with_hint(format!("Leave `\"day\": {{\"from\": \"{}\"}}` in `ingest`.", day.from)));
    }
    Plan::new(state.schema().clone(), &rules, 1)?;
    inner.catalog.set_table_rules(name, &json(&rules)?, comment.as_deref()).await
}

/// The rules with what is fixed since the table was made: by what it is partitioned and how its files are sorted.
fn as_made(name: &TableName, state: &DeltaState, mut rules: TableRules) -> Result<TableRules> {
    let partition = state.partition_column();
    if let Some(day) = &rules.day
        && partition != Some(&day.column)
    {
        return Err(Error::invalid_request(format!("`{name}` has no partitions by `{}`", day.column))
            .with_hint("What a table is partitioned by is said when it is made."));
    }
    let sort = state.sort_columns();
    if !rules.sort.is_empty() && rules.sort != sort {
        let by = if sort.is_empty() { "not sorted".to_owned() } else { format!("sorted by {}", sort.join(", ")) };
        return Err(Error::invalid_request(format!("the files of `{name}` are {by}"))
            .with_hint("Leave `sort` out: how files are sorted is said when a table is made."));
    }
    rules.sort = sort;
    Ok(rules)
}

/// Fails where the columns that are declared are not those that are there.
fn fits(name: &TableName, there: &SchemaRef, declared: Option<SchemaRef>) -> Result<()> {
    let plain = declared.map(|schema| harmonize::table_schema(&schema)).transpose()?;
    for field in plain.iter().flat_map(|schema| schema.fields()) {
        let same = there.field_with_name(field.name()).is_ok_and(|known| known.data_type() == field.data_type());
        if !same {
            let message = format!("`{name}` is there, and has no column `{}` of this type", field.name());
            return Err(
                Error::new(ErrorKind::AlreadyExists, message).with_hint("Drop it first, or leave the columns out.")
            );
        }
    }
    Ok(())
}

/// A table over a Delta table that is there already, such as one that another node writes.
async fn attach(
    inner: &Inner,
    name: &TableName,
    location: Location,
    declared: Option<SchemaRef>,
    rules: TableRules,
    comment: Option<String>,
) -> Result<()> {
    let storage = inner.catalog.storage();
    storage.check(&location, Mode::ReadWrite)?;
    for known in inner.catalog.seen_by(&Principal::system("ingest")).all_tables().await? {
        if matches!(&known.kind, TableKind::Delta { location: there, .. } if *there == location) {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("`{}` is the table at {location}", known.name))
                .with_hint("A Delta table has one name on a server."));
        }
    }
    let state = DeltaTable::open(storage, location.clone(), inner.clock.clone()).await?.state();
    fits(name, state.schema(), declared)?;
    let rules = as_made(name, &state, rules)?;
    if let (Some(column), None) = (state.partition_column(), &rules.day)
        && !rules.columns.contains_key(column)
    {
        return Err(Error::invalid_request(format!("the table at {location} is partitioned by `{column}`")).with_hint(
            "Say in `ingest` from what its day is made (`day`), or name it under `columns` if rows bring it.",
        ));
    }
    declare(inner, name, state.schema().clone(), rules, comment, Some(location)).await
}

async fn declare(
    inner: &Inner,
    name: &TableName,
    schema: SchemaRef,
    rules: TableRules,
    comment: Option<String>,
    existing: Option<Location>,
) -> Result<()> {
    let lake = inner.settings.lake.clone().or_else(|| existing.clone()).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "no tables can be made here").with_hint("Set the lake's location.")
    })?;
    Plan::new(schema.clone(), &rules, 1)?;
    inner.probe(existing.as_ref().unwrap_or(&lake)).await?;
    let request = CreateDeltaTable {
        name: name.clone(),
        lake,
        schema,
        partition_column: rules.day.as_ref().map(|day| day.column.clone()),
        sort_columns: rules.sort.clone(),
        rules: json(&rules)?,
        comment,
        existing,
        if_not_exists: false,
    };
    inner.catalog.create_delta_table(request).await.map(drop)
}

impl Inner {
    /// Finds out, once in this process for all tables of the lake, whether the store keeps two writers from making the
    /// same version. `place`: a table's folder, or the lake's.
    ///
    /// # Errors
    /// `unsupported` where it does not: one of the two would lose its rows. Those of the store.
    pub(crate) async fn probe(&self, place: &Location) -> Result<()> {
        let folder = self.settings.lake.as_ref().filter(|lake| lake.contains(place)).unwrap_or(place);
        if self.probed.lock().contains(folder) {
            return Ok(());
        }
        probe_conditional_put(self.catalog.storage(), folder, &format!("_probe-{}", Uuid::new_v4())).await?;
        self.probed.lock().insert(folder.clone());
        Ok(())
    }
}

/// The declared columns, and those that the rules make.
fn columns(schema: Option<&Schema>, rules: &TableRules) -> Result<SchemaRef> {
    let mut fields: Vec<FieldRef> = match schema {
        Some(schema) => schema.fields().iter().cloned().collect(),
        None => Vec::new(),
    };
    for (name, column) in &rules.columns {
        let Some(data_type) = &column.data_type else { continue };
        let declared = Arc::new(Field::new(name, parse_sql_type(data_type)?, true));
        match fields.iter().find(|field| field.name() == name) {
            None => fields.push(declared),
            Some(field) if field.data_type() == declared.data_type() => {}
            Some(_) => return Err(Error::invalid_request(format!("column `{name}` is declared with two types"))),
        }
    }
    if fields.is_empty() {
        return Err(Error::invalid_request("a table needs columns").with_hint("Declare them under `columns`."));
    }
    let day = rules.day.as_ref().map(|day| Field::new(&day.column, DataType::Date32, true));
    let unknown = match &rules.unknown {
        Unknown::Column(name) => Some(Field::new(name, DataType::Utf8, true)),
        Unknown::Reject | Unknown::Add => None,
    };
    for made in unknown.into_iter().chain(day) {
        if fields.iter().all(|field| field.name() != made.name()) {
            fields.push(Arc::new(made));
        }
    }
    harmonize::table_schema(&Schema::new(fields))
}

/// The table of another one's rejects, made where it is not there.
pub(crate) async fn rejects(inner: &Arc<Inner>, table: &TableName) -> Result<Arc<IngestTable>> {
    let name = rejects::name_of(table)?;
    let duty = Principal::system("ingest");
    if let Err(error) = inner.catalog.seen_by(&duty).table(&name).await {
        if error.kind() != ErrorKind::TableNotFound {
            return Err(error);
        }
        let comment = format!("Rows that were refused for {table}");
        match declare(inner, &name, rejects::schema(), rejects::rules(), Some(comment), None).await {
            // Somebody else was first.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let table = inner.declared(&duty, &name).await?.table;
    // Whoever made it: rows that do not fit would stand in the way of every flush.
    let there = table.delta.state();
    let fits = |field: &FieldRef| {
        there.schema().field_with_name(field.name()).is_ok_and(|known| known.data_type() == field.data_type())
    };
    match rejects::schema().fields().iter().find(|field| !fits(field)) {
        None => Ok(table),
        Some(field) => {
            let message = format!(
                "`{name}` cannot keep refused rows: it has no column `{}` of type {}",
                field.name(),
                field.data_type()
            );
            Err(Error::new(ErrorKind::SchemaConflict, message).with_hint("Drop it: it is made when it is needed."))
        }
    }
}

fn json(rules: &TableRules) -> Result<String> {
    serde_json::to_string(rules).map_err(|error| Error::internal("rules have no JSON").with_source(error))
}
