//! What a statement is. Classified once, on the syntax tree; permissions, history and every API read this answer.

use serde::{Deserialize, Serialize};

/// Athena's three classes of statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StatementClass {
    /// Reads or writes rows: `SELECT`, `INSERT`, `COPY … TO`.
    Dml,
    /// Changes the catalog: `CREATE`, `DROP`, CTAS.
    Ddl,
    /// Says something about the catalog or a plan: `SHOW`, `DESCRIBE`, `EXPLAIN`.
    Utility,
}

/// The kind of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StatementKind {
    /// `SELECT`, `VALUES`, `FROM t SELECT`, `WITH …`.
    Select,
    /// `INSERT INTO`.
    Insert,
    /// `COPY … TO`.
    CopyTo,
    /// `EXPLAIN` without running.
    Explain,
    /// `EXPLAIN ANALYZE`, which runs the statement.
    ExplainAnalyze,
    /// `SHOW …`.
    Show,
    /// `DESCRIBE t`.
    Describe,
    /// `SET name = value` of an allowed setting.
    Set,
    /// `CREATE DATABASE`.
    CreateDatabase,
    /// `DROP DATABASE`.
    DropDatabase,
    /// `CREATE EXTERNAL TABLE … LOCATION`.
    CreateExternalTable,
    /// `CREATE TABLE … AS SELECT`.
    CreateTableAs,
    /// `DROP TABLE`.
    DropTable,
    /// `CREATE VIEW`.
    CreateView,
    /// `DROP VIEW`.
    DropView,
}

impl StatementKind {
    /// The class, as Athena reports it.
    pub fn class(self) -> StatementClass {
        use StatementKind as K;
        match self {
            K::Select | K::Insert | K::CopyTo => StatementClass::Dml,
            K::Explain | K::ExplainAnalyze | K::Show | K::Describe | K::Set => StatementClass::Utility,
            K::CreateDatabase | K::DropDatabase | K::CreateExternalTable | K::CreateTableAs => StatementClass::Ddl,
            K::DropTable | K::CreateView | K::DropView => StatementClass::Ddl,
        }
    }

    /// Whether a principal who may only read may run it.
    pub fn is_read_only(self) -> bool {
        use StatementKind as K;
        matches!(self, K::Select | K::Explain | K::ExplainAnalyze | K::Show | K::Describe | K::Set)
    }
}
