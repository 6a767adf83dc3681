//! `CREATE`, `DROP`, `COPY … TO` and `INSERT`.

use std::collections::VecDeque;

use datafusion::sql::{
    parser::{CreateExternalTable as Parsed, DFParserBuilder, Statement as EngineStatement},
    sqlparser::{
        ast::Value,
        tokenizer::{Token, TokenWithSpan},
    },
};
use lakebed_types::{Error, ErrorKind, Result, StatementKind};

use super::{
    QualifiedName,
    cursor::Cursor,
    dialect::LakebedDialect,
    statement::{Ast, ColumnDefinition, CopyTo, CreateExternalTable, CreateTableAs, CreateView, Source, Statement},
    tokens::{is_word, plain_message},
};

/// Stands for a format that is not given.
const FORMAT_OF_FILES: &str = "auto";

/// Reads `CREATE DATABASE [IF NOT EXISTS] name [COMMENT '…'] [LOCATION '…']`.
pub(super) fn create_database(source: &Source<'_>, mut cursor: Cursor<'_>) -> Result<Statement> {
    cursor.skip();
    if cursor.eat_any_word(&["DATABASE", "SCHEMA"]).is_none() {
        return Err(cursor.expected("DATABASE"));
    }
    let if_not_exists = cursor.eat_words(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("a database's name")?;
    if cursor.eat_word("COMMENT") {
        cursor.string("a comment")?;
    }
    let location = cursor.eat_word("LOCATION").then(|| cursor.string("a location")).transpose()?;
    cursor.expect_end()?;
    Ok(source.other(StatementKind::CreateDatabase, Ast::CreateDatabase { name, if_not_exists, location }))
}

/// Reads `DROP DATABASE [IF EXISTS] name [CASCADE|RESTRICT]`.
pub(super) fn drop_database(source: &Source<'_>, mut cursor: Cursor<'_>) -> Result<Statement> {
    cursor.skip();
    cursor.skip();
    let if_exists = cursor.eat_words(&["IF", "EXISTS"]);
    let name = cursor.name("a database's name")?;
    let cascade = cursor.eat_any_word(&["CASCADE", "RESTRICT"]) == Some("CASCADE");
    cursor.expect_end()?;
    Ok(source.other(StatementKind::DropDatabase, Ast::DropDatabase { name, if_exists, cascade }))
}

/// Reads `DROP TABLE|VIEW [IF EXISTS] name`.
pub(super) fn drop_relation(source: &Source<'_>, mut cursor: Cursor<'_>) -> Result<Statement> {
    cursor.skip();
    let is_view = is_word(cursor.peek(), "VIEW");
    cursor.skip();
    let if_exists = cursor.eat_words(&["IF", "EXISTS"]);
    let name = cursor.name("a name")?;
    cursor.eat_word("RESTRICT");
    cursor.expect_end()?;
    Ok(if is_view {
        source.other(StatementKind::DropView, Ast::DropView { name, if_exists })
    } else {
        source.other(StatementKind::DropTable, Ast::DropTable { name, if_exists })
    })
}

/// Reads `CREATE [OR REPLACE] VIEW [IF NOT EXISTS] name [(columns)] AS query`.
pub(super) fn create_view(source: &Source<'_>, mut cursor: Cursor<'_>) -> Result<Statement> {
    cursor.skip();
    let or_replace = cursor.eat_words(&["OR", "REPLACE"]);
    refuse_temporary(&cursor)?;
    cursor.expect_word("VIEW")?;
    let if_not_exists = cursor.eat_words(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("a view's name")?;
    let columns = match cursor.peek() {
        Token::LParen => cursor.identifier_list("a column's name")?,
        _ => Vec::new(),
    };
    cursor.expect_word("AS")?;
    refuse_placeholders(cursor.rest(), "a view")?;
    let query = source.query(cursor.rest())?;
    let query_sql = source.text_of(cursor.rest()).to_owned();
    let view = CreateView { name, query_sql, query: Box::new(query.clone()), columns, if_not_exists, or_replace };
    Ok(source.around(StatementKind::CreateView, &query, Ast::CreateView(view)))
}

/// Reads `CREATE [OR REPLACE] TABLE [IF NOT EXISTS] name [STORED AS …] [PARTITIONED BY (…)] [LOCATION '…']
/// [WITH (name = value)] AS query`.
pub(super) fn create_table_as(source: &Source<'_>, mut cursor: Cursor<'_>) -> Result<Statement> {
    cursor.skip();
    let or_replace = cursor.eat_words(&["OR", "REPLACE"]);
    refuse_temporary(&cursor)?;
    cursor.expect_word("TABLE")?;
    let if_not_exists = cursor.eat_words(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("a table's name")?;
    let clauses = TableClauses::read(&mut cursor)?;
    if !cursor.eat_word("AS") {
        return Err(without_query(&cursor));
    }
    let query = source.query(cursor.rest())?;
    let TableClauses { format, location, partitioned_by, options } = clauses;
    let query_box = Box::new(query.clone());
    let table =
        CreateTableAs { name, query: query_box, if_not_exists, or_replace, format, location, partitioned_by, options };
    Ok(source.around(StatementKind::CreateTableAs, &query, Ast::CreateTableAs(table)))
}

fn without_query(cursor: &Cursor<'_>) -> Error {
    if cursor.is_at_end() || *cursor.peek() == Token::LParen {
        return Error::new(ErrorKind::Unsupported, "CREATE TABLE without a query is not supported").with_hint(
            "Write CREATE TABLE … AS SELECT …, or CREATE EXTERNAL TABLE … LOCATION '…' for files that exist.",
        );
    }
    cursor.expected("AS")
}

/// Clauses between a table's name and `AS`, in any order.
#[derive(Default)]
struct TableClauses {
    format: Option<String>,
    location: Option<String>,
    partitioned_by: Vec<String>,
    options: Vec<(String, String)>,
}

impl TableClauses {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let mut clauses = Self::default();
        loop {
            if cursor.eat_words(&["STORED", "AS"]) {
                clauses.format = Some(cursor.scalar("a format")?.to_lowercase());
            } else if cursor.eat_words(&["PARTITIONED", "BY"]) {
                clauses.partitioned_by = cursor.identifier_list("a column's name")?;
            } else if cursor.eat_word("LOCATION") {
                clauses.location = Some(cursor.string("a location")?);
            } else if cursor.eat_word("WITH") {
                clauses.options.extend(option_list(cursor)?);
            } else {
                break;
            }
        }
        clauses.lift_options();
        Ok(clauses)
    }

    /// Athena writes the clauses as properties.
    fn lift_options(&mut self) {
        let options = std::mem::take(&mut self.options);
        for (name, value) in options {
            match name.as_str() {
                "format" => self.format = Some(value.to_lowercase()),
                "external_location" | "location" => self.location = Some(value),
                "partitioned_by" => self.partitioned_by = value.split(',').map(str::to_owned).collect(),
                _ => self.options.push((name, value)),
            }
        }
    }
}

/// `(name = value, name value, …)`; an `ARRAY['a', 'b']` comes out as `a,b`.
fn option_list(cursor: &mut Cursor<'_>) -> Result<Vec<(String, String)>> {
    let mut inner = Cursor::new(cursor.bracketed()?);
    let mut options = Vec::new();
    while !inner.is_at_end() {
        let mut name = match inner.peek() {
            Token::SingleQuotedString(_) => inner.string("an option")?,
            _ => inner.identifier("an option")?,
        };
        while inner.eat(&Token::Period) {
            name = format!("{name}.{}", inner.identifier("an option")?);
        }
        inner.eat(&Token::Eq);
        let value = match inner.eat_word("ARRAY") {
            true => array_of_strings(&mut inner)?,
            false if inner.is_at_end() || *inner.peek() == Token::Comma => "true".to_owned(),
            false => inner.scalar("a value")?,
        };
        options.push((name.to_lowercase(), value));
        if !inner.is_at_end() {
            inner.expect(&Token::Comma)?;
        }
    }
    Ok(options)
}

fn array_of_strings(cursor: &mut Cursor<'_>) -> Result<String> {
    cursor.expect(&Token::LBracket)?;
    let mut items = vec![cursor.string("a string")?];
    while cursor.eat(&Token::Comma) {
        items.push(cursor.string("a string")?);
    }
    cursor.expect(&Token::RBracket)?;
    Ok(items.join(","))
}

/// Reads `COPY t|(query) TO 'target' [STORED AS …] [PARTITIONED BY (…)] [OPTIONS (…)] [(FORMAT …)]`.
pub(super) fn copy_to(source: &Source<'_>, mut cursor: Cursor<'_>) -> Result<Statement> {
    cursor.skip();
    let query = if *cursor.peek() == Token::LParen {
        source.query(cursor.bracketed()?)?
    } else {
        let start = cursor.rest();
        cursor.name("a table's name")?;
        source.query_of_table(&start[..start.len() - cursor.rest().len()])?
    };
    cursor.expect_word("TO")?;
    let mut copy = CopyTo {
        source: Box::new(query.clone()),
        target: cursor.string("a location")?,
        format: None,
        partitioned_by: Vec::new(),
        options: Vec::new(),
    };
    while !cursor.is_at_end() {
        copy_clause(&mut copy, &mut cursor)?;
    }
    Ok(source.around(StatementKind::CopyTo, &query, Ast::CopyTo(copy)))
}

fn copy_clause(copy: &mut CopyTo, cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.eat_words(&["STORED", "AS"]) {
        copy.format = Some(cursor.scalar("a format")?.to_lowercase());
    } else if cursor.eat_words(&["PARTITIONED", "BY"]) {
        copy.partitioned_by = cursor.identifier_list("a column's name")?;
    } else if cursor.eat_any_word(&["OPTIONS", "WITH"]).is_some() || *cursor.peek() == Token::LParen {
        for (name, value) in option_list(cursor)? {
            match name.as_str() {
                "format" => copy.format = Some(value.to_lowercase()),
                _ => copy.options.push((name, value)),
            }
        }
    } else {
        return Err(cursor.expected("STORED AS, PARTITIONED BY or options in brackets"));
    }
    Ok(())
}

/// Reads `INSERT INTO t [(columns)] query`.
pub(super) fn insert(source: &Source<'_>, mut cursor: Cursor<'_>) -> Result<Statement> {
    cursor.skip();
    cursor.expect_word("INTO")?;
    cursor.eat_word("TABLE");
    let table = cursor.name("a table's name")?;
    let is_column_list = *cursor.peek() == Token::LParen
        && !{
            let mut inside = cursor.clone();
            inside.skip();
            inside.is_query()
        };
    let columns = if is_column_list { cursor.identifier_list("a column's name")? } else { Vec::new() };
    if !cursor.is_query() {
        return Err(cursor.expected("VALUES or a query"));
    }
    let query = source.query(cursor.rest())?;
    let ast = Ast::Insert { table, columns, source: Box::new(query.clone()) };
    Ok(source.around(StatementKind::Insert, &query, ast))
}

/// Reads `CREATE EXTERNAL TABLE …`, whose column types are the engine's parser's business.
pub(super) fn create_external_table(source: &Source<'_>, cursor: Cursor<'_>) -> Result<Statement> {
    let mut tokens = cursor.rest().to_vec();
    if !tokens.iter().any(|token| is_word(&token.token, "STORED")) {
        // The engine's parser insists on a format; ours is found in the files.
        tokens.extend(["STORED", "AS", FORMAT_OF_FILES].map(|word| TokenWithSpan::wrap(Token::make_keyword(word))));
    }
    let dialect = LakebedDialect::for_tokens(tokens.len());
    let mut parser =
        DFParserBuilder::new(tokens).with_dialect(&dialect).build().map_err(|error| syntax_error(&error))?;
    let parsed: VecDeque<EngineStatement> = parser.parse_statements().map_err(|error| syntax_error(&error))?;
    match parsed.into_iter().next() {
        Some(EngineStatement::CreateExternalTable(parsed)) => {
            let table = external_table(parsed)?;
            Ok(source.other(StatementKind::CreateExternalTable, Ast::CreateExternalTable(table)))
        }
        _ => Err(cursor.expected("CREATE EXTERNAL TABLE")),
    }
}

fn external_table(parsed: Parsed) -> Result<CreateExternalTable> {
    if parsed.temporary || parsed.unbounded || !parsed.constraints.is_empty() || !parsed.order_exprs.is_empty() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "an external table cannot be TEMPORARY or UNBOUNDED, and has no constraints and no WITH ORDER",
        ));
    }
    let [location] = <[String; 1]>::try_from(parsed.locations)
        .map_err(|_| Error::new(ErrorKind::Unsupported, "an external table has one location"))?;
    let columns = parsed.columns.into_iter();
    Ok(CreateExternalTable {
        name: QualifiedName::of(&parsed.name)?,
        columns: columns
            .map(|column| ColumnDefinition { name: column.name.value, sql_type: column.data_type.to_string() })
            .collect(),
        format: Some(parsed.file_type.to_lowercase()).filter(|format| format != FORMAT_OF_FILES),
        location,
        partitioned_by: parsed.table_partition_cols.iter().map(|name| unquoted(name)).collect(),
        options: parsed.options.into_iter().map(|(name, value)| (name.to_lowercase(), option_text(value))).collect(),
        if_not_exists: parsed.if_not_exists,
        or_replace: parsed.or_replace,
    })
}

