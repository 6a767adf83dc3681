//! How the columns of a result are called.
//!
//! The planner works in lower case and names expressions after its own plan. People see the spelling of their alias, of
//! their file, or their expression as they wrote it. So every expression gets a name here that says what it is, columns
//! that would clash are told apart, and what was spelled how is remembered for the end.

use std::collections::{HashMap, HashSet};

use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, visit_expressions_mut};

use super::{statement::Statement, tokens::Spelled};

/// Characters of an expression's text that its name may have.
const MAX_NAME_CHARS: usize = 200;
/// Begins the names of plain columns beside a wildcard, which may clash with what the wildcard stands for.
const BESIDE_WILDCARD: &str = "__column_";

/// What is known of a query's column names before it is planned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// The outermost SELECT's items. Empty: go by the plan's names alone.
    pub(super) output: Vec<OutputItem>,
    /// Spelling of aliases anywhere in the query, by their lower case.
    aliases: HashMap<String, String>,
}

/// One item of the outermost SELECT.
#[derive(Debug, Clone)]
pub(super) enum OutputItem {
    /// Stands for any number of columns.
    Wildcard,
    /// Stands for one column, with this name in the plan.
    Column { planned: String, shown: Shown },
}

/// Where a column's shown name comes from.
#[derive(Debug, Clone)]
pub(super) enum Shown {
    /// The user's own alias, as spelled.
    Alias(String),
    /// A column's name; the file or an inner alias knows the spelling.
    Column(String),
    /// An expression's text.
    Text(Box<Expr>),
}

/// The names of a result's columns: aliases and files as spelled, expressions as written, clashes as `x`, `x_1`, `x_2`.
///
/// `fields` are the plan's names, in order; `spelling` maps a column's lower case to the file's spelling. The answer has
/// as many names as there are fields, each once.
pub(crate) fn output_names<'a>(
    statement: &Statement,
    fields: impl IntoIterator<Item = &'a str>,
    spelling: &HashMap<String, String>,
) -> Vec<String> {
    let fields: Vec<&str> = fields.into_iter().collect();
    let names = &statement.names;
    let shown = fields.iter().zip(names.items_of(&fields)).map(|(field, item)| match item {
        Some(Shown::Alias(alias)) => alias.clone(),
        Some(Shown::Column(column)) => names.spelled(column, spelling),
        Some(Shown::Text(expr)) => text_of(expr, |name| names.spelled(name, spelling)),
        None => names.spelled(field, spelling),
    });
    tell_apart(shown)
}

impl Names {
    fn spelled(&self, name: &str, spelling: &HashMap<String, String>) -> String {
        self.aliases.get(name).or_else(|| spelling.get(name)).map_or_else(|| name.to_owned(), Clone::clone)
    }

    /// The item behind each field; None where it comes from a wildcard, or where nothing is known.
    fn items_of(&self, fields: &[&str]) -> Vec<Option<&Shown>> {
        let mut found = vec![None; fields.len()];
        let is_wildcard = |item: &OutputItem| matches!(item, OutputItem::Wildcard);
        let before = self.output.iter().position(is_wildcard);
        let Some(before) = before else {
            if self.output.len() == fields.len() {
                found = self.output.iter().map(OutputItem::shown).collect();
            }
            return found;
        };
        let behind = self.output.iter().rev().position(is_wildcard).unwrap_or(0);
        if before + behind > fields.len() {
            return found;
        }
        let between = before..fields.len() - behind;
        for (slot, item) in found.iter_mut().zip(&self.output[..before]) {
            *slot = item.shown();
        }
        for (slot, item) in found.iter_mut().rev().zip(self.output.iter().rev().take(behind)) {
            *slot = item.shown();
        }
        let mut items =
            self.output[before..self.output.len() - behind].iter().filter(|item| !is_wildcard(item)).peekable();
        for at in between {
            if let Some(OutputItem::Column { shown, .. }) = items.next_if(|item| item.is_planned_as(fields[at])) {
                found[at] = Some(shown);
            }
        }
        found
    }

    /// Remembers how the aliases of a SELECT are spelled.
    pub(super) fn remember_aliases(&mut self, select: &Select, spelled: &Spelled) {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.remember(alias, spelled);
            }
        }
    }

    /// Remembers how the columns of common table expressions are spelled: `WITH t (A, B) AS …`.
    pub(super) fn remember_ctes(&mut self, query: &Query, spelled: &Spelled) {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        for column in ctes.flat_map(|cte| &cte.alias.columns) {
            self.remember(&column.name, spelled);
        }
    }

    fn remember(&mut self, name: &Ident, spelled: &Spelled) {
        let start = name.span.start;
        if let Some(spelling) = spelled.get(&(start.line, start.column)) {
            self.aliases.insert(name.value.clone(), spelling.clone());
        }
    }
}

