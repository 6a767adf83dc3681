//! Statements that change or write something, checked against the catalog, the configuration and the principal's rights.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit},
};
use lakebed_catalog::{CreateTable, TableKind};
use lakebed_formats::Format;
use lakebed_storage::{Location, Mode};
use lakebed_tables::{FileKind, TextOptions};
use lakebed_types::{DatabaseName, Error, ErrorKind, Result, TableName, parse_sql_type};

use crate::{
    change::Change,
    error::from_engine,
    plan::RowsPlan,
    prepare::Preparation,
    resolve::table_name,
    service::Engine,
    sql::{self, Ast, QualifiedName},
    system,
    work::Work,
    write::{Source, Target, Write},
};

/// Options of a CTAS that say what happens anyway.
const HARMLESS_OPTIONS: &[&str] = &["write_compression", "parquet_compression", "table_type", "is_external"];

/// The work of a query into files.
pub(crate) fn write(rows: RowsPlan, target: Target) -> Work {
    Work::Write(Box::new(Write { source: Source::Query(Box::new(rows)), target }))
}

/// The change that a statement without a query asks for.
pub(crate) fn change(preparation: &Preparation<'_>, ast: Ast) -> Result<Work> {
    let database = &preparation.options.database;
    let change = match ast {
        Ast::CreateDatabase { name, if_not_exists, location } => {
            if location.is_some() {
                return Err(unsupported("a database has no location", "Leave LOCATION out; tables have one."));
            }
            Change::CreateDatabase { name: DatabaseName::new(name.table())?, if_not_exists, comment: None }
        }
        Ast::DropDatabase { name, if_exists, cascade } => {
            Change::DropDatabase { name: DatabaseName::new(name.table())?, if_exists, cascade }
        }
        Ast::DropTable { name, if_exists } => {
            Change::DropTable { name: table_name(&name, database)?, if_exists, view: false }
        }
        Ast::DropView { name, if_exists } => {
            Change::DropTable { name: table_name(&name, database)?, if_exists, view: true }
        }
        Ast::CreateExternalTable(table) => Change::CreateTable(external_table(preparation, table)?),
        _ => return Err(Error::internal("a statement has no work")),
    };
    Ok(Work::Change(Box::new(change)))
}

fn unsupported(what: &str, hint: &str) -> Error {
    Error::new(ErrorKind::Unsupported, what).with_hint(hint)
}

fn external_table(preparation: &Preparation<'_>, table: sql::CreateExternalTable) -> Result<CreateTable> {
    preparation.who.may_use_paths("declare tables over files")?;
    let location = Location::parse(&table.location)?;
    preparation.engine.catalog.storage().check(&location, Mode::Read)?;
    let kind = table.format.as_deref().map(file_kind).transpose()?;
    let partitions = table.partitioned_by;
    Ok(CreateTable {
        name: table_name(&table.name, &preparation.options.database)?,
        location,
        schema: declared_schema(&table.columns)?,
        partition_columns: (!partitions.is_empty()).then_some(partitions),
        written: None,
        kind,
        text: text_options(&table.options)?,
        freshness: None,
        comment: None,
        if_not_exists: table.if_not_exists,
        or_replace: table.or_replace,
    })
}

fn file_kind(format: &str) -> Result<FileKind> {
    match format {
        "parquet" => Ok(FileKind::Parquet),
        "csv" | "tsv" | "textfile" => Ok(FileKind::Csv),
        "json" | "ndjson" => Ok(FileKind::NdJson),
        other => Err(unsupported(&format!("format `{other}` is not supported"), "Use PARQUET, CSV or JSON.")),
    }
}

fn declared_schema(columns: &[sql::ColumnDefinition]) -> Result<Option<SchemaRef>> {
    if columns.is_empty() {
        return Ok(None);
    }
    let field = |column: &sql::ColumnDefinition| {
        let data_type = parse_sql_type(&column.sql_type).map_err(|e| e.context(format!("column `{}`", column.name)))?;
        Ok(Field::new(&column.name, data_type, true))
    };
    let fields = columns.iter().map(field).collect::<Result<Vec<_>>>()?;
    Ok(Some(Arc::new(Schema::new(fields))))
}

