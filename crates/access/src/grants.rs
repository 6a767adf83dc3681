//! What a key may see: everything, or some databases and tables.

use std::{fmt, str::FromStr};

use lakebed_types::{DatabaseName, Error, Result, TableName};
use serde::{Deserialize, Serialize};

/// Grants that one key may have.
const MAX_GRANTS: usize = 1_000;

/// One thing that a key may see. Written `sales` or `sales.*`, and `sales.orders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Grant {
    /// A database and all that is in it, now and later.
    Database(DatabaseName),
    /// One table or view, whether it exists yet or not.
    Table(TableName),
}

/// What a key may see. In JSON null for everything, else a list of grants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Option<Vec<Grant>>", into = "Option<Vec<Grant>>")]
pub struct Grants(Option<Vec<Grant>>);

impl Grants {
    /// All databases and tables, and files by their paths.
    pub fn everything() -> Self {
        Self(None)
    }

    /// Only these databases and tables.
    ///
    /// # Errors
    /// `invalid_request` for none at all, which would be a key for nothing, and for more than 1,000.
    pub fn only(grants: Vec<Grant>) -> Result<Self> {
        match grants.len() {
            0 => Err(Error::invalid_request("the list of grants is empty")
                .with_hint("Leave `grants` out for a key that sees everything.")),
            1..=MAX_GRANTS => Ok(Self(Some(grants))),
            count => Err(Error::invalid_request(format!("{count} grants are too many for one key"))
                .with_hint(format!("A key has {MAX_GRANTS} at most; grant databases instead of their tables."))),
        }
    }

    /// The grants; None for everything.
    pub fn list(&self) -> Option<&[Grant]> {
        self.0.as_deref()
    }

    /// Whether nothing is hidden.
    pub fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the database, or anything in it, is granted.
    pub fn has_database(&self, database: &DatabaseName) -> bool {
        self.any(|grant| match grant {
            Grant::Database(granted) => granted == database,
            Grant::Table(granted) => granted.database() == database,
        })
    }

    /// Whether the table is granted.
    pub fn has_table(&self, table: &TableName) -> bool {
        self.any(|grant| match grant {
            Grant::Database(granted) => granted == table.database(),
            Grant::Table(granted) => granted == table,
        })
    }

    fn any(&self, matches: impl Fn(&Grant) -> bool) -> bool {
        self.0.as_ref().is_none_or(|grants| grants.iter().any(matches))
    }
}

impl TryFrom<Option<Vec<Grant>>> for Grants {
    type Error = Error;

    fn try_from(grants: Option<Vec<Grant>>) -> Result<Self> {
        grants.map_or_else(|| Ok(Self::everything()), Self::only)
    }
}

impl From<Grants> for Option<Vec<Grant>> {
    fn from(grants: Grants) -> Self {
        grants.0
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grant::Database(database) => database.fmt(f),
            Grant::Table(table) => table.fmt(f),
        }
    }
}

impl FromStr for Grant {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('.') {
            None => DatabaseName::new(text).map(Grant::Database),
            Some((database, "*")) => DatabaseName::new(database).map(Grant::Database),
            Some((database, table)) => TableName::new(DatabaseName::new(database)?, table).map(Grant::Table),
        }
    }
}

impl TryFrom<String> for Grant {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Grant> for String {
    fn from(grant: Grant) -> String {
        grant.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableName {
        TableName::parse(name, &DatabaseName::default_database()).unwrap()
    }

    fn grants(json: &str) -> Grants {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_database_grants_its_tables_and_a_table_shows_its_database() {
        let some = grants(r#"["Sales", "hr.people", "web.*"]"#);
        for seen in ["sales.orders", "hr.people", "web.clicks"] {
            assert!(some.has_table(&table(seen)) && some.has_database(table(seen).database()), "{seen}");
        }
        for hidden in ["hr.salaries", "sales2.orders", "default.t"] {
            assert!(!some.has_table(&table(hidden)), "{hidden}");
        }
        assert!(!some.has_database(&DatabaseName::default_database()));
        assert_eq!(serde_json::to_string(&some).unwrap(), r#"["sales","hr.people","web"]"#);
    }

    #[test]
    fn everything_is_said_by_null_and_never_by_an_empty_list() {
        assert!(grants("null").has_table(&table("any.thing")));
        assert!(serde_json::from_str::<Grants>("[]").is_err());
        assert!(serde_json::from_str::<Grants>(r#"["a.b.c"]"#).is_err());
    }
}
