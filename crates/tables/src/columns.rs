//! Column names: matching without regard to case, and the names that SQL sees.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::Schema;

/// For each column of `table`, its place in `file`: the same name, else the only one that differs in case alone.
pub(crate) fn match_columns(table: &Schema, file: &Schema) -> Vec<Option<usize>> {
    if same_names(table, file) {
        return (0..table.fields().len()).map(Some).collect();
    }
    let mut exact = HashMap::with_capacity(file.fields().len());
    let mut folded: HashMap<String, Option<usize>> = HashMap::with_capacity(file.fields().len());
    for (index, field) in file.fields().iter().enumerate() {
        exact.entry(field.name().as_str()).or_insert(index);
        folded.entry(field.name().to_lowercase()).and_modify(|place| *place = None).or_insert(Some(index));
    }
    let find = |name: &str| exact.get(name).copied().or_else(|| folded.get(&name.to_lowercase()).copied().flatten());
    table.fields().iter().map(|field| find(field.name())).collect()
}

fn same_names(table: &Schema, file: &Schema) -> bool {
    table.fields().len() == file.fields().len()
        && table.fields().iter().zip(file.fields()).all(|(left, right)| left.name() == right.name())
}

/// The names that SQL sees: lower case, except where two columns differ in case only and keep their spelling.
pub(crate) fn sql_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let names: Vec<&str> = names.into_iter().collect();
    let mut seen = HashSet::with_capacity(names.len());
    let mut twice = HashSet::new();
    for name in &names {
        let folded = name.to_lowercase();
        if !seen.insert(folded.clone()) {
            twice.insert(folded);
        }
    }
    let fold = |name: &str| {
        let folded = name.to_lowercase();
        if twice.contains(&folded) { name.to_owned() } else { folded }
    };
    names.into_iter().map(fold).collect()
}
