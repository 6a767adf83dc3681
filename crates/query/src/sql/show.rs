//! `SHOW`, `DESCRIBE`, `EXPLAIN` and `SET`, in Athena's and DuckDB's spellings.

use datafusion::sql::sqlparser::tokenizer::{Token, Word};
use lakebed_types::{Error, ErrorKind, Result, StatementKind};

use super::{
    QualifiedName,
    classify::unsupported,
    cursor::Cursor,
    statement::{Ast, Source, Statement},
    tokens::is_word,
};

/// What a `SHOW` asks for. Patterns are those of `LIKE`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Show {
    /// `SHOW DATABASES`, `SHOW SCHEMAS`.
    Databases { like: Option<String> },
    /// `SHOW TABLES [IN db] [LIKE 'pattern']`: tables and views.
    Tables { database: Option<String>, like: Option<String> },
    /// `SHOW VIEWS [IN db] [LIKE 'pattern']`.
    Views { database: Option<String>, like: Option<String> },
    /// `SHOW COLUMNS FROM t`.
    Columns { table: QualifiedName },
    /// `SHOW CREATE TABLE t`.
    CreateTable { table: QualifiedName },
    /// `SHOW CREATE VIEW v`.
    CreateView { view: QualifiedName },
    /// `SHOW PARTITIONS t`.
    Partitions { table: QualifiedName },
    /// `SHOW FUNCTIONS [LIKE 'pattern']`.
    Functions { like: Option<String> },
    /// `SHOW name`; None is `SHOW ALL`.
    Setting { name: Option<String> },
}

/// What a `DESCRIBE` describes.
#[derive(Debug, Clone)]
pub(crate) enum Describe {
    Table(QualifiedName),
    /// Always a query: its columns are asked for, it is not run.
    Query(Box<Statement>),
}

/// Reads `SHOW …`.
pub(super) fn show(source: &Source<'_>, mut cursor: Cursor<'_>) -> Result<Statement> {
    cursor.expect_word("SHOW")?;
    let known = ["DATABASES", "SCHEMAS", "TABLES", "VIEWS", "COLUMNS", "CREATE", "PARTITIONS", "FUNCTIONS", "ALL"];
    let show = match cursor.eat_any_word(&known) {
        Some("DATABASES" | "SCHEMAS") => Show::Databases { like: like(&mut cursor)? },
        Some("TABLES") => Show::Tables { database: database(&mut cursor)?, like: like(&mut cursor)? },
        Some("VIEWS") => Show::Views { database: database(&mut cursor)?, like: like(&mut cursor)? },
        Some("COLUMNS") => columns(&mut cursor)?,
        Some("CREATE") if cursor.eat_word("TABLE") => Show::CreateTable { table: cursor.name("a table's name")? },
        Some("CREATE") if cursor.eat_word("VIEW") => Show::CreateView { view: cursor.name("a view's name")? },
        Some("CREATE") => return Err(cursor.expected("TABLE or VIEW")),
        Some("PARTITIONS") => Show::Partitions { table: cursor.name("a table's name")? },
        Some("FUNCTIONS") => Show::Functions { like: like(&mut cursor)? },
        Some(_) => Show::Setting { name: None },
        None => Show::Setting { name: Some(setting_name(&mut cursor)?) },
    };
    cursor.expect_end()?;
    Ok(source.other(StatementKind::Show, Ast::Show(show)))
}

fn database(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.eat_any_word(&["IN", "FROM"]).is_none() {
        return Ok(None);
    }
    cursor.identifier("a database's name").map(Some)
}

fn like(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.eat_word("LIKE") || matches!(cursor.peek(), Token::SingleQuotedString(_)) {
        return cursor.string("a pattern").map(Some);
    }
    Ok(None)
}

/// `FROM t`, `IN db.t`, `FROM t IN db`.
fn columns(cursor: &mut Cursor<'_>) -> Result<Show> {
    if cursor.eat_any_word(&["IN", "FROM"]).is_none() {
        return Err(cursor.expected("FROM"));
    }
    let table = cursor.name("a table's name")?;
    let table = match database(cursor)? {
        Some(database) => QualifiedName::new(vec![database, table.table().to_owned()])?,
        None => table,
    };
    Ok(Show::Columns { table })
}

fn setting_name(cursor: &mut Cursor<'_>) -> Result<String> {
    let mut name = cursor.identifier("what to show")?;
    while cursor.eat(&Token::Period) {
        name = format!("{name}.{}", cursor.identifier("a setting's name")?);
    }
    Ok(name)
}

