//! The checked statement, and the way there.

use std::collections::HashSet;

use datafusion::sql::sqlparser::{
    ast,
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan},
};
use lakebed_types::{Error, ErrorKind, Result, StatementKind};

use super::{
    Describe, QualifiedName, References, Show, classify,
    cursor::Cursor,
    ddl,
    dialect::LakebedDialect,
    guard,
    names::Names,
    rewrite, show,
    tokens::{self, Spelled, plain_message},
};
use crate::SqlLimits;

/// One statement: what it is, what it says, and what it reads.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// What it is. Permissions, history and every API read this.
    pub(crate) kind: StatementKind,
    /// What it says. Every identifier in it is in lower case.
    pub(crate) ast: Ast,
    /// The tables and locations that it reads.
    pub(crate) references: References,
    pub(super) names: Names,
    sql: String,
    limits: SqlLimits,
}

/// A statement's syntax tree: the planner's for queries, our own for everything else.
#[derive(Debug, Clone)]
pub(crate) enum Ast {
    /// Always `ast::Statement::Query`.
    Query(Box<ast::Statement>),
    Insert {
        table: QualifiedName,
        /// Empty: all columns, in their order.
        columns: Vec<String>,
        source: Box<Statement>,
    },
    CopyTo(CopyTo),
    Explain {
        /// Always a query.
        inner: Box<Statement>,
        analyze: bool,
        verbose: bool,
        /// `indent`, `tree`, `pgjson`, `graphviz`: the planner's names.
        format: Option<String>,
    },
    Show(Show),
    Describe(Describe),
    Set {
        name: String,
        value: String,
    },
    CreateDatabase {
        name: QualifiedName,
        if_not_exists: bool,
        location: Option<String>,
    },
    DropDatabase {
        name: QualifiedName,
        if_exists: bool,
        cascade: bool,
    },
    CreateExternalTable(CreateExternalTable),
    CreateTableAs(CreateTableAs),
    CreateView(CreateView),
    DropTable {
        name: QualifiedName,
        if_exists: bool,
    },
    DropView {
        name: QualifiedName,
        if_exists: bool,
    },
}

/// `COPY (query) TO 'target' (FORMAT …)`.
#[derive(Debug, Clone)]
pub(crate) struct CopyTo {
    /// Always a query; `COPY t TO` is `COPY (FROM t) TO`.
    pub(crate) source: Box<Statement>,
    pub(crate) target: String,
    /// In lower case: `parquet`, `csv`, `json`. None: by the target's ending.
    pub(crate) format: Option<String>,
    pub(crate) partitioned_by: Vec<String>,
    pub(crate) options: Vec<(String, String)>,
}

/// `CREATE EXTERNAL TABLE … LOCATION '…'`.
#[derive(Debug, Clone)]
pub(crate) struct CreateExternalTable {
    pub(crate) name: QualifiedName,
    /// Empty: found in the files.
    pub(crate) columns: Vec<ColumnDefinition>,
    /// In lower case. None: found in the files.
    pub(crate) format: Option<String>,
    pub(crate) location: String,
    /// Names of the partition columns; those with a type also stand in `columns`.
    pub(crate) partitioned_by: Vec<String>,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) if_not_exists: bool,
    pub(crate) or_replace: bool,
}

/// A column as a statement declares it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ColumnDefinition {
    pub(crate) name: String,
    /// A type's SQL name, for `lakebed_types::parse_sql_type`.
    pub(crate) sql_type: String,
}

/// `CREATE TABLE … AS query`.
#[derive(Debug, Clone)]
pub(crate) struct CreateTableAs {
    pub(crate) name: QualifiedName,
    pub(crate) query: Box<Statement>,
    pub(crate) if_not_exists: bool,
    pub(crate) or_replace: bool,
    pub(crate) format: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) partitioned_by: Vec<String>,
    /// `WITH (name = value)`, values as text.
    pub(crate) options: Vec<(String, String)>,
}

/// `CREATE VIEW … AS query`.
#[derive(Debug, Clone)]
pub(crate) struct CreateView {
    pub(crate) name: QualifiedName,
    /// The query as the user wrote it.
    pub(crate) query_sql: String,
    pub(crate) query: Box<Statement>,
    /// Empty: the query's own names.
    pub(crate) columns: Vec<String>,
    pub(crate) if_not_exists: bool,
    pub(crate) or_replace: bool,
}

/// Reads one statement.
///
/// # Errors
/// `query_too_complex` (naming limit and value), `syntax_error`, or `unsupported` (naming the statement or clause).
pub(crate) fn parse(sql: &str, limits: &SqlLimits) -> Result<Statement> {
    parse_with(sql, limits, &HashSet::new())
}

/// Reads the statement again, leaving identifiers alone whose spelling is one of `exact`.
///
/// For tables with columns that differ by case only: their names keep the file's spelling.
///
/// # Errors
/// As [`parse`].
pub(crate) fn fold(statement: &mut Statement, exact: &HashSet<String>) -> Result<()> {
    if !exact.is_empty() {
        *statement = parse_with(&statement.sql, &statement.limits, exact)?;
    }
    Ok(())
}

fn parse_with(sql: &str, limits: &SqlLimits, exact: &HashSet<String>) -> Result<Statement> {
    let (tokens, spelled) = prepare(sql, limits, exact)?;
    Source { sql, limits, spelled: &spelled }.statement(&tokens)
}

