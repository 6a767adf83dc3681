//! Rows that a caller sends into a table: a new managed table, or one more file of one.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
};
use futures::StreamExt;
use lakebed_access::Principal;
use lakebed_types::{Error, ErrorKind, QueryId, Result, StatementKind, TableName};
use parking_lot::Mutex;

use crate::{
    declare::{self, IfThere, Insert},
    error::from_arrow,
    prepare::Preparation,
    prepared::{PreparedQuery, QueryOptions},
    run::BatchStream,
    service::Engine,
    settings::SqlLimits,
    sql::quote_identifier,
    table_rows::row_count_schema,
    work::Work,
    write::{Source, Target, Write},
};

/// Rows for a table.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// Where they go.
    pub table: TableName,
    /// What happens where the table is there, and where it is not.
    pub mode: IngestMode,
}

/// What an [`Ingest`] does with its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestMode {
    /// Makes it; `already_exists` where it is there.
    Create,
    /// Adds to it; `table_not_found` where it is not there.
    Append,
    /// Makes it, in place of one that is there.
    Replace,
    /// Adds to it, or makes it.
    CreateOrAppend,
}

/// Checks where the rows may go. They are read once it runs. One row with the number of rows comes back.
pub(crate) async fn prepare(
    engine: &Arc<Engine>,
    who: &Principal,
    ingest: Ingest,
    schema: SchemaRef,
    batches: BatchStream,
    options: &QueryOptions,
) -> Result<PreparedQuery> {
    let started = engine.clock.instant();
    let submitted = engine.clock.now();
    // Before anything is told of the table.
    who.may_run(StatementKind::Insert)?;
    check(&schema, &engine.settings.sql)?;
    let resources = engine.sessions.resources();
    let preparation = Preparation { engine, who, options, resources, describing: false };
    let kind = kind(&preparation, &ingest).await?;
    who.may_run(kind)?;
    let (source, target) = match kind {
        StatementKind::Insert => append(&preparation, ingest.table.clone(), &schema, batches).await?,
        _ => create(&preparation, &ingest, &schema, batches).await?,
    };
    Ok(PreparedQuery {
        id: QueryId::random(),
        sql: text(kind, &ingest.table),
        kind,
        source: options.source,
        database: options.database.clone(),
        submitted,
        schema: row_count_schema(),
        snapshots: Vec::new(),
        tables: Vec::new(),
        etag: None,
        ticket: None,
        planning: engine.clock.instant().saturating_duration_since(started),
        resources: preparation.resources,
        work: Work::Write(Box::new(Write { source, target })),
        parameters: Arc::new(Schema::empty()),
    })
}

async fn kind(preparation: &Preparation<'_>, ingest: &Ingest) -> Result<StatementKind> {
    match ingest.mode {
        IngestMode::Create | IngestMode::Replace => Ok(StatementKind::CreateTableAs),
        IngestMode::Append => Ok(StatementKind::Insert),
        IngestMode::CreateOrAppend => {
            match preparation.engine.catalog.seen_by(preparation.who).table(&ingest.table).await {
                Ok(_) => Ok(StatementKind::Insert),
                Err(error) if error.kind() == ErrorKind::TableNotFound => Ok(StatementKind::CreateTableAs),
                Err(error) => Err(error),
            }
        }
    }
}

/// As the history tells of it.
fn text(kind: StatementKind, table: &TableName) -> String {
    let name = format!("{}.{}", quote_identifier(table.database().as_str()), quote_identifier(table.table()));
    match kind {
        StatementKind::Insert => format!("INSERT INTO {name} -- rows from the client"),
        _ => format!("CREATE TABLE {name} -- rows from the client"),
    }
}

/// Columns must have names of their own, and no more of them or deeper ones than a statement's result may have.
fn check(schema: &Schema, limits: &SqlLimits) -> Result<()> {
    let count = schema.fields().len();
    if count == 0 {
        return Err(Error::invalid_request("the rows have no columns"));
    }
    if count > limits.columns {
        let text = format!("the rows have {count} columns; at most {} are allowed", limits.columns);
        return Err(Error::new(ErrorKind::QueryTooComplex, text));
    }
    let mut names = HashSet::new();
    for field in schema.fields() {
        if field.name().is_empty() {
            return Err(Error::invalid_request("a column has no name"));
        }
        if !names.insert(field.name().to_lowercase()) {
            return Err(Error::invalid_request(format!("there are two columns `{}`", field.name())));
        }
    }
    Ok(())
}

async fn create(
    preparation: &Preparation<'_>,
    ingest: &Ingest,
    schema: &SchemaRef,
    batches: BatchStream,
) -> Result<(Source, Target)> {
    let there = if ingest.mode == IngestMode::Replace { IfThere::Replace } else { IfThere::Fail };
    let target = declare::managed_table(preparation, ingest.table.clone(), None, there).await?;
    let target = target.ok_or_else(|| Error::internal("a table that must be made was left"))?;
    let fields = schema.fields().iter().map(|field| Field::new(field.name(), plain(field.data_type()), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = (0..schema.fields().len()).map(Some).collect();
    Ok((source(Columns { schema, columns }, batches), target))
}

/// Dictionaries are the sender's way of writing, not the table's.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other.clone(),
    }
}

async fn append(
    preparation: &Preparation<'_>,
    table: TableName,
    given: &SchemaRef,
    batches: BatchStream,
) -> Result<(Source, Target)> {
    let names = given.fields().iter().map(|field| field.name().clone()).collect();
    let insert = Insert::into_table(preparation, table, names).await?;
    let schema = insert.schema().clone();
    let place =
        |wanted: &FieldRef| given.fields().iter().position(|field| field.name().eq_ignore_ascii_case(wanted.name()));
    let columns = schema.fields().iter().map(place).collect();
    Ok((source(Columns { schema, columns }, batches), insert.target()))
}

fn source(columns: Columns, batches: BatchStream) -> Source {
    let schema = columns.schema.clone();
    let fitted = batches.map(move |batch| batch.and_then(|batch| columns.fit(&batch)));
    Source::Caller { schema, batches: Mutex::new(Box::pin(fitted)) }
}

/// How columns that come become those of a table.
struct Columns {
    schema: SchemaRef,
    /// For each column of the table its place among those that come; None: it is NULL.
    columns: Vec<Option<usize>>,
}

impl Columns {
    fn fit(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let one = |(field, place): (&FieldRef, &Option<usize>)| match place.and_then(|at| batch.columns().get(at)) {
            Some(column) => fit_column(column, field),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        };
        let columns = self.schema.fields().iter().zip(&self.columns).map(one).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(from_arrow)
    }
}

/// A value that does not fit is an error, never NULL.
fn fit_column(column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    if column.data_type() == field.data_type() {
        return Ok(column.clone());
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, field.data_type(), &options)
        .map_err(|error| from_arrow(error).context(format!("column `{}`", field.name())))
}