/// Reads `DESCRIBE t`, `DESC t`, `DESCRIBE SELECT …` and `DESCRIBE 's3://…'`.
pub(super) fn describe(source: &Source<'_>, mut cursor: Cursor<'_>) -> Result<Statement> {
    cursor.skip();
    if cursor.is_query() && !is_word(cursor.peek(), "TABLE") {
        let query = source.query(cursor.rest())?;
        let ast = Ast::Describe(Describe::Query(Box::new(query.clone())));
        return Ok(source.around(StatementKind::Describe, &query, ast));
    }
    cursor.eat_any_word(&["TABLE", "EXTENDED", "FORMATTED"]);
    if matches!(cursor.peek(), Token::SingleQuotedString(_)) {
        let query = source.query_of_table(cursor.rest())?;
        let ast = Ast::Describe(Describe::Query(Box::new(query.clone())));
        return Ok(source.around(StatementKind::Describe, &query, ast));
    }
    let table = cursor.name("a table's name")?;
    cursor.expect_end()?;
    Ok(source.other(StatementKind::Describe, Ast::Describe(Describe::Table(table))))
}

/// Reads `SET name = value`, `SET name TO value` and `SET TIME ZONE value`.
pub(super) fn set(source: &Source<'_>, mut cursor: Cursor<'_>) -> Result<Statement> {
    cursor.skip();
    cursor.eat_any_word(&["SESSION", "LOCAL"]);
    let (name, needs_sign) = if cursor.eat_words(&["TIME", "ZONE"]) {
        ("timezone".to_owned(), false)
    } else {
        (setting_name(&mut cursor)?, true)
    };
    if !cursor.eat(&Token::Eq) && !cursor.eat_word("TO") && needs_sign {
        return Err(cursor.expected("="));
    }
    let value = cursor.scalar("a value")?;
    cursor.expect_end()?;
    Ok(source.other(StatementKind::Set, Ast::Set { name, value }))
}

/// Reads `EXPLAIN [ANALYZE] [VERBOSE] [FORMAT name] query` and `EXPLAIN (options) query`.
pub(super) fn explain(source: &Source<'_>, mut cursor: Cursor<'_>) -> Result<Statement> {
    cursor.skip();
    let options = ExplainOptions::read(&mut cursor)?;
    if !cursor.is_query() {
        return Err(match cursor.peek() {
            Token::Word(Word { value, .. }) => unsupported(&format!("EXPLAIN {}", value.to_uppercase())),
            _ => cursor.expected("a query"),
        });
    }
    let inner = source.query(cursor.rest())?;
    let ExplainOptions { analyze, verbose, format } = options;
    let kind = if analyze { StatementKind::ExplainAnalyze } else { StatementKind::Explain };
    let ast = Ast::Explain { inner: Box::new(inner.clone()), analyze, verbose, format };
    Ok(source.around(kind, &inner, ast))
}

/// Whether brackets here hold options of EXPLAIN rather than a query.
pub(super) fn has_option_list(cursor: &Cursor<'_>) -> bool {
    let options = ["ANALYZE", "VERBOSE", "FORMAT"];
    *cursor.peek() == Token::LParen && options.iter().any(|word| is_word(cursor.peek_nth(1), word))
}

#[derive(Default)]
struct ExplainOptions {
    analyze: bool,
    verbose: bool,
    format: Option<String>,
}

impl ExplainOptions {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let mut options = Self::default();
        if has_option_list(cursor) {
            let mut listed = Cursor::new(cursor.bracketed()?);
            while !listed.is_at_end() {
                options.read_one(&mut listed, true)?;
                if !listed.is_at_end() {
                    listed.expect(&Token::Comma)?;
                }
            }
            return Ok(options);
        }
        while ["ANALYZE", "VERBOSE", "FORMAT"].iter().any(|word| is_word(cursor.peek(), word)) {
            options.read_one(cursor, false)?;
        }
        Ok(options)
    }

    fn read_one(&mut self, cursor: &mut Cursor<'_>, listed: bool) -> Result<()> {
        match cursor.eat_any_word(&["ANALYZE", "VERBOSE", "FORMAT"]) {
            Some("ANALYZE") => self.analyze = is_on(cursor, listed)?,
            Some("VERBOSE") => self.verbose = is_on(cursor, listed)?,
            Some(_) => self.format = Some(cursor.scalar("a format")?.to_lowercase()),
            None => {
                return Err(Error::new(ErrorKind::Unsupported, format!("EXPLAIN has no option {}", cursor.peek()))
                    .with_hint("The options are ANALYZE, VERBOSE and FORMAT."));
            }
        }
        Ok(())
    }
}

/// The value behind an option of a list; none means on.
fn is_on(cursor: &mut Cursor<'_>, listed: bool) -> Result<bool> {
    if !listed || cursor.is_at_end() || *cursor.peek() == Token::Comma {
        return Ok(true);
    }
    let value = cursor.scalar("TRUE or FALSE")?;
    Ok(!matches!(value.to_lowercase().as_str(), "false" | "off" | "0"))
}
