//! From what people write to what the planner takes.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{
        Distinct, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, LimitClause, ObjectName,
        OrderBy, OrderByExpr, OrderByKind, OrderByOptions, Query, Select, SelectFlavor, SelectItem, SetExpr,
        TableFactor, TableFunctionArgs, Value, VisitMut, VisitorMut,
    },
    tokenizer::Span,
};
use lakebed_types::{Error, ErrorKind, Result};

use super::{
    LocationRef, ReadFunction, References,
    names::{self, Names},
    references,
    tokens::Spelled,
};

/// Begins the table names that stand for locations.
const PLACEHOLDER: &str = "__location_";
/// Functions that may stand where a table does.
const TABLE_FUNCTIONS: &[&str] = &["generate_series", "range", "unnest"];

/// Rewrites a query in place; says what it reads and how its columns are called.
///
/// # Errors
/// `unsupported` for clauses that the planner would leave out without a word; `query_too_complex`.
pub(super) fn rewrite(query: &mut Query, spelled: &Spelled) -> Result<(References, Names)> {
    let mut names = Names::default();
    if query.pipe_operators.is_empty()
        && let Some(select) = outermost_select(query)
    {
        plain_select(select);
        names.output = names::name_items(select, spelled, true);
    }
    let mut rewriter = Rewriter { spelled, names, locations: Vec::new() };
    if let ControlFlow::Break(error) = query.visit(&mut rewriter) {
        return Err(*error);
    }
    let Rewriter { names, locations, .. } = rewriter;
    Ok((references::collect(query, locations)?, names))
}

/// The SELECT that names the columns: the leftmost one.
fn outermost_select(query: &mut Query) -> Option<&mut Select> {
    let mut body = query.body.as_mut();
    loop {
        match body {
            SetExpr::Select(select) => return Some(select),
            SetExpr::Query(inner) => body = inner.body.as_mut(),
            SetExpr::SetOperation { left, .. } => body = left.as_mut(),
            _ => return None,
        }
    }
}

/// `FROM t SELECT x` becomes a plain SELECT.
fn plain_select(select: &mut Select) {
    select.flavor = SelectFlavor::Standard;
}

struct Rewriter<'a> {
    spelled: &'a Spelled,
    names: Names,
    locations: Vec<LocationRef>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        self.names.remember_ctes(query, self.spelled);
        flow(rewrite_query(query))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        plain_select(select);
        self.names.remember_aliases(select, self.spelled);
        names::name_items(select, self.spelled, false);
        flow(refuse_in_select(select))
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        flow(self.rewrite_table(factor))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        match expr {
            Expr::Function(function) if !matches!(function.parameters, FunctionArguments::None) => {
                flow(Err(unsupported("a function with two lists of arguments")))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn flow(result: Result<()>) -> ControlFlow<Box<Error>> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(Box::new(error)),
    }
}

fn unsupported(clause: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{clause} is not supported"))
}

fn rewrite_query(query: &mut Query) -> Result<()> {
    refuse_in_query(query)?;
    fetch_to_limit(query)?;
    order_by_all(query)?;
    order_distinct_by_position(query);
    Ok(())
}

fn refuse_in_query(query: &Query) -> Result<()> {
    let changes_data =
        matches!(*query.body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_));
    let refused = [
        (changes_data, "a statement that changes data inside a query"),
        (!query.locks.is_empty(), "FOR UPDATE and FOR SHARE"),
        (query.for_clause.is_some(), "FOR XML, JSON and BROWSE"),
        (query.settings.is_some(), "SETTINGS"),
        (query.format_clause.is_some(), "FORMAT"),
    ];
    refuse(&refused)
}

fn refuse_in_select(select: &Select) -> Result<()> {
    let modifiers = match &select.group_by {
        GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => modifiers,
    };
    refuse(&[
        (select.into.is_some(), "SELECT INTO"),
        (select.top.is_some(), "TOP"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (!modifiers.is_empty(), "GROUP BY … WITH"),
        (select.exclude.is_some(), "EXCLUDE behind a column"),
    ])
}

fn refuse(clauses: &[(bool, &str)]) -> Result<()> {
    match clauses.iter().find(|(is_there, _)| *is_there) {
        Some((_, clause)) => Err(unsupported(clause)),
        None => Ok(()),
    }
}

/// `FETCH FIRST 5 ROWS ONLY` is `LIMIT 5`.
fn fetch_to_limit(query: &mut Query) -> Result<()> {
    let Some(fetch) = query.fetch.take() else { return Ok(()) };
    if fetch.with_ties || fetch.percent {
        return Err(unsupported("FETCH … WITH TIES and PERCENT"));
    }
    let rows = fetch.quantity.unwrap_or_else(|| number(1));
    match &mut query.limit_clause {
        None => {
            query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(rows), offset: None, limit_by: vec![] })
        }
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(rows),
        Some(_) => return Err(unsupported("LIMIT beside FETCH")),
    }
    Ok(())
}

/// `ORDER BY ALL` is `ORDER BY 1, 2, …` where the columns are written out; with a wildcard the planner knows them.
fn order_by_all(query: &mut Query) -> Result<()> {
    let Some(OrderBy { kind: OrderByKind::All(options), .. }) = &query.order_by else { return Ok(()) };
    let options = *options;
    let is_select = matches!(*query.body, SetExpr::Select(_));
    let columns = outermost_select(query).and_then(|select| written_out(select));
    match columns {
        Some(columns) => {
            let by = (1..=columns).map(|position| order_by_position(position, options)).collect();
            query.order_by = Some(OrderBy { kind: OrderByKind::Expressions(by), interpolate: None });
            Ok(())
        }
        None if is_select => Ok(()),
        None => Err(unsupported("ORDER BY ALL of a set operation with a wildcard")),
    }
}