/// None where the statement says nothing: the files are looked at.
fn text_options(options: &[(String, String)]) -> Result<Option<TextOptions>> {
    if options.is_empty() {
        return Ok(None);
    }
    let mut text = TextOptions::default();
    for (name, value) in options {
        match name.trim_start_matches("format.") {
            "delimiter" | "delim" | "sep" | "field.delim" => text.delimiter = one_byte(name, value)?,
            "quote" => text.quote = one_byte(name, value)?,
            "escape" => text.escape = Some(one_byte(name, value)?),
            "header" | "has_header" => {
                text.header = matches!(value.to_lowercase().as_str(), "true" | "1" | "on" | "yes")
            }
            "null_value" | "null" | "nullstr" => text.null_texts = vec![value.clone()],
            _ => {
                let what = format!("option `{name}` is not supported");
                return Err(unsupported(&what, "The options are delimiter, quote, escape, header and null_value."));
            }
        }
    }
    Ok(Some(text))
}

fn one_byte(name: &str, value: &str) -> Result<u8> {
    let value = if value == "\\t" { "\t" } else { value };
    match value.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(Error::invalid_request(format!("option `{name}` is one ASCII character"))),
    }
}

/// Where `COPY … TO` goes, and in which format.
pub(crate) fn copy_target(engine: &Engine, copy: &sql::CopyTo) -> Result<Target> {
    if !copy.partitioned_by.is_empty() {
        return Err(unsupported(
            "COPY writes one file; PARTITIONED BY is not supported",
            "Filter, and copy each part.",
        ));
    }
    if let Some((name, _)) = copy.options.iter().find(|(name, _)| !matches!(name.as_str(), "header" | "has_header")) {
        return Err(unsupported(&format!("option `{name}` is not supported"), "COPY … TO takes FORMAT."));
    }
    let location = Location::parse(&copy.target)?;
    engine.catalog.storage().check(&location, Mode::ReadWrite)?;
    if location.is_folder() {
        return Err(Error::invalid_request(format!("{location} is a folder"))
            .with_hint("Name the file to write, such as result.parquet."));
    }
    let ending = location.file_name().rsplit_once('.').map(|(_, ending)| ending.to_lowercase());
    let format = match (copy.format.as_deref(), ending.as_deref()) {
        (Some(format), _) => copy_format(format),
        (None, Some(ending)) => copy_format(ending),
        (None, None) => None,
    };
    let format = format.ok_or_else(|| {
        unsupported(
            &format!("the format of {location} is not known"),
            "Name a file that ends in .parquet, .csv, .json, .ndjson or .arrow, or add STORED AS.",
        )
    })?;
    Ok(Target::File { location, format })
}

/// `json` means one object a line, which can be read back and written with flat memory.
fn copy_format(name: &str) -> Option<Format> {
    match name {
        "json" | "jsonl" => Some(Format::NdJson),
        other => Format::from_name(other),
    }
}

/// Where a CTAS goes. None: the table is there, and that is all right.
pub(crate) async fn new_table(preparation: &Preparation<'_>, table: &sql::CreateTableAs) -> Result<Option<Target>> {
    let name = table_name(&table.name, &preparation.options.database)?;
    check_table_clauses(table)?;
    let location = table.location.as_deref();
    let there = match (table.if_not_exists, table.or_replace) {
        (true, _) => IfThere::Stay,
        (false, true) => IfThere::Replace,
        (false, false) => IfThere::Fail,
    };
    managed_table(preparation, name, location, there).await
}

/// What happens where there is a table of the name of a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfThere {
    Stay,
    Replace,
    Fail,
}

