//! Errors of the catalog: SQLite's folded into the shared kinds, and names that were not found.

use lakebed_types::{DatabaseName, Error, ErrorKind, TableName};

/// Names less alike than this are no suggestion (Jaro-Winkler, 0 to 1).
const LIKENESS: f64 = 0.8;

/// An error of SQLite during an operation on the catalog.
pub(crate) fn store_failed(cause: sqlx::Error) -> Error {
    let (kind, what) = match sqlite_code(&cause) {
        // SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN, SQLITE_READONLY
        Some(10) => (ErrorKind::DiskFailed, "the catalog's disk failed"),
        Some(13) => (ErrorKind::DiskFailed, "the catalog's disk is full"),
        Some(14) => (ErrorKind::DiskFailed, "the catalog file cannot be opened"),
        Some(8) => (ErrorKind::DiskFailed, "the catalog file is read-only"),
        // SQLITE_CORRUPT, SQLITE_NOTADB
        Some(11 | 26) => (ErrorKind::CorruptFile, "the catalog file is damaged or no catalog"),
        _ => (ErrorKind::Internal, "the catalog failed"),
    };
    Error::new(kind, what).with_source(cause)
}

fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// No such table, with the nearest name that there is.
pub(crate) fn table_not_found(name: &TableName, known: &[String]) -> Error {
    let error = Error::new(ErrorKind::TableNotFound, format!("table `{name}` does not exist"));
    match nearest(name.table(), known) {
        Some(near) => error.with_hint(format!("Did you mean `{near}`?")),
        None if known.is_empty() => error.with_hint(format!("Database `{}` has no tables yet.", name.database())),
        None => error.with_hint("`SHOW TABLES` lists the tables."),
    }
}

/// No such database, with the nearest name that there is.
pub(crate) fn database_not_found(name: &DatabaseName, known: &[String]) -> Error {
    let error = Error::new(ErrorKind::DatabaseNotFound, format!("database `{name}` does not exist"));
    match nearest(name.as_str(), known) {
        Some(near) => error.with_hint(format!("Did you mean `{near}`?")),
        None => error.with_hint("`SHOW DATABASES` lists the databases."),
    }
}

/// No such crawler, with the nearest name that there is.
pub(crate) fn crawler_not_found(name: &str, known: &[String]) -> Error {
    let error = Error::new(ErrorKind::NotFound, format!("crawler `{}` does not exist", name.escape_debug()));
    match nearest(name, known) {
        Some(near) => error.with_hint(format!("Did you mean `{near}`?")),
        None => error,
    }
}

fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a String> {
    let score = |candidate: &String| strsim::jaro_winkler(name, candidate);
    let best = known.iter().max_by(|left, right| score(left).total_cmp(&score(right)))?;
    (score(best) >= LIKENESS).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let known = vec!["customers".to_owned(), "orders".to_owned()];
        assert_eq!(nearest("order", &known).unwrap(), "orders");
        assert_eq!(nearest("custmoers", &known).unwrap(), "customers");
        assert_eq!(nearest("weather", &known), None);
    }
}
