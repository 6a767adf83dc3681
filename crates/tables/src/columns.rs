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
    let taken: HashSet<usize> =
        table.fields().iter().filter_map(|field| exact.get(field.name().as_str())).copied().collect();
    let alike = |name: &str| folded.get(&name.to_lowercase()).copied().flatten().filter(|place| !taken.contains(place));
    table
        .fields()
        .iter()
        .map(|field| exact.get(field.name().as_str()).copied().or_else(|| alike(field.name())))
        .collect()
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

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;

    fn schema(names: &[&str]) -> Schema {
        Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int8, true)).collect::<Vec<_>>())
    }

    #[test]
    fn the_same_name_goes_before_the_same_letters() {
        let places = |table: &[&str], file: &[&str]| match_columns(&schema(table), &schema(file));
        assert_eq!(places(&["a", "B"], &["b", "A"]), [Some(1), Some(0)]);
        assert_eq!(places(&["id", "ID"], &["ID"]), [None, Some(0)]);
        assert_eq!(places(&["Id"], &["ID", "id"]), [None]);
        assert_eq!(places(&["id", "x"], &["ID", "id"]), [Some(1), None]);
    }

    #[test]
    fn names_are_lower_case_unless_that_makes_two_alike() {
        assert_eq!(sql_names(["VendorID", "x", "X", "Ä"]), ["vendorid", "x", "X", "ä"]);
    }
}
