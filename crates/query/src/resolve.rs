//! From the names in a statement to tables with pinned snapshots, as its principal sees them. All requests to the catalog
//! and the stores that planning needs are made here, before planning starts.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::{
    catalog::{TableProvider, view::ViewTable},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
};
use futures::future::BoxFuture;
use lakebed_access::Principal;
use lakebed_catalog::TableKind;
use lakebed_tables::{BufferRows, FileKind, Snapshot};
use lakebed_types::{DatabaseName, Error, ErrorKind, Result, StatementKind, TableName};
use sha2::{Digest, Sha256};

use crate::{
    error::from_engine,
    plan,
    service::Engine,
    session::{CATALOG, NamedProvider, Resources},
    sql::{self, LocationRef, QualifiedName, ReadFunction, References},
    system,
};

/// Views over views over views.
const MAX_VIEW_DEPTH: usize = 16;

/// For so long after its time of change a local file may be changed without a difference that can be seen.
const UNSETTLED: TimeDelta = TimeDelta::seconds(2);

/// How often a newer version is asked for before a query gives up.
const PINNING_ATTEMPTS: usize = 3;

/// Tables that a statement may name.
const MAX_TABLES: usize = 256;

/// A table that a query reads.
#[derive(Debug, Clone)]
pub(crate) struct ReadTable {
    /// `database.table`, or the location as it was written.
    pub(crate) label: String,
    pub(crate) provider: Arc<dyn TableProvider>,
    /// None for tables in memory.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
}

/// Everything that a statement reads.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// By the names that the statement uses.
    pub(crate) named: Vec<NamedProvider>,
    /// Columns of `named`, in the files' spelling.
    pub(crate) spellings: Vec<SchemaRef>,
    /// What is scanned in the end, below views too.
    pub(crate) read: Vec<ReadTable>,
    /// `database.table` or location, and version; views with a hash of their text.
    pub(crate) snapshots: Vec<(String, String)>,
    /// Some of it may answer differently next time, without a new snapshot.
    pub(crate) volatile: bool,
}

impl Resolved {
    /// Column names that must keep their spelling, because another differs in case only.
    pub(crate) fn exact_names(&self) -> HashSet<String> {
        let mut exact = HashSet::new();
        for named in &self.named {
            let schema = named.provider.schema();
            let kept = schema.fields().iter().map(|field| field.name()).filter(|name| **name != name.to_lowercase());
            exact.extend(kept.cloned());
        }
        exact
    }

    /// The files' spelling of each column, by its lower case. The first table that has it decides.
    pub(crate) fn spelling(&self) -> HashMap<String, String> {
        let mut spelling = HashMap::new();
        for field in self.spellings.iter().flat_map(|schema| schema.fields()) {
            spelling.entry(field.name().to_lowercase()).or_insert_with(|| field.name().clone());
        }
        spelling
    }

    /// Whether a change of what is read could not go unnoticed. A local file that is written twice within a tick of its
    /// clock may look the same; only after a while is it known that it was not.
    pub(crate) fn is_settled(&self, now: DateTime<Utc>) -> bool {
        let local =
            self.read.iter().filter_map(|read| read.snapshot.as_ref()).filter(|read| read.location().is_local());
        local.filter_map(|snapshot| snapshot.newest_file()).all(|newest| now - newest > UNSETTLED)
    }

    fn add(&mut self, database: &str, table: &str, spelling: SchemaRef, provider: Arc<dyn TableProvider>) {
        self.named.push(NamedProvider { database: database.to_owned(), table: table.to_owned(), provider });
        self.spellings.push(spelling);
    }
}

/// Who resolves names where.
#[derive(Clone, Copy)]
pub(crate) struct Resolver<'a> {
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) who: &'a Principal,
    pub(crate) database: &'a DatabaseName,
    pub(crate) resources: &'a Resources,
}

impl<'a> Resolver<'a> {
    /// Looks up all tables and locations of a statement.
    pub(crate) async fn resolve(self, references: &References) -> Result<Resolved> {
        self.resolve_below(references, &[]).await
    }

    async fn resolve_below(self, references: &References, views: &[TableName]) -> Result<Resolved> {
        let count = references.tables.len() + references.locations.len();
        if count > MAX_TABLES {
            let text = format!("the statement names {count} tables; at most {MAX_TABLES} are allowed");
            return Err(Error::new(ErrorKind::QueryTooComplex, text));
        }
        let mut resolved = Resolved { volatile: references.volatile, ..Resolved::default() };
        for name in &references.tables {
            self.add_table(&mut resolved, name, views).await?;
        }
        for location in &references.locations {
            self.add_location(&mut resolved, location).await?;
        }
        Ok(resolved)
    }

