//! `key=value` folders.

use object_store::path::Path;
use percent_encoding::percent_decode_str;

/// What Hive writes for NULL.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The `key=value` folders of a path, in path order, percent-decoded; `None` for NULL. The file's own name is no folder.
pub(crate) fn hive_values(path: &Path) -> Vec<(String, Option<String>)> {
    let Some((folders, _)) = path.as_ref().rsplit_once('/') else {
        return Vec::new();
    };
    folders
        .split('/')
        .filter_map(|folder| folder.split_once('='))
        .filter(|(key, _)| !key.is_empty())
        .map(decoded)
        .collect()
}

fn decoded((key, value): (&str, &str)) -> (String, Option<String>) {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let value = decode(value);
    (decode(key), (value != NULL).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_values_and_the_file_name_does_not() {
        let path =
            Path::parse("lake/day=2024-01-02/city=S%C3%A3o Paulo/n=__HIVE_DEFAULT_PARTITION__/a=b.parquet").unwrap();
        let expected = [("day", Some("2024-01-02")), ("city", Some("São Paulo")), ("n", None)];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.map(str::to_owned)));
        assert_eq!(hive_values(&path), expected);
    }
}
