//! The dialect of Lakebed's SQL: what the parser accepts.

use std::{any::TypeId, cell::Cell};

use datafusion::{
    common::config::{ConfigNonZeroUsize, ConfigOptions},
    sql::sqlparser::{
        ast::Expr,
        dialect::{Dialect, GenericDialect},
        parser::{Parser, ParserError},
    },
};

use crate::SqlLimits;

/// The generic dialect with the friendly parts of DuckDB's.
///
/// The generic dialect also parses clauses that the planner then leaves out without a word (`PREWHERE`, `CONNECT BY`,
/// `WITH TOTALS`, `SETTINGS`, `FORMAT`); those stay off here, so that they are syntax errors and never wrong answers.
///
/// It also counts. The parser tries some functions (`POSITION`, `OVERLAY`, `CONVERT`) in two ways, so that nested ones take
/// twice as long per level; each operand that it starts to read is taken from a budget.
#[derive(Debug)]
pub(super) struct LakebedDialect {
    operands_left: Cell<usize>,
}

impl LakebedDialect {
    /// For a text of this many tokens: enough to read each of them many times over.
    pub(super) fn for_tokens(tokens: usize) -> Self {
        Self { operands_left: Cell::new(10_000 + 16 * tokens) }
    }

    /// Whether the parser was stopped because it started over too often.
    pub(super) fn is_exhausted(&self) -> bool {
        self.operands_left.get() == 0
    }
}

macro_rules! supported {
    ($($feature:ident)*) => { $(fn $feature(&self) -> bool { true })* };
}

impl Dialect for LakebedDialect {
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn parse_prefix(&self, _: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        self.operands_left.set(self.operands_left.get().saturating_sub(1));
        self.is_exhausted().then_some(Err(ParserError::RecursionLimitExceeded))
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"' || ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    supported! {
        allow_extract_custom
        allow_extract_single_quotes
        support_map_literal_syntax
        supports_array_typedef_with_brackets
        supports_bitwise_shift_operators
        supports_comma_separated_trim
        supports_dictionary_syntax
        supports_dollar_placeholder
        supports_extract_comma_syntax
        supports_filter_during_aggregation
        supports_from_first_select
        supports_group_by_expr
        supports_interval_options
        supports_lambda_functions
        supports_limit_comma
        supports_named_fn_args_with_assignment_operator
        supports_nested_comments
        supports_notnull_operator
        supports_numeric_literal_underscores
        supports_order_by_all
        supports_parens_around_table_factor
        supports_pipe_operator
        supports_select_wildcard_except
        supports_select_wildcard_exclude
        supports_select_wildcard_ilike
        supports_select_wildcard_replace
        supports_string_escape_constant
        supports_struct_literal
        supports_trailing_commas
        supports_unicode_string_literal
        supports_values_as_table_factor
        supports_window_clause_named_window_reference
        supports_window_function_null_treatment_arg
    }
}

/// Sets the planner up for statements of this dialect, whose identifiers are folded already.
///
/// NULLs sort last in both directions, and `0.1` is a decimal, not a float.
pub(crate) fn planner_options(options: &mut ConfigOptions, limits: &SqlLimits) {
    let parser = &mut options.sql_parser;
    parser.enable_ident_normalization = false;
    parser.default_null_ordering = "nulls_last".to_owned();
    parser.parse_float_as_decimal = true;
    if let Ok(depth) = ConfigNonZeroUsize::try_new(limits.depth) {
        parser.recursion_limit = depth;
    }
}
