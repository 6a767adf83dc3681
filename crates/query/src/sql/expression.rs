//! Expressions on their own: the filter of a request for rows.

use std::{collections::HashSet, ops::ControlFlow};

use datafusion::sql::sqlparser::ast::{Expr, Function, FunctionArguments, Query, Value, Visit, Visitor};
use lakebed_types::{Error, ErrorKind, Result};

use super::statement::{prepare, run_parser};
use crate::SqlLimits;

/// Functions that look at one value and give one back, no larger than what they are given.
const FUNCTIONS: &[&str] = &[
    "abs",
    "array_contains",
    "array_has",
    "array_length",
    "cardinality",
    "ceil",
    "char_length",
    "character_length",
    "coalesce",
    "contains",
    "date_part",
    "date_trunc",
    "ends_with",
    "floor",
    "greatest",
    "isnan",
    "least",
    "left",
    "length",
    "list_contains",
    "lower",
    "ltrim",
    "mod",
    "nullif",
    "nvl",
    "regexp_like",
    "right",
    "round",
    "rtrim",
    "starts_with",
    "strpos",
    "substr",
    "substring",
    "to_date",
    "to_timestamp",
    "trim",
    "trunc",
    "upper",
];

/// Reads a filter: one expression over the columns of one table, its identifiers in lower case.
///
/// # Errors
/// As for statements, and `unsupported` for subqueries, parameters, window functions and functions off the list.
pub(crate) fn expression(text: &str, limits: &SqlLimits) -> Result<Expr> {
    let (tokens, _) = prepare(text, limits, &HashSet::new())?;
    let expr = run_parser(tokens, limits, |parser| parser.parse_expr())?;
    match expr.visit(&mut FilterCheck) {
        ControlFlow::Continue(()) => Ok(expr),
        ControlFlow::Break(error) => Err(*error),
    }
}

struct FilterCheck;

impl Visitor for FilterCheck {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Self::Break> {
        refused("a subquery")
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        match expr {
            Expr::Function(function) => check_function(function),
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => refused("a parameter"),
            Expr::Lambda(_) | Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => refused("a lambda or wildcard"),
            Expr::MatchAgainst { .. } | Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => refused("this"),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn check_function(function: &Function) -> ControlFlow<Box<Error>> {
    let name = function.name.to_string();
    let is_plain = function.over.is_none()
        && function.filter.is_none()
        && function.within_group.is_empty()
        && matches!(function.parameters, FunctionArguments::None);
    if is_plain && FUNCTIONS.contains(&name.as_str()) {
        return ControlFlow::Continue(());
    }
    refused(&format!("function {name}"))
}

fn refused(what: &str) -> ControlFlow<Box<Error>> {
    ControlFlow::Break(Box::new(
        Error::new(ErrorKind::Unsupported, format!("{what} is not supported in a filter"))
            .with_hint("Send a SELECT to the SQL route instead."),
    ))
}
