//! Reading the statements that we parse ourselves, token by token.

use datafusion::sql::sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Word},
};
use lakebed_types::{Error, ErrorKind, Result};

use super::{QualifiedName, tokens::is_word};

/// A place in a list of tokens.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    tokens: &'a [TokenWithSpan],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(tokens: &'a [TokenWithSpan]) -> Self {
        Self { tokens, at: 0 }
    }

    pub(super) fn peek(&self) -> &'a Token {
        self.peek_nth(0)
    }

    pub(super) fn peek_nth(&self, ahead: usize) -> &'a Token {
        self.tokens.get(self.at + ahead).map_or(&Token::EOF, |token| &token.token)
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [TokenWithSpan] {
        &self.tokens[self.at..]
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(super) fn skip(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len());
    }

    pub(super) fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        if found {
            self.skip();
        }
        found
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = is_word(self.peek(), word);
        if found {
            self.skip();
        }
        found
    }

    /// Eats all of these words, or none.
    pub(super) fn eat_words(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(i, word)| is_word(self.peek_nth(i), word));
        if found {
            self.at += words.len();
        }
        found
    }

    pub(super) fn eat_any_word(&mut self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().find(|word| self.eat_word(word)).copied()
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.eat_word(word) { Ok(()) } else { Err(self.expected(word)) }
    }

    pub(super) fn expect(&mut self, token: &Token) -> Result<()> {
        if self.eat(token) { Ok(()) } else { Err(self.expected(&format!("`{token}`"))) }
    }

    pub(super) fn expect_end(&self) -> Result<()> {
        if self.is_at_end() { Ok(()) } else { Err(self.expected("the end of the statement")) }
    }

    /// An identifier, quoted or not.
    pub(super) fn identifier(&mut self, what: &str) -> Result<String> {
        match self.peek() {
            Token::Word(word) => {
                self.skip();
                Ok(word.value.clone())
            }
            _ => Err(self.expected(what)),
        }
    }

    /// `a`, `a.b` or `a.b.c`.
    pub(super) fn name(&mut self, what: &str) -> Result<QualifiedName> {
        let mut parts = vec![self.identifier(what)?];
        while self.eat(&Token::Period) {
            parts.push(self.identifier(what)?);
        }
        QualifiedName::new(parts)
    }

    /// `(a, b, c)`.
    pub(super) fn identifier_list(&mut self, what: &str) -> Result<Vec<String>> {
        self.expect(&Token::LParen)?;
        let mut list = vec![self.identifier(what)?];
        while self.eat(&Token::Comma) {
            list.push(self.identifier(what)?);
        }
        self.expect(&Token::RParen)?;
        Ok(list)
    }

    /// A string literal.
    pub(super) fn string(&mut self, what: &str) -> Result<String> {
        match self.peek() {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => {
                self.skip();
                Ok(text.clone())
            }
            _ => Err(self.expected(what)),
        }
    }

    /// A setting's value: a string, a number or a word, as text.
    pub(super) fn scalar(&mut self, what: &str) -> Result<String> {
        let minus = if self.eat(&Token::Minus) { "-" } else { "" };
        let value = match self.peek() {
            Token::Number(digits, _) => digits.clone(),
            Token::SingleQuotedString(text) if minus.is_empty() => text.clone(),
            Token::Word(word) if minus.is_empty() => word.value.clone(),
            _ => return Err(self.expected(what)),
        };
        self.skip();
        Ok(format!("{minus}{value}"))
    }

    /// What stands between brackets; the cursor must be at the opening one and ends behind the closing one.
    pub(super) fn bracketed(&mut self) -> Result<&'a [TokenWithSpan]> {
        self.expect(&Token::LParen)?;
        let start = self.at;
        let mut depth = 1;
        while !self.is_at_end() {
            match self.peek() {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            self.skip();
            if depth == 0 {
                return Ok(&self.tokens[start..self.at - 1]);
            }
        }
        Err(self.expected("`)`"))
    }

    /// Whether a query begins here.
    pub(super) fn is_query(&self) -> bool {
        match self.peek() {
            Token::LParen => true,
            Token::Word(Word { keyword, .. }) => {
                matches!(keyword, Keyword::SELECT | Keyword::WITH | Keyword::FROM | Keyword::VALUES | Keyword::TABLE)
            }
            _ => false,
        }
    }

    /// The error for what stands here.
    pub(super) fn expected(&self, what: &str) -> Error {
        let message = match self.tokens.get(self.at) {
            Some(TokenWithSpan { token, span }) => {
                let (line, column) = (span.start.line, span.start.column);
                format!("expected {what}, found {token} at line {line}, column {column}")
            }
            None => format!("expected {what}, found the end of the text"),
        };
        Error::new(ErrorKind::SyntaxError, message)
    }
}
