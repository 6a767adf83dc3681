//! Names of databases and tables: lower case in the catalog, matched without regard to case.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// Bytes that a name may have, as in Athena.
const MAX_NAME_BYTES: usize = 255;

/// A database's name: lower case, 1 to 255 bytes, no control characters, dots, slashes or quotes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseName(String);

/// A table's full name, `database.table`, both parts lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    database: DatabaseName,
    table: String,
}

impl DatabaseName {
    /// Checks a name and puts it in lower case.
    ///
    /// # Errors
    /// `invalid_request` if the name is empty, too long or has a forbidden character.
    pub fn new(name: &str) -> Result<Self, Error> {
        normalize("database", name).map(Self)
    }

    /// The database that a server's own locations become: `default`.
    pub fn default_database() -> Self {
        Self("default".to_owned())
    }

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TableName {
    /// Checks a table's name and puts it in lower case.
    ///
    /// # Errors
    /// `invalid_request` if the name is empty, too long or has a forbidden character.
    pub fn new(database: DatabaseName, table: &str) -> Result<Self, Error> {
        Ok(Self { database, table: normalize("table", table)? })
    }

    /// Reads `table` or `database.table`; a bare table is one of `default_database`.
    ///
    /// # Errors
    /// `invalid_request` if a part is not a name, or there are more than two.
    pub fn parse(text: &str, default_database: &DatabaseName) -> Result<Self, Error> {
        match text.split_once('.') {
            Some((database, table)) => Self::new(DatabaseName::new(database)?, table),
            None => Self::new(default_database.clone(), text),
        }
    }

    /// The database, in lower case.
    pub fn database(&self) -> &DatabaseName {
        &self.database
    }

    /// The table alone, in lower case.
    pub fn table(&self) -> &str {
        &self.table
    }
}

fn normalize(what: &str, name: &str) -> Result<String, Error> {
    let forbidden = |c: char| c.is_control() || matches!(c, '.' | '/' | '\\' | '"' | '\'' | '`');
    if name.trim().is_empty() || name.len() > MAX_NAME_BYTES || name.contains(forbidden) {
        let shown: String = name.chars().take(64).collect();
        return Err(Error::invalid_request(format!("`{}` is not a {what} name", shown.escape_debug()))
            .with_hint("Names have 1 to 255 bytes, without dots, slashes, quotes and control characters."));
    }
    Ok(name.to_lowercase())
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

impl FromStr for DatabaseName {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::new(name)
    }
}

impl TryFrom<String> for DatabaseName {
    type Error = Error;
    fn try_from(name: String) -> Result<Self, Error> {
        Self::new(&name)
    }
}

impl From<DatabaseName> for String {
    fn from(name: DatabaseName) -> String {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case() {
        let name = TableName::parse("Sales.Orders 2024", &DatabaseName::default_database()).unwrap();
        assert_eq!(name.to_string(), "sales.orders 2024");
        assert_eq!(TableName::parse("T", name.database()).unwrap().to_string(), "sales.t");
    }

    #[test]
    fn paths_and_quotes_are_not_names() {
        for bad in ["", " ", "../etc", "a.b.c", "a\"b", "a\nb", &"x".repeat(256)] {
            assert!(TableName::parse(bad, &DatabaseName::default_database()).is_err(), "{bad}");
        }
    }
}