/// How many columns a SELECT has, if none is a wildcard.
fn written_out(select: &Select) -> Option<usize> {
    let has_wildcard = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    (!has_wildcard).then_some(select.projection.len())
}

/// `SELECT DISTINCT f(a) … ORDER BY f(a)`: our names hide from the planner that the two are one, so it orders by position.
fn order_distinct_by_position(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let is_distinct = matches!(select.distinct, Some(Distinct::Distinct));
    let Some(OrderBy { kind: OrderByKind::Expressions(by), .. }) = &mut query.order_by else { return };
    if !is_distinct || written_out(select).is_none() {
        return;
    }
    let items: Vec<&Expr> = select.projection.iter().filter_map(expression_of).collect();
    for item in by {
        if matches!(item.expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_)) {
            continue;
        }
        if let Some(position) = items.iter().position(|expr| **expr == item.expr) {
            item.expr = number(position + 1);
        }
    }
}

fn expression_of(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

fn order_by_position(position: usize, options: OrderByOptions) -> OrderByExpr {
    OrderByExpr { expr: number(position), options, with_fill: None }
}

fn number(value: usize) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).with_span(Span::empty()))
}

impl Rewriter<'_> {
    fn rewrite_table(&mut self, factor: &mut TableFactor) -> Result<()> {
        match factor {
            TableFactor::Table { .. } => {
                refuse_in_table(factor)?;
                self.rewrite_location(factor)
            }
            TableFactor::Derived { sample: Some(_), .. } => Err(unsupported("TABLESAMPLE")),
            TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } | TableFactor::UNNEST { .. } => Ok(()),
            TableFactor::Function { name, .. } => check_table_function(name),
            other => Err(unsupported(&format!("`{}` in FROM", first_word(&other.to_string())))),
        }
    }

    /// A location, alone or in a function, becomes a table's name.
    fn rewrite_location(&mut self, factor: &mut TableFactor) -> Result<()> {
        let TableFactor::Table { name, args, .. } = factor else { return Ok(()) };
        let (function, text) = match args {
            None => match quoted_location(name)? {
                Some(text) => (None, text),
                None => return Ok(()),
            },
            Some(list) => match only_ident(name).and_then(|ident| ReadFunction::named(&ident.value)) {
                Some(function) => (Some(function), only_string(name, list)?),
                None => return check_table_function(name),
            },
        };
        let placeholder = format!("{PLACEHOLDER}{}", self.locations.len());
        *name = ObjectName::from(vec![Ident::with_quote('"', placeholder.as_str())]);
        *args = None;
        self.locations.push(LocationRef { function, text, placeholder });
        Ok(())
    }
}

fn refuse_in_table(factor: &TableFactor) -> Result<()> {
    let TableFactor::Table {
        alias,
        with_hints,
        version,
        with_ordinality,
        partitions,
        json_path,
        sample,
        index_hints,
        ..
    } = factor
    else {
        return Ok(());
    };
    refuse(&[
        (sample.is_some(), "TABLESAMPLE"),
        (version.is_some(), "a table's version"),
        (*with_ordinality, "WITH ORDINALITY"),
        (!partitions.is_empty(), "PARTITION behind a table"),
        (json_path.is_some(), "a JSON path behind a table"),
        (!with_hints.is_empty() || !index_hints.is_empty(), "hints behind a table"),
        (alias.as_ref().is_some_and(|alias| alias.at.is_some()), "AT behind a table"),
    ])
}

fn only_ident(name: &ObjectName) -> Option<&Ident> {
    match name.0.as_slice() {
        [part] => part.as_ident(),
        _ => None,
    }
}

/// `FROM 'location'`: the parser hands the literal on as an identifier in single quotes.
fn quoted_location(name: &ObjectName) -> Result<Option<String>> {
    let is_literal = |ident: &Ident| ident.quote_style == Some('\'');
    match only_ident(name) {
        Some(ident) if is_literal(ident) => Ok(Some(ident.value.clone())),
        Some(_) => Ok(None),
        None if name.0.iter().filter_map(|part| part.as_ident()).any(is_literal) => {
            Err(Error::new(ErrorKind::SyntaxError, format!("{name} is neither a table nor a location")))
        }
        None => Ok(None),
    }
}

fn only_string(name: &ObjectName, list: &TableFunctionArgs) -> Result<String> {
    if let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] = list.args.as_slice()
        && let Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) = &value.value
        && list.settings.is_none()
    {
        return Ok(text.clone());
    }
    Err(Error::new(ErrorKind::InvalidQuery, format!("{name} takes one location in single quotes"))
        .with_hint("A location may hold wildcards: read_parquet('s3://bucket/folder/*.parquet')."))
}

fn check_table_function(name: &ObjectName) -> Result<()> {
    if only_ident(name).is_some_and(|ident| TABLE_FUNCTIONS.contains(&ident.value.as_str())) {
        return Ok(());
    }
    Err(unsupported(&format!("table function {name}"))
        .with_hint("The table functions are read_parquet, read_csv, read_json, generate_series, range and unnest."))
}

fn first_word(text: &str) -> &str {
    text.split([' ', '(']).next().unwrap_or_default()
}
