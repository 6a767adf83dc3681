//! Locations that a query names.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use lakebed_tables::open_location;
use lakebed_types::ErrorKind;

use crate::lake::{Lake, cells, ints};

#[tokio::test]
async fn patterns_folders_and_files_are_found() {
    let lake = Lake::new();
    lake.file("t/x/a.parquet", vec![("id", ints([1]))]);
    lake.file("t/x/b.parquet", vec![("id", ints([2]))]);
    lake.file("t/y/a.parquet", vec![("id", ints([4]))]);
    lake.file("t/_temporary/0/c.parquet", vec![("id", ints([8]))]);
    lake.file("t/.hidden.parquet", vec![("id", ints([16]))]);
    std::fs::write(lake.path("t/_SUCCESS"), b"").unwrap();
    std::fs::write(lake.path("t/x/empty.parquet"), b"").unwrap();
    for (name, sum) in [
        ("t/", 7),
        ("t", 7),
        ("t/x/*.parquet", 3),
        ("t/**/a.parquet", 5),
        ("t/?/[b-z].parquet", 2),
        ("t/y/a.parquet", 4),
    ] {
        assert_eq!(cells(&lake.query(name, "select sum(id) from t").await), [sum.to_string()], "{name}");
    }
}

#[tokio::test]
async fn too_many_files_are_refused() {
    let lake = Lake::new();
    for file in 0..5 {
        lake.file(&format!("t/{file}.parquet"), vec![("id", ints([file]))]);
    }
    let text = lake.path("t/*.parquet");
    let error = open_location(&lake.storage, text.to_str().unwrap(), None, 4).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ScanTooLarge);
    assert!(open_location(&lake.storage, text.to_str().unwrap(), None, 5).await.is_ok());
}

#[tokio::test]
async fn a_type_conflict_names_file_column_and_both_types() {
    let lake = Lake::new();
    let strings: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    lake.file("t/a.parquet", vec![("v", ints([1]))]);
    lake.file("t/b.parquet", vec![("v", strings)]);
    let error = lake.try_open("t/").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaConflict);
    for part in ["t/b.parquet", "column v", "Utf8", "Int64"] {
        assert!(error.message().contains(part), "{error}");
    }
}

#[tokio::test]
async fn nothing_outside_the_allowed_folder_is_listed() {
    let lake = Lake::new();
    for text in ["/etc/passwd", "/etc/*", "/etc/"] {
        let error = open_location(&lake.storage, text, None, 10).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocationNotAllowed, "{text}");
    }
}

#[tokio::test]
async fn the_version_is_that_of_the_files() {
    let lake = Lake::new();
    lake.file("t/a.parquet", vec![("id", ints([1]))]);
    let first = lake.open("t/").await;
    assert_eq!(first.version(), lake.open("t/").await.version());
    assert_eq!(first.version().len(), 16);
    lake.file("t/b.parquet", vec![("id", ints([2]))]);
    assert_ne!(first.version(), lake.open("t/").await.version());
}
