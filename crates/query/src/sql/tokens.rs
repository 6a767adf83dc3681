//! SQL text as tokens: spaces and comments left out, identifiers folded, placeholders numbered.

use std::collections::{HashMap, HashSet};

use datafusion::sql::sqlparser::{
    keywords::Keyword,
    tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Word},
};
use lakebed_types::{Error, ErrorKind, Result};

use super::dialect::LakebedDialect;

/// How words were spelled that folding has changed, by where they stand.
pub(super) type Spelled = HashMap<(u64, u64), String>;

/// The tokens of one statement, without spaces, comments and the semicolon at its end.
///
/// # Errors
/// `syntax_error` if a literal or comment does not end, the text is empty, or it holds several statements.
pub(super) fn tokenize(sql: &str) -> Result<Vec<TokenWithSpan>> {
    let mut tokens = Tokenizer::new(&LakebedDialect::for_tokens(0), sql)
        .tokenize_with_location()
        .map_err(|error| Error::new(ErrorKind::SyntaxError, plain_message(&error.to_string())))?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    while tokens.last().is_some_and(|last| last.token == Token::SemiColon) {
        tokens.pop();
    }
    if tokens.is_empty() {
        return Err(Error::new(ErrorKind::SyntaxError, "the SQL text is empty"));
    }
    if tokens.iter().any(|token| token.token == Token::SemiColon) {
        return Err(Error::new(ErrorKind::SyntaxError, "the SQL text holds more than one statement")
            .with_hint("Send one statement at a time."));
    }
    Ok(tokens)
}

/// Puts every identifier in lower case, quoted or not, unless its spelling is one of `exact`.
pub(super) fn fold(tokens: &mut [TokenWithSpan], exact: &HashSet<String>) -> Spelled {
    let mut spelled = Spelled::new();
    for token in tokens {
        let Token::Word(word) = &mut token.token else { continue };
        if exact.contains(&word.value) {
            continue;
        }
        let folded = word.value.to_lowercase();
        if folded != word.value {
            let spelling = std::mem::replace(&mut word.value, folded);
            spelled.insert((token.span.start.line, token.span.start.column), spelling);
        }
    }
    spelled
}

/// Puts `SELECT *` before every `FROM` that begins a query without a SELECT, where the parser stops at the table.
pub(super) fn spell_out_selects(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut bare = Vec::new();
    let mut levels = vec![QueryLevel::default()];
    let mut before: Option<&Token> = None;
    for (at, TokenWithSpan { token, .. }) in tokens.iter().enumerate() {
        if *token == Token::RParen && levels.len() > 1 {
            bare.extend(levels.pop().and_then(|level| level.from));
        } else if let Some(level) = levels.last_mut() {
            bare.extend(level.see(at, token, before));
            if *token == Token::LParen {
                levels.push(QueryLevel::default());
            }
        }
        before = Some(token);
    }
    bare.extend(levels.into_iter().filter_map(|level| level.from));
    insert_selects(tokens, bare)
}

/// One level of brackets, as far as it may be a query.
#[derive(Default)]
struct QueryLevel {
    is_begun: bool,
    is_query: bool,
    /// A SELECT, or a FROM that stands for one, has been seen since the last set operation.
    has_select: bool,
    /// A FROM that still waits for its SELECT.
    from: Option<usize>,
}

impl QueryLevel {
    /// Reads a token; where one ends a FROM without a SELECT, says where that FROM stands.
    fn see(&mut self, at: usize, token: &Token, before: Option<&Token>) -> Option<usize> {
        let keyword = match token {
            Token::Word(word) => word.keyword,
            _ => Keyword::NoKeyword,
        };
        if !std::mem::replace(&mut self.is_begun, true) {
            self.is_query = matches!(keyword, Keyword::FROM | Keyword::WITH | Keyword::SELECT | Keyword::VALUES);
        }
        match keyword {
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT if before != Some(&Token::Mul) => {
                (self.is_query, self.has_select) = (true, false);
                return self.from.take();
            }
            Keyword::SELECT => (self.from, self.has_select) = (None, true),
            Keyword::FROM if self.is_query && !self.has_select => (self.from, self.has_select) = (Some(at), true),
            _ if *token == Token::VerticalBarRightAngleBracket => return self.from.take(),
            _ => {}
        }
        None
    }
}

