//! What a path below a location says by itself: hidden names, `key=value` folders, folders that are only values.

use percent_encoding::percent_decode_str;

/// How Hive, Spark and Athena write NULL in a path.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// A letter run that long of hexadecimal or mixed characters is a generated id, not a word.
const ID_HEX_LENGTH: usize = 8;
const ID_MIXED_LENGTH: usize = 12;

/// Extensions that say what a file holds, and are no part of a table's name.
const EXTENSIONS: [&str; 16] = [
    "parquet", "parq", "pq", "csv", "tsv", "txt", "json", "ndjson", "jsonl", "gz", "gzip", "zst", "zstd", "snappy",
    "lz4", "zip",
];

/// The part of a path up to and including its first segment that begins with `_` or `.`; whether that is a folder.
pub(crate) fn hidden_part(path: &str) -> Option<(&str, bool)> {
    let mut start = 0;
    for segment in path.split('/') {
        let end = start + segment.len();
        if segment.starts_with(['_', '.']) {
            return Some((&path[..end], end < path.len()));
        }
        start = end + 1;
    }
    None
}

/// The folders of a path, without its file name.
pub(crate) fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.rsplit_once('/').map(|(folders, _)| folders).into_iter().flat_map(|folders| folders.split('/'))
}

/// The last segment.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The key and value of a folder `key=value`, decoded; the value None for NULL.
pub(crate) fn hive_pair(folder: &str) -> Option<(String, Option<String>)> {
    let (key, value) = folder.split_once('=')?;
    if key.is_empty() {
        return None;
    }
    let value = if value == NULL_PARTITION { None } else { Some(decode(value)) };
    Some((decode(key), value))
}

/// The keys of a path's `key=value` folders, in order.
pub(crate) fn hive_keys(path: &str) -> Vec<String> {
    folders(path).filter_map(hive_pair).map(|(key, _)| key).collect()
}

/// The values of a path's `key=value` folders, in order.
pub(crate) fn hive_values(path: &str) -> Vec<Option<String>> {
    folders(path).filter_map(hive_pair).map(|(_, value)| value).collect()
}

/// Whether a folder's name is a value and no name: `2024`, `01`, `2024-01-05`, `2024-01-05T10`, `year=2024`.
pub(crate) fn is_value_folder(folder: &str) -> bool {
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '-' | '_' | '.' | ':' | ' ' | 'T' | 'Z' | 'W' | 'Q');
    hive_pair(folder).is_some() || (folder.contains(|c: char| c.is_ascii_digit()) && folder.chars().all(plain))
}

/// A path with its numbers, ids and partition values blotted out: what the files of one writer share.
/// `2024/part-00017-1b9d6bcd.snappy.parquet` becomes `#/part-#-#.snappy.parquet`.
pub(crate) fn pattern(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for (i, segment) in path.split('/').enumerate() {
        if i > 0 {
            pattern.push('/');
        }
        match hive_pair(segment) {
            Some((key, _)) => pattern.extend([key.as_str(), "=#"]),
            None => blot(segment, &mut pattern),
        }
    }
    pattern
}

fn blot(segment: &str, out: &mut String) {
    let mut rest = segment;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        if word == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            blot_word(&rest[..word], out);
            rest = &rest[word..];
        }
    }
    // The parts of a UUID: some of them may have no digit, and look like a word.
    while out.contains("#-#") {
        *out = out.replace("#-#", "#");
    }
}

fn blot_word(word: &str, out: &mut String) {
    let has_digit = word.contains(|c: char| c.is_ascii_digit());
    let hex = word.len() >= ID_HEX_LENGTH && word.chars().all(|c| c.is_ascii_hexdigit());
    if has_digit
        && (hex || word.len() >= ID_MIXED_LENGTH || word.len() == 4 && word.chars().all(|c| c.is_ascii_hexdigit()))
    {
        out.push('#');
        return;
    }
    let mut in_number = false;
    for c in word.chars() {
        match c.is_ascii_digit() {
            true if in_number => {}
            true => out.push('#'),
            false => out.extend(c.to_lowercase()),
        }
        in_number = c.is_ascii_digit();
    }
}

/// A file's name without the extensions that say what it holds.
pub(crate) fn stem(file_name: &str) -> &str {
    let mut stem = file_name;
    while let Some((rest, extension)) = stem.rsplit_once('.') {
        if rest.is_empty() || !EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()) {
            break;
        }
        stem = rest;
    }
    stem
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8().map_or_else(|_| text.to_owned(), |decoded| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_are_found_at_every_depth() {
        assert_eq!(hidden_part("a/_temporary/0/x.parquet"), Some(("a/_temporary", true)));
        assert_eq!(hidden_part("a/.x.parquet.crc"), Some(("a/.x.parquet.crc", false)));
        assert_eq!(hidden_part("_SUCCESS"), Some(("_SUCCESS", false)));
        assert_eq!(hidden_part("a_b/c.d/x_.parquet"), None);
    }

    #[test]
    fn hive_folders_are_decoded_and_null_is_null() {
        assert_eq!(hive_keys("sales/year=2024/city=K%C3%B6ln/a=b.parquet"), ["year", "city"]);
        assert_eq!(
            hive_values("d=__HIVE_DEFAULT_PARTITION__/t=10%3A30/x=a=b/f.parquet"),
            [None, Some("10:30".into()), Some("a=b".into())]
        );
        assert_eq!(hive_pair("=1"), None);
    }

    #[test]
    fn values_are_told_from_names() {
        for value in ["2024", "01", "2024-01-05", "2024-01-05T10", "2024Q1", "year=2024", "country=de"] {
            assert!(is_value_folder(value), "{value}");
        }
        for name in ["sales", "v1", "sales_2024", "TZ", "eu-west-1"] {
            assert!(!is_value_folder(name), "{name}");
        }
    }

    #[test]
    fn files_of_one_writer_share_their_pattern() {
        let same = |left: &str, right: &str| assert_eq!(pattern(left), pattern(right));
        same("part-00000.parquet", "part-00231.parquet");
        same("yellow_tripdata_2024-01.parquet", "yellow_tripdata_2025-11.parquet");
        same("year=2024/city=ulm/x.parquet", "year=2025/city=bonn/x.parquet");
        same("p-1b9d6bcd-4b2d.csv", "p-99d6bcda-0000.csv");
        assert_ne!(pattern("orders.csv"), pattern("customers.csv"));
        assert_ne!(pattern("orders/data.parquet"), pattern("customers/data.parquet"));
    }

    #[test]
    fn stems_lose_what_says_the_format() {
        assert_eq!(stem("Orders.CSV.gz"), "Orders");
        assert_eq!(stem("events.2024.ndjson.zst"), "events.2024");
        assert_eq!(stem(".csv"), ".csv");
        assert_eq!(stem("README"), "README");
    }
}
