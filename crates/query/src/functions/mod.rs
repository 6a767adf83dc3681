//! Bounded replacements of functions that make much out of little.
//!
//! The engine's memory pool does not see what a scalar function allocates: `repeat('x', 1e9)` is answered with a gigabyte
//! or an aborted process. Each such function is wrapped: how much it would make is worked out first, and too much is an
//! error. Everything else about the function stays as it is.

mod bounded;
mod concatenation;
mod series;
mod size;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use datafusion::{execution::FunctionRegistry, logical_expr::ScalarUDF};
use lakebed_types::{Error, Result};

use bounded::{Rule, bounded};
use concatenation::{BoundEverywhere, StringConcat};

/// Functions that make more than they are given, and what bounds each.
const RULES: &[(&str, Rule)] = &[
    ("repeat", Rule::Repeat),
    ("lpad", Rule::Pad),
    ("rpad", Rule::Pad),
    ("replace", Rule::Replace),
    ("regexp_replace", Rule::Replace),
    ("regexp_like", Rule::Pattern),
    ("regexp_match", Rule::Pattern),
    ("regexp_count", Rule::Pattern),
    ("regexp_instr", Rule::Pattern),
    ("levenshtein", Rule::Pairs),
    ("concat", Rule::Sum),
    ("concat_ws", Rule::Joined),
    (concatenation::STRING_CONCAT, Rule::Sum),
    ("overlay", Rule::Sum),
    ("encode", Rule::Sum),
    ("array_to_string", Rule::Joined),
    ("make_array", Rule::Sum),
    ("array_concat", Rule::Sum),
    ("array_append", Rule::Sum),
    ("array_prepend", Rule::Sum),
    ("array_repeat", Rule::ArrayRepeat),
    ("array_resize", Rule::ArrayResize),
    ("generate_series", Rule::Series),
    ("range", Rule::Series),
];

/// Functions that are taken away: they name files of the store.
const REMOVED: &[&str] = &["input_file_name"];

/// Puts the bounded functions into a session's registry, in place of the engine's.
///
/// # Errors
/// `internal` if the registry cannot be changed.
pub(crate) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    let failed = |error| Error::internal("a function cannot be registered").with_source(error);
    registry.register_udf(Arc::new(ScalarUDF::new_from_impl(StringConcat::new()))).map_err(failed)?;
    let mut functions = HashMap::new();
    for (name, rule) in RULES {
        if let Ok(function) = registry.udf(name) {
            let function = bounded(function, *rule);
            functions.insert(function.name().to_owned(), Arc::clone(&function));
            registry.register_udf(function).map_err(failed)?;
        }
    }
    registry.register_function_rewrite(Arc::new(BoundEverywhere { functions })).map_err(failed)?;
    for name in REMOVED {
        registry.deregister_udf(name).map_err(failed)?;
    }
    Ok(())
}
