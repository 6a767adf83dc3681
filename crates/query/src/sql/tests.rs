//! What statements become: hostile ones errors, the others a kind, a tree, references and names.

mod classification;
mod hostile;
mod naming;
mod planning;
mod references;

use std::time::Duration;

use super::*;
use crate::SqlLimits;

fn limits() -> SqlLimits {
    SqlLimits {
        bytes: 256 << 10,
        depth: 50,
        operators: 500,
        list_items: 10_000,
        columns: 2_000,
        planning: Duration::from_secs(10),
        files_per_query: 100_000,
    }
}

fn parsed(sql: &str) -> Statement {
    parse(sql, &limits()).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn query_text(statement: &Statement) -> String {
    match &statement.ast {
        Ast::Query(query) => query.to_string(),
        other => panic!("{other:?} is no query"),
    }
}
