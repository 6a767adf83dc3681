//! SQL text → one checked, classified and rewritten statement.
//!
//! Knows the text only: which tables and columns exist is the planner's business. The order matters and is always the
//! same: length, tokens, shape, folding, classification, syntax tree, rewriting.

mod classify;
mod cursor;
mod ddl;
mod dialect;
mod expression;
mod guard;
mod names;
mod parameters;
mod quote;
mod references;
mod rewrite;
mod show;
mod statement;
#[cfg(test)]
mod tests;
mod tokens;

pub(crate) use dialect::planner_options;
pub(crate) use expression::expression;
pub(crate) use names::output_names;
pub(crate) use parameters::{bind, parameters};
pub(crate) use quote::{identifier as quote_identifier, literal as quote_literal};
pub(crate) use references::{LocationRef, QualifiedName, ReadFunction, References};
pub(crate) use show::{Describe, Show};
pub(crate) use statement::{
    Ast, ColumnDefinition, CopyTo, CreateExternalTable, CreateTableAs, CreateView, Statement, fold, parse,
};
