//! Text → checked, resolved and planned statement. One function for each kind of statement.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use lakebed_access::Principal;
use lakebed_types::{DatabaseName, Error, ErrorKind, QueryId, Result};
use tracing::Instrument as _;

use crate::{
    declare,
    error::from_engine,
    etag, explain,
    plan::{self, RowsPlan},
    prepared::{Description, Parameters, PreparedQuery, QueryOptions},
    resolve::{self, Resolved, Resolver},
    result_cache::{Key, Reads, StatementDigest, Ticket},
    service::Engine,
    session::Resources,
    show::{self, Shown},
    sql::{self, Ast, Describe, Statement},
    table_rows::{row_count, row_count_schema, status, status_schema},
    work::Work,
};

/// Prepares a statement.
pub(crate) async fn prepare(
    engine: &Arc<Engine>,
    who: &Principal,
    text: &str,
    options: &QueryOptions,
) -> Result<PreparedQuery> {
    checked(engine, who, text, options, false).await
}

/// Finds out what a statement is whose parameters have no values yet.
pub(crate) async fn describe(
    engine: &Arc<Engine>,
    who: &Principal,
    text: &str,
    options: &QueryOptions,
) -> Result<Description> {
    let PreparedQuery { kind, schema, parameters, .. } = checked(engine, who, text, options, true).await?;
    Ok(Description { kind, schema, parameters })
}

async fn checked(
    engine: &Arc<Engine>,
    who: &Principal,
    text: &str,
    options: &QueryOptions,
    describing: bool,
) -> Result<PreparedQuery> {
    let started = engine.clock.instant();
    let submitted = engine.clock.now();
    let statement = parse(engine, text).await?;
    who.may_run(statement.kind)?;
    let kind = statement.kind;
    let id = QueryId::random();
    let preparation = Preparation { engine, who, options, resources: engine.sessions.resources(), describing };
    let span = tracing::info_span!("plan", query_id = %id, principal = who.name());
    let outcome = preparation.statement(statement, text).instrument(span).await?;
    let Outcome { work, schema, resolved, etag, ticket } = outcome;
    Ok(PreparedQuery {
        id,
        parameters: parameters_of(&work),
        sql: text.to_owned(),
        kind,
        source: options.source,
        database: options.database.clone(),
        submitted,
        schema,
        snapshots: resolved.snapshots,
        tables: resolved.read,
        etag,
        ticket,
        planning: engine.clock.instant().saturating_duration_since(started),
        resources: preparation.resources,
        work,
    })
}

fn parameters_of(work: &Work) -> SchemaRef {
    match work.rows() {
        Some(rows) => rows.parameters.clone(),
        None => Arc::new(Schema::empty()),
    }
}

async fn parse(engine: &Engine, text: &str) -> Result<Statement> {
    let limits = engine.settings.sql.clone();
    // Checked before the text is copied anywhere.
    if text.len() > limits.bytes {
        let message = format!("the statement has {} bytes; at most {} are allowed", text.len(), limits.bytes);
        return Err(Error::new(ErrorKind::QueryTooComplex, message));
    }
    let text = text.to_owned();
    engine.cpu.plan(limits.planning, move || sql::parse(&text, &limits)).await
}

/// What preparing gave.
struct Outcome {
    work: Work,
    schema: SchemaRef,
    resolved: Resolved,
    etag: Option<String>,
    ticket: Option<Ticket>,
}

/// A statement on its way to being prepared.
pub(crate) struct Preparation<'a> {
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) who: &'a Principal,
    pub(crate) options: &'a QueryOptions,
    pub(crate) resources: Resources,
    /// Whether only its columns are asked for: its parameters have no values then, and it cannot run.
    pub(crate) describing: bool,
}