/// Text to checked and folded tokens.
pub(super) fn prepare(sql: &str, limits: &SqlLimits, exact: &HashSet<String>) -> Result<(Vec<TokenWithSpan>, Spelled)> {
    guard::check_length(sql, limits)?;
    let mut tokens = tokens::tokenize(sql)?;
    guard::check_tokens(&tokens, limits)?;
    let spelled = tokens::fold(&mut tokens, exact);
    Ok((tokens::number_placeholders(tokens)?, spelled))
}

/// What the readers of statements need besides the tokens.
pub(super) struct Source<'a> {
    pub(super) sql: &'a str,
    limits: &'a SqlLimits,
    pub(super) spelled: &'a Spelled,
}

impl Source<'_> {
    fn statement(&self, tokens: &[TokenWithSpan]) -> Result<Statement> {
        use StatementKind as K;
        let kind = classify::classify(tokens)?;
        let cursor = Cursor::new(tokens);
        match kind {
            K::Select => self.query(tokens),
            K::Insert => ddl::insert(self, cursor),
            K::CopyTo => ddl::copy_to(self, cursor),
            K::Explain | K::ExplainAnalyze => show::explain(self, cursor),
            K::Show => show::show(self, cursor),
            K::Describe => show::describe(self, cursor),
            K::Set => show::set(self, cursor),
            K::CreateDatabase => ddl::create_database(self, cursor),
            K::DropDatabase => ddl::drop_database(self, cursor),
            K::CreateExternalTable => ddl::create_external_table(self, cursor),
            K::CreateTableAs => ddl::create_table_as(self, cursor),
            K::CreateView => ddl::create_view(self, cursor),
            K::DropTable | K::DropView => ddl::drop_relation(self, cursor),
        }
    }

    /// A statement that is not a query.
    pub(super) fn other(&self, kind: StatementKind, ast: Ast) -> Statement {
        self.build(kind, ast, References::default(), Names::default())
    }

    /// A statement that contains a query and reads what that reads.
    pub(super) fn around(&self, kind: StatementKind, inner: &Statement, ast: Ast) -> Statement {
        self.build(kind, ast, inner.references.clone(), inner.names.clone())
    }

    /// A query.
    pub(super) fn query(&self, tokens: &[TokenWithSpan]) -> Result<Statement> {
        let mut query = self.parse_query(tokens)?;
        let (references, names) = rewrite::rewrite(&mut query, self.spelled)?;
        let ast = Ast::Query(Box::new(ast::Statement::Query(query)));
        Ok(self.build(StatementKind::Select, ast, references, names))
    }

    /// `FROM t`, for statements that name a table where they could name a query.
    pub(super) fn query_of_table(&self, name: &[TokenWithSpan]) -> Result<Statement> {
        let mut tokens = vec![TokenWithSpan::wrap(Token::make_keyword("FROM"))];
        tokens.extend_from_slice(name);
        self.query(&tokens)
    }

    fn build(&self, kind: StatementKind, ast: Ast, references: References, names: Names) -> Statement {
        Statement { kind, ast, references, names, sql: self.sql.to_owned(), limits: self.limits.clone() }
    }

    fn parse_query(&self, tokens: &[TokenWithSpan]) -> Result<Box<ast::Query>> {
        let mut tokens = tokens.to_vec();
        // `TABLE t` is `FROM t`.
        if let Some(TokenWithSpan { token: first, .. }) = tokens.first_mut()
            && tokens::is_word(first, "TABLE")
        {
            *first = Token::make_keyword("FROM");
        }
        run_parser(tokens::spell_out_selects(tokens), self.limits, |parser| parser.parse_query())
    }

    /// The user's text from one token to the end of another.
    pub(super) fn text_of(&self, tokens: &[TokenWithSpan]) -> &str {
        match (tokens.first(), tokens.last()) {
            (Some(first), Some(last)) => tokens::text_between(self.sql, first.span.start, last.span.end),
            _ => "",
        }
    }
}

/// Runs one of the parser's readers over all tokens.
pub(super) fn run_parser<T>(
    tokens: Vec<TokenWithSpan>,
    limits: &SqlLimits,
    read: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T> {
    let dialect = LakebedDialect::for_tokens(tokens.len());
    let mut parser = Parser::new(&dialect).with_recursion_limit(limits.depth).with_tokens_with_locations(tokens);
    let outcome = read(&mut parser).and_then(|read| match parser.peek_token_ref() {
        found if found.token == Token::EOF => Ok(read),
        found => parser.expected_ref("the end of the statement", found),
    });
    outcome.map_err(|error| parser_error(error, &dialect, limits))
}

fn parser_error(error: ParserError, dialect: &LakebedDialect, limits: &SqlLimits) -> Error {
    let too_complex = |message: String| Error::new(ErrorKind::QueryTooComplex, message);
    match error {
        _ if dialect.is_exhausted() => too_complex(format!(
            "the statement has more than one meaning at too many places, nested up to {} levels",
            limits.depth
        )),
        ParserError::RecursionLimitExceeded => {
            too_complex(format!("the statement is nested deeper than {} levels", limits.depth))
        }
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            Error::new(ErrorKind::SyntaxError, plain_message(&message))
        }
    }
}