fn insert_selects(tokens: Vec<TokenWithSpan>, mut before: Vec<usize>) -> Vec<TokenWithSpan> {
    before.sort_unstable();
    let mut before = before.into_iter().peekable();
    let mut out = Vec::with_capacity(tokens.len() + 2 * before.len());
    for (at, token) in tokens.into_iter().enumerate() {
        if before.next_if_eq(&at).is_some() {
            out.extend([Token::make_keyword("SELECT"), Token::Mul].map(TokenWithSpan::wrap));
        }
        out.push(token);
    }
    out
}

/// Turns `?`, `?1` and `:name` into the `$1` and `$name` that the planner knows.
///
/// # Errors
/// `syntax_error` if bare `?` stand beside numbered placeholders.
pub(super) fn number_placeholders(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut open: Vec<Token> = Vec::new();
    let (mut bare, mut numbered) = (0usize, false);
    let mut tokens = tokens.into_iter().peekable();
    while let Some(mut token) = tokens.next() {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => open.push(token.token.clone()),
            Token::RParen | Token::RBracket | Token::RBrace => drop(open.pop()),
            Token::Question => {
                bare += 1;
                token.token = Token::Placeholder(format!("${bare}"));
            }
            Token::Placeholder(name) if name == "?" => {
                bare += 1;
                token.token = Token::Placeholder(format!("${bare}"));
            }
            Token::Placeholder(name) => {
                numbered |= name[1..].starts_with(|c: char| c.is_ascii_digit());
                token.token = Token::Placeholder(format!("${}", name[1..].to_lowercase()));
            }
            Token::Colon if starts_named_placeholder(&token, tokens.peek(), out.last(), open.last()) => {
                if let Some(TokenWithSpan { token: Token::Word(word), span }) = tokens.next() {
                    token = TokenWithSpan {
                        token: Token::Placeholder(format!("${}", word.value)),
                        span: Span::new(token.span.start, span.end),
                    };
                }
            }
            _ => {}
        }
        out.push(token);
    }
    if bare > 0 && numbered {
        return Err(Error::new(ErrorKind::SyntaxError, "`?` and numbered placeholders stand in one statement")
            .with_hint("Use either `?` or `$1`, `$2`, … throughout."));
    }
    Ok(out)
}

/// `:name` with nothing between, where an operand is missing: not a slice, a JSON path or a struct's key.
fn starts_named_placeholder(
    colon: &TokenWithSpan,
    next: Option<&TokenWithSpan>,
    before: Option<&TokenWithSpan>,
    open: Option<&Token>,
) -> bool {
    let Some(TokenWithSpan { token: Token::Word(_), span }) = next else { return false };
    if span.start != colon.span.end {
        return false;
    }
    match before.map(|token| &token.token) {
        None | Some(Token::RParen | Token::RBracket | Token::RBrace | Token::Number(..) | Token::Placeholder(_)) => {
            false
        }
        Some(Token::SingleQuotedString(_)) => false,
        Some(Token::Word(word)) => {
            word.quote_style.is_none() && word.keyword != Keyword::NoKeyword && open != Some(&Token::LBrace)
        }
        Some(_) => true,
    }
}

/// Whether the token is this unquoted word.
pub(super) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(Word { value, quote_style: None, .. }) if value.eq_ignore_ascii_case(word))
}

/// The user's text from one token's start up to another's end.
pub(super) fn text_between(sql: &str, start: Location, end: Location) -> &str {
    let (from, to) = (offset_of(sql, start), offset_of(sql, end));
    sql.get(from..to.max(from)).unwrap_or_default()
}

/// Bytes before a location, whose lines and columns count characters from 1.
fn offset_of(sql: &str, location: Location) -> usize {
    let (mut line, mut column) = (1, 1);
    for (offset, ch) in sql.char_indices() {
        if (line, column) >= (location.line, location.column) {
            return offset;
        }
        if ch == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    sql.len()
}

/// The parser's message in our style: lower case, without a prefix.
pub(super) fn plain_message(message: &str) -> String {
    message
        .trim_start_matches("sql parser error: ")
        .replace("Expected: ", "expected ")
        .replace("found: ", "found ")
        .replace(" at Line: ", " at line ")
        .replace(", Column: ", ", column ")
        .replace("EOF", "the end of the text")
}