impl Preparation<'_> {
    async fn statement(&self, mut statement: Statement, text: &str) -> Result<Outcome> {
        let database = self.lookup_database(&statement.ast)?;
        let resolver = Resolver { engine: self.engine, who: self.who, database: &database, resources: &self.resources };
        let resolved = resolver.resolve(&statement.references).await?;
        sql::fold(&mut statement, &resolved.exact_names())?;
        if matches!(statement.ast, Ast::Query(_)) {
            return self.select(statement, text, resolved).await;
        }
        let (work, schema) = self.other(statement.ast, &resolved, &database).await?;
        Ok(Outcome { work, schema, resolved, etag: None, ticket: None })
    }

    /// A view's text is read again where the view stands, so that is where its names are looked up now.
    fn lookup_database(&self, ast: &Ast) -> Result<DatabaseName> {
        match ast {
            Ast::CreateView(view) => Ok(resolve::table_name(&view.name, &self.options.database)?.database().clone()),
            _ => Ok(self.options.database.clone()),
        }
    }

    async fn select(&self, statement: Statement, text: &str, mut resolved: Resolved) -> Result<Outcome> {
        let rows = self.rows(statement, &resolved, &self.options.database).await?;
        resolved.volatile |= rows.digest.is_none();
        let options = self.options;
        let tag = || etag::tag(text.trim(), &options.parameters, &options.database, self.who, &resolved.snapshots);
        let etag = (!resolved.volatile).then(tag).transpose()?;
        let ticket = self.ticket(&rows, &resolved)?;
        Ok(Outcome { schema: rows.schema.clone(), work: Work::Rows(Box::new(rows)), resolved, etag, ticket })
    }

    /// What the query may do with the result cache; None where its answer may be another one next time.
    fn ticket(&self, rows: &RowsPlan, resolved: &Resolved) -> Result<Option<Ticket>> {
        let settled = !resolved.volatile && resolved.is_settled(self.engine.clock.now());
        let Some(digest) = rows.digest.filter(|_| settled) else { return Ok(None) };
        let (parameters, database) = (&self.options.parameters, &self.options.database);
        let reads = Reads { parameters, database, who: self.who, snapshots: &resolved.snapshots };
        Ok(Some(Ticket { key: Key::new(digest, &reads)?, policy: self.options.result_cache }))
    }

    async fn other(&self, ast: Ast, resolved: &Resolved, database: &DatabaseName) -> Result<(Work, SchemaRef)> {
        match ast {
            Ast::Explain { inner, analyze, verbose, format } => {
                if let Some(format) = format.filter(|format| format != "indent") {
                    let text = format!("EXPLAIN has no format `{format}`");
                    return Err(Error::new(ErrorKind::Unsupported, text).with_hint("Leave FORMAT out."));
                }
                self.explain(*inner, analyze, verbose, resolved).await
            }
            Ast::Show(show) => ready(self.shown(database).show(show).await?),
            Ast::Describe(Describe::Table(table)) => ready(self.shown(database).describe(&table).await?),
            Ast::Describe(Describe::Query(query)) => {
                let rows = self.rows(*query, resolved, database).await?;
                ready(show::columns_of(&rows.schema, &[])?)
            }
            Ast::Set { name, value } => set(&name, &value),
            Ast::CopyTo(copy) => {
                self.who.may_use_paths("copy rows to files")?;
                let target = declare::copy_target(self.engine, &copy)?;
                let rows = self.rows(*copy.source, resolved, database).await?;
                Ok((declare::write(rows, target), row_count_schema()))
            }
            Ast::CreateTableAs(table) => self.create_table_as(table, resolved, database).await,
            Ast::Insert { table, columns, source } => {
                let insert = declare::Insert::find(self, &table, columns).await?;
                let plan = self.planned(*source, resolved, database, insert.given(), insert.shape()).await?;
                Ok((declare::write(plan, insert.target()), row_count_schema()))
            }
            Ast::CreateView(view) => {
                let rows = self.rows((*view.query).clone(), resolved, database).await?;
                Ok((declare::create_view(self, view, &rows).await?, status_schema()))
            }
            other => Ok((declare::change(self, other)?, status_schema())),
        }
    }

    async fn explain(
        &self,
        inner: Statement,
        analyze: bool,
        verbose: bool,
        resolved: &Resolved,
    ) -> Result<(Work, SchemaRef)> {
        let rows = self.rows(inner, resolved, &self.options.database).await?;
        let schema = explain::schema()?;
        if analyze {
            return Ok((Work::Analyze(Box::new(rows)), schema));
        }
        let engine = self.engine.clone();
        let limit = self.engine.settings.sql.planning;
        let batch = self
            .engine
            .cpu
            .plan_async(limit, move || async move { explain::explain(&engine, &rows, verbose).await })
            .await?;
        Ok((Work::Ready(vec![batch]), schema))
    }

    async fn create_table_as(
        &self,
        table: sql::CreateTableAs,
        resolved: &Resolved,
        database: &DatabaseName,
    ) -> Result<(Work, SchemaRef)> {
        let Some(target) = declare::new_table(self, &table).await? else {
            return ready(row_count(0)?);
        };
        let rows = self.rows(*table.query, resolved, database).await?;
        Ok((declare::write(rows, target), row_count_schema()))
    }

    fn shown<'b>(&'b self, database: &'b DatabaseName) -> Shown<'b> {
        Shown {
            seen: self.engine.catalog.seen_by(self.who),
            sessions: &self.engine.sessions,
            settings: &self.engine.settings,
            database,
        }
    }

    /// Plans a query.
    async fn rows(&self, query: Statement, resolved: &Resolved, database: &DatabaseName) -> Result<RowsPlan> {
        self.planned(query, resolved, database, Vec::new(), |plan, names| Ok((plan, names))).await
    }

    /// Plans a query; `shape` may still change its columns. `columns`: those of the table that its rows go into.
    async fn planned(
        &self,
        query: Statement,
        resolved: &Resolved,
        database: &DatabaseName,
        columns: Vec<FieldRef>,
        shape: impl FnOnce(LogicalPlan, Vec<String>) -> Result<(LogicalPlan, Vec<String>)> + Send + 'static,
    ) -> Result<RowsPlan> {
        let mut state = self.engine.sessions.state(&self.resources, database, &resolved.named)?;
        // The one `now()` of the statement.
        state.execution_props_mut().query_execution_start_time = Some(self.engine.clock.now());
        let spelling = resolved.spelling();
        let parameters = self.options.parameters.clone();
        let limits = self.engine.settings.sql.clone();
        let describing = self.describing;
        let work = move || async move {
            let plan = plan::logical(&state, plan::engine_statement(&query)?).await?;
            let names = plan::output_names(&query, &plan, &spelling);
            let digest = if plan::is_volatile(&plan)? { None } else { StatementDigest::of(&query) };
            let wanted = Schema::new(sql::parameters(&plan, &columns)?);
            let without_values = describing && !wanted.fields().is_empty();
            let plan = if without_values { plan } else { bind(plan, &parameters)? };
            let (plan, names) = shape(plan, names)?;
            let rows = match without_values {
                true => plan::described(state, plan, &names, limits.columns)?,
                false => plan::finish(state, &plan, &names, limits.columns)?,
            };
            Ok(RowsPlan { digest, parameters: Arc::new(wanted), ..rows })
        };
        self.engine.cpu.plan_async(self.engine.settings.sql.planning, work).await
    }
}

fn bind(plan: LogicalPlan, parameters: &Parameters) -> Result<LogicalPlan> {
    let values = sql::bind(&plan, parameters)?;
    plan.with_param_values(values).map_err(from_engine)
}

fn ready(batch: arrow::array::RecordBatch) -> Result<(Work, SchemaRef)> {
    let schema = batch.schema();
    Ok((Work::Ready(vec![batch]), schema))
}

/// Every statement runs in a session of its own, so a setting would be forgotten at once. What clients set by habit and
/// what holds anyway is acknowledged.
fn set(name: &str, value: &str) -> Result<(Work, SchemaRef)> {
    let name = name.to_lowercase();
    if matches!(name.as_str(), "timezone" | "time zone") && value.eq_ignore_ascii_case("UTC") {
        return ready(status("the time zone is UTC")?);
    }
    Err(Error::new(ErrorKind::Unsupported, format!("setting `{name}` cannot be changed by a statement")).with_hint(
        "Send the database, the timeout and the like with the request; the engine's settings are the server's.",
    ))
}