    async fn add_table(self, resolved: &mut Resolved, name: &QualifiedName, views: &[TableName]) -> Result<()> {
        let name = table_name(name, self.database)?;
        let known = |named: &NamedProvider| named.database == name.database().as_str() && named.table == name.table();
        if resolved.named.iter().any(known) {
            return Ok(());
        }
        if system::is_system(name.database()) {
            let provider = system::provider(self.engine, self.who, &name).await?;
            let read = ReadTable { label: name.to_string(), provider: provider.clone(), snapshot: None };
            resolved.read.push(read);
            resolved.volatile = true;
            resolved.add(name.database().as_str(), name.table(), provider.schema(), provider);
            return Ok(());
        }
        let table = self.engine.catalog.seen_by(self.who).table(&name).await?;
        match table.kind {
            TableKind::Files { .. } => {
                let snapshot = self.engine.catalog.snapshot(&name).await?;
                let provider = self.scan(resolved, name.to_string(), snapshot.clone(), None)?;
                resolved.add(name.database().as_str(), name.table(), snapshot.schema().clone(), provider);
            }
            TableKind::Delta { .. } => {
                let (snapshot, rows) = self.pinned(&name).await?;
                let provider = self.scan(resolved, name.to_string(), snapshot.clone(), rows)?;
                resolved.add(name.database().as_str(), name.table(), snapshot.schema().clone(), provider);
            }
            TableKind::View { sql } => {
                let provider = self.view(resolved, &name, &sql, views).await?;
                resolved.snapshots.push((name.to_string(), short_hash(&sql)));
                resolved.add(name.database().as_str(), name.table(), table.schema, provider);
            }
        }
        Ok(())
    }

    async fn add_location(self, resolved: &mut Resolved, location: &LocationRef) -> Result<()> {
        self.who.may_use_paths("read files by their paths")?;
        let kind = location.function.and_then(file_kind);
        let limit = self.engine.settings.sql.files_per_query;
        let storage = self.engine.catalog.storage();
        let snapshot = lakebed_tables::open_location(storage, &location.text, kind, limit).await?;
        check_kind(location, &snapshot)?;
        let provider = self.scan(resolved, location.text.clone(), snapshot.clone(), None)?;
        resolved.add(self.database.as_str(), &location.placeholder, snapshot.schema().clone(), provider);
        Ok(())
    }

    /// A Delta table's files, and the buffered rows that they do not hold: each row once. The version of the files says up
    /// to which log position they hold the buffer's rows.
    async fn pinned(self, name: &TableName) -> Result<(Arc<Snapshot>, Option<BufferRows>)> {
        let mut state = self.engine.catalog.delta_state(name).await?;
        // One of another id is of an earlier table of this name.
        let Some(buffer) = self.engine.buffer(name).filter(|buffer| buffer.table_id() == state.id()) else {
            return Ok((state.snapshot()?, None));
        };
        for _ in 0..PINNING_ATTEMPTS {
            let watermark = state.transaction(buffer.app_id()).unwrap_or(0);
            if let Some(rows) = buffer.after(u64::try_from(watermark).unwrap_or(0)) {
                return Ok((state.snapshot()?, Some(rows)));
            }
            // Rows above it have left memory, so there is a newer version.
            state = self.engine.catalog.refresh_delta(name).await?;
        }
        Err(Error::new(ErrorKind::Conflict, format!("{name} changes faster than it can be read"))
            .with_hint("Run the query again."))
    }

    fn scan(
        self,
        resolved: &mut Resolved,
        label: String,
        snapshot: Arc<Snapshot>,
        rows: Option<BufferRows>,
    ) -> Result<Arc<dyn TableProvider>> {
        let resources = self.resources;
        let provider = lakebed_tables::provider(
            snapshot.clone(),
            self.engine.catalog.storage(),
            resources.store.clone(),
            resources.scans.clone(),
            &self.engine.caches,
        )?;
        let (provider, position) = match rows {
            Some(rows) => (lakebed_tables::provider_with_buffer(provider, rows.clone()), rows.position()),
            None => (provider, String::new()),
        };
        resolved.snapshots.push((label.clone(), format!("{}{position}", snapshot.version())));
        resolved.read.push(ReadTable { label, provider: provider.clone(), snapshot: Some(snapshot) });
        Ok(provider)
    }

    /// The error for a view that cannot be read: for who does not see everything, without the names that the view uses.
    fn hide(self, error: Error) -> Error {
        use ErrorKind as K;
        let tells = matches!(error.kind(), K::TableNotFound | K::DatabaseNotFound | K::PermissionDenied);
        match tells && !self.who.sees_everything() {
            true => Error::new(K::PermissionDenied, format!("`{}` may not see all that it reads", self.who.name()))
                .with_hint("Ask for grants of the tables that the view reads."),
            false => error,
        }
    }

