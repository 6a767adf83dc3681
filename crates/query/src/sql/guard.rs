//! Limits on the shape of a statement, read off its tokens before the parser builds a tree.
//!
//! The parser guards its own recursion, but chains (`1+1+…`, `UNION … UNION …`) grow a left-deep tree in a loop, and such
//! a tree overflows the stack when it is planned, cloned or dropped. So the depth that the tree would have is worked out
//! here first, and what is too deep is never built.

use datafusion::sql::sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Word},
};
use lakebed_types::{Error, ErrorKind, Result, format_count};

use crate::SqlLimits;

/// Joins of one statement, counting commas in `FROM` and pipe operators.
const MAX_JOINS: usize = 100;
/// `UNION`, `EXCEPT` and `INTERSECT` of one statement.
const MAX_SET_OPERATIONS: usize = 100;
/// `SELECT`s of one statement.
const MAX_SELECTS: usize = 250;
/// Common table expressions of one statement.
pub(super) const MAX_CTES: usize = 100;
/// Tables of one statement once every reference to a common table expression is replaced by its query.
pub(super) const MAX_EXPANDED_TABLES: usize = 1_000;
/// `WITH` inside a common table expression inside a `WITH`, and so on. The planner visits each level twice.
pub(super) const MAX_NESTED_WITHS: usize = 8;

/// Checks the length of the text.
///
/// # Errors
/// `query_too_complex` naming the limit and the length.
pub(super) fn check_length(sql: &str, limits: &SqlLimits) -> Result<()> {
    within("bytes of SQL text", sql.len(), limits.bytes)
}

/// Checks the shape of a statement.
///
/// # Errors
/// `query_too_complex` naming the limit and the value.
pub(super) fn check_tokens(tokens: &[TokenWithSpan], limits: &SqlLimits) -> Result<()> {
    let shape = Shape::of(tokens);
    within("levels of nesting", shape.nesting, limits.depth)?;
    within("operators in one chain", shape.operators, limits.operators)?;
    within("items in one list", shape.list_items, limits.list_items)?;
    within("columns in one SELECT", shape.columns, limits.columns)?;
    within("joins", shape.joins, MAX_JOINS)?;
    within("set operations", shape.set_operations, MAX_SET_OPERATIONS)?;
    within("SELECTs", shape.selects, MAX_SELECTS)
}

/// `query_too_complex` if there are more than the limit allows.
pub(super) fn within(what: &str, value: usize, limit: usize) -> Result<()> {
    if value <= limit {
        return Ok(());
    }
    let (value, limit) = (format_count(value as u64), format_count(limit as u64));
    Err(Error::new(ErrorKind::QueryTooComplex, format!("{value} {what}, the limit is {limit}")))
}

/// Binding strengths that are told apart; a higher one binds tighter.
const STRENGTHS: usize = 7;

/// The largest counts found in a statement.
#[derive(Debug, Default)]
struct Shape {
    nesting: usize,
    operators: usize,
    list_items: usize,
    columns: usize,
    joins: usize,
    set_operations: usize,
    selects: usize,
}

/// What has been read since a bracket or a `CASE` was opened.
#[derive(Debug, Default)]
struct Level {
    is_case: bool,
    clause: Clause,
    commas: usize,
    /// Depth of the tree that stands left of an operator, by the operator's strength.
    chains: [usize; STRENGTHS],
    /// Depth of the operand read last.
    operand: usize,
    /// Deepest tree of this level.
    deepest: usize,
    /// The next `AND` belongs to a `BETWEEN`.
    in_between: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Clause {
    #[default]
    Other,
    Select,
    From,
}

impl Shape {
    fn of(tokens: &[TokenWithSpan]) -> Shape {
        let mut shape = Shape::default();
        let mut levels = vec![Level::default()];
        let (mut angles, mut prefixes) = (0usize, 0usize);
        let mut before: Option<&Token> = None;
        for TokenWithSpan { token, .. } in tokens {
            match token {
                Token::LParen | Token::LBracket | Token::LBrace => {
                    if *token == Token::LBracket {
                        shape.operator(&mut levels, STRENGTHS - 1);
                    }
                    levels.push(Level::default());
                }
                Token::RParen | Token::RBracket | Token::RBrace => shape.close_bracket(&mut levels),
                Token::Lt if before.is_some_and(names_nested_type) => angles += 1,
                Token::Gt if angles > 0 => angles -= 1,
                Token::ShiftRight if angles > 0 => angles = angles.saturating_sub(2),
                Token::Comma => shape.comma(&mut levels),
                Token::VerticalBarRightAngleBracket => {
                    shape.joins += 1;
                    shape.clause(&mut levels, Clause::Other);
                }
                Token::Word(word) if word.quote_style.is_none() => shape.word(word, before, &mut levels),
                _ => {
                    if let Some(strength) = strength(token) {
                        shape.operator(&mut levels, strength);
                    }
                }
            }
            prefixes = if is_prefix(token) { prefixes + 1 } else { 0 };
            shape.nesting = shape.nesting.max(levels.len() - 1 + angles + prefixes.saturating_sub(1));
            before = Some(token);
        }
        while levels.len() > 1 {
            shape.close(&mut levels);
        }
        if let Some(last) = levels.last_mut() {
            shape.end_expression(last);
        }
        shape
    }