/// A new table whose files the server writes. None: it is there, and that is all right.
pub(crate) async fn managed_table(
    preparation: &Preparation<'_>,
    name: TableName,
    location: Option<&str>,
    there: IfThere,
) -> Result<Option<Target>> {
    let engine = preparation.engine;
    if system::is_system(name.database()) {
        return Err(Error::new(
            ErrorKind::PermissionDenied,
            format!("database {} belongs to the server", name.database()),
        ));
    }
    preparation.who.may_create_table(&name)?;
    if location.is_some() {
        preparation.who.may_use_paths("choose where a table is written")?;
    }
    let seen = engine.catalog.seen_by(preparation.who);
    let location = match (location, &engine.settings.lake) {
        (Some(location), _) => Location::parse(&format!("{}/", location.trim_end_matches('/')))?,
        (None, Some(lake)) => lake.clone(),
        (None, None) => {
            return Err(Error::new(ErrorKind::Unsupported, "there is no lake to write tables to")
                .with_hint("Start the server with --lake LOCATION, or add LOCATION '…' to the statement."));
        }
    };
    engine.catalog.storage().check(&location, Mode::ReadWrite)?;
    seen.database(name.database()).await?;
    match seen.table(&name).await {
        Ok(_) if there == IfThere::Stay => return Ok(None),
        Ok(table) if there == IfThere::Fail || matches!(table.kind, TableKind::Delta { .. }) => {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("there is a table {name} already"))
                .with_hint("Use CREATE OR REPLACE TABLE, or another name."));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::TableNotFound => {}
        Err(error) => return Err(error),
    }
    Ok(Some(Target::NewTable { name, lake: location, or_replace: there == IfThere::Replace }))
}

fn check_table_clauses(table: &sql::CreateTableAs) -> Result<()> {
    if table.format.as_deref().is_some_and(|format| format != "parquet") {
        return Err(unsupported("managed tables are Parquet", "Leave the format out, or use COPY … TO."));
    }
    if !table.partitioned_by.is_empty() {
        return Err(unsupported("PARTITIONED BY is not supported for new tables", "Leave it out."));
    }
    match table.options.iter().find(|(name, _)| !HARMLESS_OPTIONS.contains(&name.as_str())) {
        Some((name, _)) => Err(unsupported(&format!("option `{name}` is not supported"), "Leave it out.")),
        None => Ok(()),
    }
}

/// The work of `CREATE VIEW`.
pub(crate) async fn create_view(preparation: &Preparation<'_>, view: sql::CreateView, rows: &RowsPlan) -> Result<Work> {
    let name = table_name(&view.name, &preparation.options.database)?;
    preparation.who.may_create_table(&name)?;
    let exists = match preparation.engine.catalog.seen_by(preparation.who).table(&name).await {
        Ok(table) => Some(table),
        Err(error) if error.kind() == ErrorKind::TableNotFound => None,
        Err(error) => return Err(error),
    };
    if exists.is_some() && view.if_not_exists {
        return Ok(Work::Ready(vec![crate::table_rows::status(format!("there is a view {name} already"))?]));
    }
    if matches!(exists.map(|table| table.kind), Some(TableKind::Files { .. } | TableKind::Delta { .. })) {
        return Err(Error::new(ErrorKind::AlreadyExists, format!("{name} is a table, not a view")));
    }
    let (sql, schema) = with_column_names(&view, rows)?;
    Ok(Work::Change(Box::new(Change::CreateView { name, sql, schema, or_replace: view.or_replace })))
}

/// `CREATE VIEW v (a, b) AS …` keeps its column names by a query around the query.
fn with_column_names(view: &sql::CreateView, rows: &RowsPlan) -> Result<(String, SchemaRef)> {
    if view.columns.is_empty() {
        return Ok((view.query_sql.clone(), rows.schema.clone()));
    }
    let fields = rows.schema.fields();
    if fields.len() != view.columns.len() {
        let text = format!("the view names {} columns and its query has {}", view.columns.len(), fields.len());
        return Err(Error::new(ErrorKind::InvalidQuery, text));
    }
    let renamed = fields.iter().zip(&view.columns).map(|(field, name)| field.as_ref().clone().with_name(name));
    let schema = Arc::new(Schema::new(renamed.collect::<Vec<_>>()));
    let names = view.columns.iter().map(|name| sql::quote_identifier(name)).collect::<Vec<_>>().join(", ");
    Ok((format!("WITH named ({names}) AS (\n{}\n) SELECT * FROM named", view.query_sql), schema))
}

