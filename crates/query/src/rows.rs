//! Rows of one table without SQL from the caller: the request becomes a statement that goes the way of every other.

use lakebed_types::{Error, Result, TableName};

use crate::{settings::SqlLimits, sql};

/// Which rows of a table, and in which order.
#[derive(Debug, Clone, Default)]
pub struct RowsRequest {
    /// Empty: all.
    pub columns: Vec<String>,
    /// A boolean expression over the columns.
    pub filter: Option<String>,
    /// Columns, and whether each is descending.
    pub sort: Vec<(String, bool)>,
    /// At most this many rows.
    pub limit: usize,
    /// Rows to leave out first.
    pub offset: u64,
}

/// The statement for a request.
///
/// # Errors
/// As for SQL: the filter must be one expression, and nothing else.
pub(crate) fn statement(table: &TableName, rows: &RowsRequest, limits: &SqlLimits) -> Result<String> {
    if rows.columns.len() > limits.columns || rows.sort.len() > limits.columns {
        return Err(Error::invalid_request(format!("at most {} columns can be asked for", limits.columns)));
    }
    let columns = match rows.columns.is_empty() {
        true => "*".to_owned(),
        false => rows.columns.iter().map(|name| sql::quote_identifier(name)).collect::<Vec<_>>().join(", "),
    };
    let database = sql::quote_identifier(table.database().as_str());
    let mut text = format!("SELECT {columns} FROM {database}.{}", sql::quote_identifier(table.table()));
    if let Some(filter) = &rows.filter {
        sql::expression(filter, limits).map_err(|error| error.context("filter"))?;
        // On lines of its own, so that a comment in it hides nothing of ours.
        text.push_str(&format!(" WHERE (\n{filter}\n)"));
    }
    if !rows.sort.is_empty() {
        let key = |(name, descending): &(String, bool)| {
            format!("{}{}", sql::quote_identifier(name), if *descending { " DESC" } else { "" })
        };
        text.push_str(&format!(" ORDER BY {}", rows.sort.iter().map(key).collect::<Vec<_>>().join(", ")));
    }
    text.push_str(&format!(" LIMIT {} OFFSET {}", rows.limit, rows.offset));
    Ok(text)
}