    /// A stored query as a table. What it reads becomes part of what the statement reads.
    fn view<'b>(
        self,
        resolved: &'b mut Resolved,
        name: &'b TableName,
        text: &'b str,
        outer: &'b [TableName],
    ) -> BoxFuture<'b, Result<Arc<dyn TableProvider>>>
    where
        'a: 'b,
    {
        Box::pin(async move {
            let views = [outer, std::slice::from_ref(name)].concat();
            check_nesting(outer, name)?;
            let limits = self.engine.settings.sql.clone();
            let of_view = |error: Error| error.context(format!("view {name}"));
            let owned = text.to_owned();
            let parse_limits = limits.clone();
            let parse = move || sql::parse(&owned, &parse_limits);
            let mut statement = self.engine.cpu.plan(limits.planning, parse).await.map_err(of_view)?;
            if statement.kind != StatementKind::Select {
                return Err(of_view(Error::new(ErrorKind::InvalidQuery, "its stored text is not a query")));
            }
            let here = Resolver { database: name.database(), ..self };
            let inner = here.resolve_below(&statement.references, &views).await;
            let inner = inner.map_err(|error| self.hide(error)).map_err(of_view)?;
            let state = self.engine.sessions.state(self.resources, name.database(), &inner.named)?;
            let (exact, spelling) = (inner.exact_names(), inner.spelling());
            resolved.read.extend(inner.read);
            resolved.snapshots.extend(inner.snapshots);
            resolved.volatile |= inner.volatile;
            let definition = text.to_owned();
            let work = move || async move {
                sql::fold(&mut statement, &exact)?;
                let plan = plan::logical(&state, plan::engine_statement(&statement)?).await?;
                let names = plan::output_names(&statement, &plan, &spelling);
                let volatile = plan::is_volatile(&plan)?;
                let plan = lower_case_columns(plan, &names)?;
                Ok((volatile, Arc::new(ViewTable::new(plan, Some(definition))) as Arc<dyn TableProvider>))
            };
            let (volatile, provider) = self.engine.cpu.plan_async(limits.planning, work).await.map_err(of_view)?;
            resolved.volatile |= volatile;
            Ok(provider)
        })
    }
}

fn check_nesting(outer: &[TableName], name: &TableName) -> Result<()> {
    if outer.contains(name) {
        return Err(Error::new(ErrorKind::InvalidQuery, format!("view {name} reads itself"))
            .with_hint("Drop one of the views, and create it without the cycle."));
    }
    if outer.len() >= MAX_VIEW_DEPTH {
        let text = format!("view {name} stands deeper than {MAX_VIEW_DEPTH} views");
        return Err(Error::new(ErrorKind::QueryTooComplex, text));
    }
    Ok(())
}

/// The columns of a view as every table offers them: in lower case, unless two differ in case only.
fn lower_case_columns(plan: LogicalPlan, names: &[String]) -> Result<LogicalPlan> {
    let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let is_unique = |name: &String| lower.iter().filter(|other| *other == name).count() == 1;
    let columns = plan.schema().columns();
    let renamed = columns.into_iter().enumerate().map(|(i, column)| {
        let name = match lower.get(i) {
            Some(name) if is_unique(name) => name.clone(),
            _ => names.get(i).unwrap_or(&column.name).clone(),
        };
        Expr::Column(column).alias(name)
    });
    let renamed: Vec<Expr> = renamed.collect();
    LogicalPlanBuilder::from(plan).project(renamed).and_then(LogicalPlanBuilder::build).map_err(from_engine)
}

/// The table that a name means: `table`, `database.table`, `lakebed.database.table`.
pub(crate) fn table_name(name: &QualifiedName, database: &DatabaseName) -> Result<TableName> {
    if let [catalog, _, _] = name.parts()
        && catalog != CATALOG
    {
        return Err(Error::new(ErrorKind::TableNotFound, format!("there is no table `{name}`"))
            .with_hint("Name tables as `table` or `database.table`."));
    }
    name.resolve(database)
}

/// JSON comes in two kinds; which one a file is, it says itself.
fn file_kind(function: ReadFunction) -> Option<FileKind> {
    match function {
        ReadFunction::Parquet => Some(FileKind::Parquet),
        ReadFunction::Csv => Some(FileKind::Csv),
        ReadFunction::Json => None,
    }
}

fn check_kind(location: &LocationRef, snapshot: &Snapshot) -> Result<()> {
    let is_json = matches!(snapshot.kind(), FileKind::NdJson | FileKind::JsonArray);
    if location.function == Some(ReadFunction::Json) && !is_json {
        return Err(Error::new(ErrorKind::CorruptFile, format!("{} holds no JSON", location.text)));
    }
    Ok(())
}

/// 16 hex digits of a text's hash.
fn short_hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}