    fn word(&mut self, word: &Word, before: Option<&Token>, levels: &mut Vec<Level>) {
        use Keyword as K;
        match word.keyword {
            K::CASE => levels.push(Level { is_case: true, ..Level::default() }),
            K::END if levels.last().is_some_and(|level| level.is_case) => self.close(levels),
            K::OR | K::XOR => self.operator(levels, 0),
            K::AND => {
                let in_between = levels.last_mut().is_some_and(|level| std::mem::take(&mut level.in_between));
                self.operator(levels, if in_between { 2 } else { 1 });
            }
            K::BETWEEN => {
                self.operator(levels, 2);
                if let Some(level) = levels.last_mut() {
                    level.in_between = true;
                }
            }
            K::IS | K::NOTNULL | K::IN | K::LIKE | K::ILIKE | K::RLIKE | K::REGEXP | K::SIMILAR | K::OPERATOR => {
                self.operator(levels, 2);
            }
            K::DIV => self.operator(levels, 5),
            K::AT | K::COLLATE => self.operator(levels, 6),
            K::UNION | K::EXCEPT | K::INTERSECT | K::MINUS => {
                // `* EXCEPT (a)` is no set operation, but counting it does no harm.
                self.set_operations += 1;
                self.clause(levels, Clause::Other);
            }
            K::SELECT => {
                self.selects += 1;
                self.clause(levels, Clause::Select);
            }
            K::FROM if !before.is_some_and(|token| is_keyword(token, K::DISTINCT)) => self.clause(levels, Clause::From),
            K::JOIN => {
                self.joins += 1;
                self.clause(levels, Clause::From);
            }
            K::WHERE | K::GROUP | K::HAVING | K::ORDER | K::LIMIT | K::OFFSET | K::QUALIFY | K::WINDOW | K::VALUES => {
                self.clause(levels, Clause::Other);
            }
            K::WHEN | K::THEN | K::ELSE | K::AS | K::ON => self.end_top_expression(levels),
            _ => {}
        }
    }

    /// An operator: the tree left of it becomes one level deeper.
    fn operator(&mut self, levels: &mut [Level], strength: usize) {
        let Some(level) = levels.last_mut() else { return };
        let left = level.chains[strength..].iter().copied().max().unwrap_or(0).max(level.operand);
        level.chains[strength..].fill(0);
        level.chains[strength] = left + 1;
        level.operand = 0;
        self.operators = self.operators.max(left + 1);
    }

    fn comma(&mut self, levels: &mut [Level]) {
        self.end_top_expression(levels);
        let Some(level) = levels.last_mut() else { return };
        level.commas += 1;
        match level.clause {
            Clause::Select => self.columns = self.columns.max(level.commas + 1),
            Clause::From => self.joins += 1,
            Clause::Other => self.list_items = self.list_items.max(level.commas + 1),
        }
    }

    fn clause(&mut self, levels: &mut [Level], clause: Clause) {
        self.end_top_expression(levels);
        if let Some(level) = levels.last_mut() {
            (level.clause, level.commas) = (clause, 0);
        }
    }

    fn end_top_expression(&mut self, levels: &mut [Level]) {
        if let Some(level) = levels.last_mut() {
            self.end_expression(level);
        }
    }

    fn end_expression(&mut self, level: &mut Level) {
        let depth = level.chains.iter().copied().max().unwrap_or(0).max(level.operand);
        level.deepest = level.deepest.max(depth);
        (level.chains, level.operand, level.in_between) = ([0; STRENGTHS], 0, false);
    }

    /// A closing bracket also closes every `CASE` left open inside it.
    fn close_bracket(&mut self, levels: &mut Vec<Level>) {
        while levels.len() > 1 && levels.last().is_some_and(|level| level.is_case) {
            self.close(levels);
        }
        self.close(levels);
    }

    /// What stood inside is an operand, one level deeper, of what stands outside.
    fn close(&mut self, levels: &mut Vec<Level>) {
        if levels.len() < 2 {
            return;
        }
        let Some(mut inner) = levels.pop() else { return };
        self.end_expression(&mut inner);
        if let Some(outer) = levels.last_mut() {
            outer.operand = outer.operand.max(inner.deepest + 1);
            self.operators = self.operators.max(outer.operand);
        }
    }
}

/// How tight an operator binds, where it is one that takes a left operand.
fn strength(token: &Token) -> Option<usize> {
    Some(match token {
        Token::Eq | Token::DoubleEq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq => 2,
        Token::Spaceship | Token::Assignment | Token::Tilde | Token::TildeAsterisk => 2,
        Token::ExclamationMarkTilde | Token::ExclamationMarkTildeAsterisk | Token::DoubleTilde => 2,
        Token::DoubleTildeAsterisk | Token::ExclamationMarkDoubleTilde => 2,
        Token::ExclamationMarkDoubleTildeAsterisk => 2,
        Token::Plus | Token::Minus => 4,
        Token::Mul | Token::Div | Token::DuckIntDiv | Token::Mod | Token::StringConcat => 5,
        Token::DoubleColon | Token::ExclamationMark | Token::CaretAt | Token::Period | Token::Colon => 6,
        Token::Number(..) | Token::Char(_) | Token::Placeholder(_) | Token::SemiColon | Token::EOF => return None,
        token if is_string(token) => return None,
        // Everything else is an operator of the middle strength, known or not.
        _ => 3,
    })
}

fn is_string(token: &Token) -> bool {
    matches!(
        token,
        Token::Word(_)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::SingleQuotedRawStringLiteral(_)
    )
}

fn is_keyword(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(word) if word.keyword == keyword)
}

/// Words and signs that may stand before an operand any number of times.
fn is_prefix(token: &Token) -> bool {
    let words = [Keyword::NOT, Keyword::INTERVAL, Keyword::PRIOR];
    matches!(token, Token::Minus | Token::Plus | Token::Tilde | Token::ExclamationMark)
        || words.iter().any(|keyword| is_keyword(token, *keyword))
}

/// Whether `<` after this word opens the arguments of a type.
fn names_nested_type(token: &Token) -> bool {
    [Keyword::ARRAY, Keyword::STRUCT, Keyword::MAP].iter().any(|keyword| is_keyword(token, *keyword))
}
