//! Names of tables from names of files and folders.

use std::collections::HashSet;

use lakebed_storage::Location;

use crate::path::stem;

/// Bytes of a name made from a path; leaves room for a suffix below the bound on names.
const MAX_BYTES: usize = 200;

/// A table's name from a file's or folder's: lower case, and `_` for every character that is no letter, digit or `_`.
pub(crate) fn table_name(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        if name.len() + c.len_utf8() > MAX_BYTES {
            break;
        }
        name.push(if c.is_alphanumeric() || c == '_' { c } else { '_' });
    }
    if name.is_empty() { "files".to_owned() } else { name }
}

/// The name of a location's own table: of its folder, its bucket, or its file without extensions.
pub(crate) fn root_name(location: &Location) -> String {
    let store = location.store_url();
    match (location.file_name(), location.is_folder()) {
        ("", _) => table_name(store.host_str().unwrap_or_default()),
        (folder, true) => table_name(folder),
        (file, false) => table_name(stem(file)),
    }
}

/// A name for the files of a pattern such as `orders_#.csv`: its words without the numbers. None if nothing is left.
pub(super) fn pattern_name(pattern: &str) -> Option<String> {
    let words = stem(crate::path::file_name(pattern)).replace('#', "");
    let name = table_name(words.trim_matches(|c: char| !c.is_alphanumeric()));
    (name.contains(char::is_alphanumeric) && !words.is_empty()).then_some(name)
}

/// The name itself, or the first of `name_2`, `name_3`, … that is free.
pub(super) fn free_name(wanted: &str, taken: &HashSet<String>) -> String {
    let numbered = (2..).map(|number: u64| format!("{wanted}_{number}"));
    let mut candidates = std::iter::once(wanted.to_owned()).chain(numbered);
    candidates.find(|name| !taken.contains(name)).unwrap_or_else(|| wanted.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_without_foreign_characters() {
        assert_eq!(table_name("Orders 2024-01"), "orders_2024_01");
        assert_eq!(table_name("Straße.v2"), "straße_v2");
        assert_eq!(table_name(""), "files");
        assert!(table_name(&"ü".repeat(300)).len() <= MAX_BYTES);
    }

    #[test]
    fn patterns_give_their_words() {
        assert_eq!(pattern_name("orders_#.csv.gz").as_deref(), Some("orders"));
        assert_eq!(pattern_name("#/yellow_tripdata_#.parquet").as_deref(), Some("yellow_tripdata"));
        assert_eq!(pattern_name("#.parquet"), None);
    }

    #[test]
    fn taken_names_are_numbered() {
        let taken = HashSet::from(["a".to_owned(), "a_2".to_owned()]);
        assert_eq!(free_name("a", &taken), "a_3");
        assert_eq!(free_name("b", &taken), "b");
    }
}