impl OutputItem {
    fn shown(&self) -> Option<&Shown> {
        match self {
            OutputItem::Wildcard => None,
            OutputItem::Column { shown, .. } => Some(shown),
        }
    }

    fn is_planned_as(&self, field: &str) -> bool {
        matches!(self, OutputItem::Column { planned, .. } if planned == field)
    }
}

/// Gives every item of a SELECT a name of its own; says how each is to be shown.
///
/// Beside a wildcard, plain columns of the outermost SELECT get a name that cannot clash; further in they keep theirs,
/// because the query around them refers to it.
pub(super) fn name_items(select: &mut Select, spelled: &Spelled, is_outermost: bool) -> Vec<OutputItem> {
    let items = std::mem::take(&mut select.projection);
    let has_wildcard =
        items.iter().any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut taken: HashSet<String> = items.iter().filter_map(plain_name).collect();
    let mut used = HashSet::new();
    let mut output = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        let Some(shown) = shown_as(&item, spelled) else {
            output.push(OutputItem::Wildcard);
            select.projection.push(item);
            continue;
        };
        let wanted = match &shown {
            Shown::Column(_) if has_wildcard && is_outermost => format!("{BESIDE_WILDCARD}{at}"),
            Shown::Text(expr) => text_of(expr, str::to_owned),
            Shown::Column(_) | Shown::Alias(_) => plain_name(&item).unwrap_or_default(),
        };
        let planned = unique(wanted, &used, &taken);
        used.insert(planned.clone());
        taken.insert(planned.clone());
        select.projection.push(with_name(item, &planned));
        output.push(OutputItem::Column { planned, shown });
    }
    output
}

/// The name that an item has without our doing.
fn plain_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(ident.value.clone()),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(|ident| ident.value.clone()),
        _ => None,
    }
}

fn shown_as(item: &SelectItem, spelled: &Spelled) -> Option<Shown> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => {
            let start = alias.span.start;
            let spelling = spelled.get(&(start.line, start.column)).unwrap_or(&alias.value);
            Some(Shown::Alias(spelling.clone()))
        }
        SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => {
            plain_name(item).map(Shown::Column)
        }
        SelectItem::UnnamedExpr(expr) => Some(Shown::Text(Box::new(expr.clone()))),
        _ => None,
    }
}

/// The wanted name, or the first of `x_1`, `x_2`, … that nobody has.
fn unique(wanted: String, used: &HashSet<String>, taken: &HashSet<String>) -> String {
    if !used.contains(&wanted) {
        return wanted;
    }
    let free = |name: &String| !used.contains(name) && !taken.contains(name);
    (1..).map(|n| format!("{wanted}_{n}")).find(free).unwrap_or(wanted)
}

/// Gives an item this name, unless it is a plain column that has it already.
fn with_name(item: SelectItem, name: &str) -> SelectItem {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) if ident.value == name => {
            SelectItem::UnnamedExpr(Expr::Identifier(ident))
        }
        SelectItem::UnnamedExpr(expr) => SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) },
        SelectItem::ExprWithAlias { expr, alias } if alias.value == name => SelectItem::ExprWithAlias { expr, alias },
        SelectItem::ExprWithAlias { expr, .. } => {
            SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) }
        }
        other => other,
    }
}

/// `x`, `x_1`, `x_2`; a name that is there already is not made again.
fn tell_apart(names: impl Iterator<Item = String>) -> Vec<String> {
    let names: Vec<String> = names.collect();
    let taken: HashSet<String> = names.iter().cloned().collect();
    let mut used = HashSet::new();
    let apart = names.into_iter().map(|name| {
        let name = unique(name, &used, &taken);
        used.insert(name.clone());
        name
    });
    apart.collect()
}

/// An expression as text, its columns spelled as asked for and without quotes.
fn text_of(expr: &Expr, spell: impl Fn(&str) -> String) -> String {
    let mut expr = expr.clone();
    let respell = |ident: &mut Ident| *ident = Ident::new(spell(&ident.value));
    let _ = visit_expressions_mut(&mut expr, |expr| {
        match expr {
            Expr::Identifier(ident) => respell(ident),
            Expr::CompoundIdentifier(parts) => parts.iter_mut().for_each(respell),
            _ => {}
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    let text = expr.to_string();
    match text.char_indices().nth(MAX_NAME_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
