//! What a statement is, by its first words.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use lakebed_types::{Error, ErrorKind, Result, StatementKind};

use super::cursor::Cursor;

/// Words that stand between `CREATE` and what is created.
const MODIFIERS: &[&str] = &["OR", "REPLACE", "TEMP", "TEMPORARY", "MATERIALIZED", "UNBOUNDED", "LOCAL", "GLOBAL"];

/// Statements that others offer: refused by name. A word that is none of these is a mistake in the text.
const OFFERED_ELSEWHERE: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "BEGIN",
    "CALL",
    "CHECKPOINT",
    "CLOSE",
    "COMMENT",
    "COMMIT",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DETACH",
    "EXECUTE",
    "EXPORT",
    "FETCH",
    "FLUSH",
    "GRANT",
    "IMPORT",
    "INSTALL",
    "KILL",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "MSCK",
    "OPTIMIZE",
    "PIVOT",
    "PRAGMA",
    "PREPARE",
    "REFRESH",
    "RELEASE",
    "RENAME",
    "REPLACE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "START",
    "SUMMARIZE",
    "TRUNCATE",
    "UNLOAD",
    "UNPIVOT",
    "UPDATE",
    "UPSERT",
    "USE",
    "VACUUM",
];

/// The kind of a statement.
///
/// # Errors
/// `unsupported` naming the statement, or `syntax_error` if it does not begin as one does.
pub(super) fn classify(tokens: &[TokenWithSpan]) -> Result<StatementKind> {
    use StatementKind as K;
    let mut cursor = Cursor::new(tokens);
    if cursor.is_query() {
        return Ok(K::Select);
    }
    match cursor.eat_any_word(&["EXPLAIN", "DESCRIBE", "DESC", "SHOW", "SET", "CREATE", "DROP", "COPY", "INSERT"]) {
        Some("EXPLAIN") => Ok(if analyzes(&cursor) { K::ExplainAnalyze } else { K::Explain }),
        Some("DESCRIBE" | "DESC") => Ok(K::Describe),
        Some("SHOW") => Ok(K::Show),
        Some("SET") => Ok(K::Set),
        Some("CREATE") => created(cursor, tokens),
        Some("DROP") => dropped(cursor, tokens),
        Some("COPY") => copied(cursor),
        Some("INSERT") => Ok(K::Insert),
        _ if OFFERED_ELSEWHERE.iter().any(|word| super::tokens::is_word(cursor.peek(), word)) => {
            Err(unsupported(&leading_words(tokens)))
        }
        _ => Err(cursor.expected("a statement")),
    }
}

/// Whether ANALYZE stands among the options of an EXPLAIN.
fn analyzes(cursor: &Cursor<'_>) -> bool {
    let mut cursor = cursor.clone();
    if cursor.eat_word("ANALYZE") || cursor.eat_words(&["VERBOSE", "ANALYZE"]) {
        return true;
    }
    if !super::show::has_option_list(&cursor) {
        return false;
    }
    cursor.bracketed().is_ok_and(|options| {
        options.iter().enumerate().any(|(i, token)| {
            let is_off = options.get(i + 1).is_some_and(|next| {
                ["FALSE", "OFF", "0"].iter().any(|off| next.token.to_string().eq_ignore_ascii_case(off))
            });
            super::tokens::is_word(&token.token, "ANALYZE") && !is_off
        })
    })
}

fn created(mut cursor: Cursor<'_>, tokens: &[TokenWithSpan]) -> Result<StatementKind> {
    let is_materialized = tokens.iter().take(4).any(|token| super::tokens::is_word(&token.token, "MATERIALIZED"));
    while cursor.eat_any_word(MODIFIERS).is_some() {}
    match cursor.eat_any_word(&["DATABASE", "SCHEMA", "EXTERNAL", "TABLE", "VIEW"]) {
        Some("DATABASE" | "SCHEMA") => Ok(StatementKind::CreateDatabase),
        Some("EXTERNAL") => Ok(StatementKind::CreateExternalTable),
        Some("TABLE") => Ok(StatementKind::CreateTableAs),
        Some("VIEW") if !is_materialized => Ok(StatementKind::CreateView),
        _ => Err(unsupported(&leading_words(tokens))),
    }
}

fn dropped(mut cursor: Cursor<'_>, tokens: &[TokenWithSpan]) -> Result<StatementKind> {
    match cursor.eat_any_word(&["DATABASE", "SCHEMA", "TABLE", "VIEW"]) {
        Some("DATABASE" | "SCHEMA") => Ok(StatementKind::DropDatabase),
        Some("TABLE") => Ok(StatementKind::DropTable),
        Some("VIEW") => Ok(StatementKind::DropView),
        _ => Err(unsupported(&leading_words(tokens))),
    }
}

/// `COPY … TO`, told from `COPY … FROM` and `COPY INTO` by the word behind the table or query.
fn copied(mut cursor: Cursor<'_>) -> Result<StatementKind> {
    if *cursor.peek() == Token::LParen {
        cursor.bracketed()?;
    } else {
        while !cursor.is_at_end() && !["TO", "FROM", "INTO"].iter().any(|w| super::tokens::is_word(cursor.peek(), w)) {
            cursor.skip();
        }
    }
    match cursor.eat_any_word(&["TO", "FROM", "INTO"]) {
        Some("TO") => Ok(StatementKind::CopyTo),
        Some(word) => Err(unsupported(&format!("COPY {word}"))),
        None => Err(cursor.expected("TO")),
    }
}

/// The statement's name: its first word, and the second where that tells more.
fn leading_words(tokens: &[TokenWithSpan]) -> String {
    let mut words = tokens.iter().map_while(|token| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
        _ => None,
    });
    let first = words.next().unwrap_or_default();
    let tells_more = matches!(first.as_str(), "CREATE" | "DROP" | "ALTER" | "LOAD" | "LOCK" | "START");
    match words.find(|word| !MODIFIERS.contains(&word.as_str()) || word == "MATERIALIZED") {
        Some(second) if tells_more => format!("{first} {second}"),
        _ => first,
    }
}

/// The error for a statement that is not offered.
pub(super) fn unsupported(statement: &str) -> Error {
    let shown: String = statement.chars().take(64).collect();
    Error::new(ErrorKind::Unsupported, format!("statement {shown} is not supported"))
}
