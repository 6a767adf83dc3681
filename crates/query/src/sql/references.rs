//! What a query reads: tables, locations, and whether its answer may differ from run to run.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    ops::ControlFlow,
};

use datafusion::sql::sqlparser::ast::{Expr, ObjectName, Query, TableFactor, Visit, Visitor};
use lakebed_types::{DatabaseName, Error, ErrorKind, Result, TableName};

use super::guard;

/// Functions whose answer is another one at another time.
const VOLATILE: &[&str] = &[
    "current_date",
    "current_time",
    "current_timestamp",
    "gen_random_uuid",
    "localtime",
    "localtimestamp",
    "now",
    "random",
    "today",
    "uuid",
];

/// The tables and locations that a statement reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct References {
    /// Each once, in the order of first appearance, without common table expressions.
    pub(crate) tables: Vec<QualifiedName>,
    /// In the order of appearance.
    pub(crate) locations: Vec<LocationRef>,
    /// The answer may differ though the data does not.
    pub(crate) volatile: bool,
}

/// A location that stands where a table does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LocationRef {
    /// None: the location alone, `FROM 's3://…'`.
    pub(crate) function: Option<ReadFunction>,
    /// As the user wrote it.
    pub(crate) text: String,
    /// The table's name that the syntax tree has instead.
    pub(crate) placeholder: String,
}

/// The functions that read a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadFunction {
    Parquet,
    Csv,
    Json,
}

impl ReadFunction {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "read_parquet" | "parquet_scan" => Some(Self::Parquet),
            "read_csv" | "read_csv_auto" => Some(Self::Csv),
            "read_json" | "read_json_auto" | "read_ndjson" => Some(Self::Json),
            _ => None,
        }
    }
}

/// A name of one to three parts, `catalog.database.table`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct QualifiedName {
    parts: Vec<String>,
}

impl QualifiedName {
    pub(crate) fn new(parts: Vec<String>) -> Result<Self> {
        match parts.len() {
            1..=3 => Ok(Self { parts }),
            _ => Err(Error::new(ErrorKind::InvalidQuery, format!("`{}` has more than three parts", parts.join(".")))),
        }
    }

    pub(super) fn of(name: &ObjectName) -> Result<Self> {
        let parts = name.0.iter().map(|part| part.as_ident().map(|ident| ident.value.clone()));
        match parts.collect::<Option<Vec<_>>>() {
            Some(parts) => Self::new(parts),
            None => Err(Error::new(ErrorKind::Unsupported, format!("`{name}` is not a table's name"))),
        }
    }

    pub(crate) fn parts(&self) -> &[String] {
        &self.parts
    }

    /// The last part.
    pub(crate) fn table(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }

    /// The part before the last.
    pub(crate) fn database(&self) -> Option<&str> {
        self.parts.len().checked_sub(2).map(|at| self.parts[at].as_str())
    }

    /// The table's full name; the catalog's part is left out.
    ///
    /// # Errors
    /// `invalid_request` if a part is not a name.
    pub(crate) fn resolve(&self, default_database: &DatabaseName) -> Result<TableName> {
        let database = match self.database() {
            Some(database) => DatabaseName::new(database)?,
            None => default_database.clone(),
        };
        TableName::new(database, self.table())
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts.join("."))
    }
}

/// Collects the tables of a rewritten query, whose locations are known already.
///
/// # Errors
/// `query_too_complex` if common table expressions multiply beyond the limits.
pub(super) fn collect(query: &Query, locations: Vec<LocationRef>) -> Result<References> {
    let placeholders = locations.iter().map(|location| location.placeholder.clone()).collect();
    let mut collector = Collector { placeholders, weights: vec![0], ..Collector::default() };
    if let ControlFlow::Break(error) = query.visit(&mut collector) {
        return Err(*error);
    }
    guard::within("common table expressions", collector.ctes, guard::MAX_CTES)?;
    let Collector { tables, volatile, .. } = collector;
    Ok(References { tables, locations, volatile })
}

/// Walks a query with the scopes of its common table expressions.
#[derive(Default)]
struct Collector {
    tables: Vec<QualifiedName>,
    seen: HashSet<QualifiedName>,
    placeholders: HashSet<String>,
    volatile: bool,
    ctes: usize,
    /// Common table expressions in scope, innermost last, and how many tables each stands for.
    scope: Vec<(String, usize)>,
    /// Queries of common table expressions not yet in scope, by their address in the tree.
    pending: HashMap<usize, String>,
    /// How many tables the queries that are open stand for, innermost last.
    weights: Vec<usize>,
    /// Common table expressions that are open.
    open_ctes: usize,
}

fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

impl Collector {
    fn table(&mut self, name: &ObjectName) -> Result<()> {
        let name = QualifiedName::of(name)?;
        let cte = match name.parts() {
            [only] => self.scope.iter().rev().find(|(cte, _)| cte == only).map(|(_, weight)| *weight),
            _ => None,
        };
        if cte.is_none() && !self.placeholders.contains(name.table()) && self.seen.insert(name.clone()) {
            self.tables.push(name);
        }
        if let Some(weight) = self.weights.last_mut() {
            *weight = weight.saturating_add(cte.unwrap_or(1));
            guard::within("tables with all WITH queries written out", *weight, guard::MAX_EXPANDED_TABLES)?;
        }
        Ok(())
    }

    fn open(&mut self, query: &Query) -> Result<()> {
        self.weights.push(0);
        if self.pending.contains_key(&address(query)) {
            self.open_ctes += 1;
        }
        let Some(with) = &query.with else { return Ok(()) };
        guard::within("levels of WITH inside WITH", self.open_ctes + 1, guard::MAX_NESTED_WITHS)?;
        for cte in &with.cte_tables {
            self.ctes += 1;
            let name = cte.alias.name.value.clone();
            if with.recursive {
                self.scope.push((name, 1));
            } else {
                self.pending.insert(address(&cte.query), name);
            }
        }
        Ok(())
    }

    fn close(&mut self, query: &Query) -> Result<()> {
        let weight = self.weights.pop().unwrap_or(0);
        if let Some(with) = &query.with {
            let still_open = self.scope.len().saturating_sub(with.cte_tables.len());
            self.scope.truncate(still_open);
        }
        if let Some(name) = self.pending.remove(&address(query)) {
            self.open_ctes -= 1;
            self.scope.push((name, weight.max(1)));
        } else if let Some(outer) = self.weights.last_mut() {
            *outer = outer.saturating_add(weight);
            guard::within("tables with all WITH queries written out", *outer, guard::MAX_EXPANDED_TABLES)?;
        }
        Ok(())
    }
}

fn flow(result: Result<()>) -> ControlFlow<Box<Error>> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(Box::new(error)),
    }
}

impl Visitor for Collector {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        flow(self.open(query))
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        flow(self.close(query))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        match factor {
            TableFactor::Table { name, args: None, .. } => flow(self.table(name)),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        if let Expr::Function(function) = expr
            && let [part] = function.name.0.as_slice()
            && let Some(name) = part.as_ident()
        {
            self.volatile |= VOLATILE.contains(&name.value.as_str());
        }
        ControlFlow::Continue(())
    }
}