/// An `INSERT` into a managed table.
pub(crate) struct Insert {
    name: TableName,
    folder: Location,
    schema: SchemaRef,
    columns: Vec<String>,
}

impl Insert {
    pub(crate) async fn find(
        preparation: &Preparation<'_>,
        table: &QualifiedName,
        columns: Vec<String>,
    ) -> Result<Self> {
        let name = table_name(table, &preparation.options.database)?;
        Self::into_table(preparation, name, columns).await
    }

    /// Into the table of this name. `columns`: those that are given; empty for all.
    pub(crate) async fn into_table(
        preparation: &Preparation<'_>,
        name: TableName,
        columns: Vec<String>,
    ) -> Result<Self> {
        let table = preparation.engine.catalog.seen_by(preparation.who).table(&name).await?;
        let lake = preparation.engine.settings.lake.as_ref();
        match table.kind {
            TableKind::Files { location, kind: FileKind::Parquet, partition_columns, .. }
                if partition_columns.is_empty() && lake.is_some_and(|lake| lake.contains(&location)) =>
            {
                preparation.engine.catalog.storage().check(&location, Mode::ReadWrite)?;
                let insert = Self { name, folder: location, schema: table.schema, columns };
                insert.check_columns()?;
                Ok(insert)
            }
            TableKind::Delta { .. } => {
                let text = format!("{name} takes rows over HTTP only, so nothing can be inserted");
                let rows = format!("/v1/databases/{}/tables/{}/rows", name.database(), name.table());
                Err(Error::new(ErrorKind::Unsupported, text).with_hint(format!("Send the rows to `POST {rows}`.")))
            }
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                format!("{name} is not a managed table, so nothing can be inserted"),
            )
            .with_hint(
                "INSERT works for tables made by CREATE TABLE … AS; add files to the others and they are found.",
            )),
        }
    }

    fn check_columns(&self) -> Result<()> {
        let known = |name: &String| self.schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
        match self.columns.iter().find(|name| !known(name)) {
            Some(name) => Err(Error::new(ErrorKind::UnknownColumn, format!("{} has no column `{name}`", self.name))),
            None => Ok(()),
        }
    }

    /// The columns that the query gives, in its order.
    pub(crate) fn given(&self) -> Vec<FieldRef> {
        let fields = self.schema.fields();
        if self.columns.is_empty() {
            return fields.iter().cloned().collect();
        }
        let named = |name: &String| fields.iter().find(|field| field.name().eq_ignore_ascii_case(name)).cloned();
        self.columns.iter().filter_map(named).collect()
    }

    /// The columns of the table.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn target(&self) -> Target {
        Target::Append { name: self.name.clone(), folder: self.folder.clone() }
    }

    /// Brings the query's columns into the table's order, names and types; columns that are not named become NULL.
    pub(crate) fn shape(
        &self,
    ) -> impl FnOnce(LogicalPlan, Vec<String>) -> Result<(LogicalPlan, Vec<String>)> + Send + 'static {
        let (schema, columns, name) = (self.schema.clone(), self.columns.clone(), self.name.clone());
        move |plan, _| {
            let given = plan.schema().columns();
            let wanted = if columns.is_empty() { schema.fields().len() } else { columns.len() };
            if given.len() != wanted {
                let text = format!("INSERT into {name} takes {wanted} columns and its query has {}", given.len());
                return Err(Error::new(ErrorKind::InvalidQuery, text));
            }
            let source = |(i, field): (usize, &Arc<Field>)| {
                let at = match columns.is_empty() {
                    true => Some(i),
                    false => columns.iter().position(|column| column.eq_ignore_ascii_case(field.name())),
                };
                let value = at.map_or_else(|| lit(ScalarValue::Null), |at| Expr::Column(given[at].clone()));
                cast(value, field.data_type().clone()).alias(field.name().clone())
            };
            let projected: Vec<Expr> = schema.fields().iter().enumerate().map(source).collect();
            let names = schema.fields().iter().map(|field| field.name().clone()).collect();
            let plan = LogicalPlanBuilder::from(plan).project(projected).and_then(LogicalPlanBuilder::build);
            Ok((plan.map_err(from_engine)?, names))
        }
    }
}