/// The engine's parser hands partition columns on with their quotes.
fn unquoted(name: &str) -> String {
    name.trim_matches(['"', '`']).to_owned()
}

fn option_text(value: Value) -> String {
    match value {
        Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) | Value::EscapedStringLiteral(text) => text,
        other => other.to_string(),
    }
}

fn syntax_error(error: &datafusion::error::DataFusionError) -> Error {
    let message = error.strip_backtrace();
    let message =
        message.trim_start_matches("SQL error: ").trim_start_matches("ParserError(\"").trim_end_matches("\")");
    Error::new(ErrorKind::SyntaxError, plain_message(message))
}

fn refuse_temporary(cursor: &Cursor<'_>) -> Result<()> {
    let words = ["TEMP", "TEMPORARY", "LOCAL", "GLOBAL", "UNBOUNDED"];
    match words.iter().find(|word| is_word(cursor.peek(), word)) {
        Some(word) => Err(Error::new(ErrorKind::Unsupported, format!("CREATE {word} is not supported"))),
        None => Ok(()),
    }
}

fn refuse_placeholders(tokens: &[TokenWithSpan], what: &str) -> Result<()> {
    if tokens.iter().any(|token| matches!(token.token, Token::Placeholder(_))) {
        return Err(Error::new(ErrorKind::Unsupported, format!("{what} cannot have parameters")));
    }
    Ok(())
}
