//! Locations as people write them.

use super::*;

fn parsed(text: &str) -> Location {
    Location::parse(text).unwrap()
}

#[test]
fn urls_of_object_stores() {
    let location = parsed("s3a://My_Bucket/sales data/größe=1/part%201.parquet");
    assert_eq!(location.scheme(), "s3");
    assert_eq!(location.bucket(), "My_Bucket");
    assert_eq!(location.store_url().as_str(), "s3://My_Bucket");
    assert_eq!(location.path().as_ref(), "sales data/größe=1/part 1.parquet");
    assert_eq!(location.file_name(), "part 1.parquet");
    assert!(!location.is_folder());
    assert_eq!(location.to_string(), "s3://My_Bucket/sales data/größe=1/part 1.parquet");
}

#[test]
fn a_trailing_slash_or_a_bare_bucket_is_a_folder() {
    for (text, shown) in [
        ("s3://b", "s3://b/"),
        ("s3://b/", "s3://b/"),
        ("s3://b//x///y/", "s3://b/x/y/"),
        ("gcs://b/x/", "gs://b/x/"),
        ("abfss://box@account.dfs.core.windows.net/x/", "az://box@account.dfs.core.windows.net/x/"),
        ("memory:///x/", "memory:///x/"),
        ("memory://name/x/", "memory://name/x/"),
    ] {
        assert!(parsed(text).is_folder(), "{text}");
        assert_eq!(parsed(text).to_string(), shown);
        assert_eq!(parsed(shown), parsed(text));
    }
    assert!(!parsed("s3://b/x").is_folder());
}

#[test]
fn question_marks_hashes_and_percent_signs_are_part_of_the_name() {
    for key in ["a?b#c.csv", "100% sure.csv", "50%25.csv", "[x]{y}~z^.csv"] {
        let location = parsed("s3://b/").child(key).unwrap();
        assert_eq!(location.path().as_ref(), key);
        assert_eq!(parsed(&location.to_string()), location, "{location}");
    }
}

#[test]
fn what_is_no_location() {
    for bad in [
        "",
        "s3://",
        "s3:///key",
        "s3://b:80/x",
        "s3://user@b/x",
        "s3://b/../x",
        "s3://b/%2e%2e/x",
        "s3://b/x\n",
        "http://host/x",
        "file://host/x",
        "s3://b/%ff",
    ] {
        let error = Location::parse(bad).unwrap_err();
        assert_eq!(error.kind(), lakebed_types::ErrorKind::InvalidRequest, "{bad}");
    }
}

#[test]
fn local_paths_are_absolute_and_know_folders() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mit Leer ä")).unwrap();
    let text = folder.path().to_str().unwrap();

    let location = parsed(&format!("{text}/x/.././mit Leer ä"));
    assert!(location.is_folder());
    assert_eq!(location.to_string(), format!("file://{text}/mit Leer ä/"));
    assert_eq!(parsed(&location.to_string()), location);
    assert_eq!(parsed(&format!("file://{text}/mit%20Leer%20%C3%A4")), location);
    assert_eq!(location.local_path().unwrap(), folder.path().join("mit Leer ä"));

    let file = parsed(&format!("{text}/50%25.csv"));
    assert!(!file.is_folder());
    assert_eq!(file.file_name(), "50%25.csv");
    assert_eq!(parsed(&file.to_string()), file);

    let here = std::env::current_dir().unwrap();
    assert_eq!(parsed("no such file").local_path().unwrap(), here.join("no such file"));
    assert_eq!(parsed("/../../etc/passwd").to_string(), "file:///etc/passwd");
    assert_eq!(parsed("/").to_string(), "file:///");
}

#[test]
fn children_and_siblings() {
    let folder = parsed("s3://b/lake/");
    assert_eq!(folder.child("t/x.parquet").unwrap().to_string(), "s3://b/lake/t/x.parquet");
    assert_eq!(folder.child("t/").unwrap().to_string(), "s3://b/lake/t/");
    assert_eq!(parsed("s3://b").child("t").unwrap().to_string(), "s3://b/t");
    assert_eq!(folder.sibling(&Path::from("other/x")).to_string(), "s3://b/other/x");
    for bad in ["../x", "/x", "a/../../x", "a\u{7}"] {
        assert!(folder.child(bad).is_err(), "{bad}");
    }
}

#[test]
fn containment_goes_by_whole_segments_and_store() {
    let folder = parsed("s3://b/lake/");
    assert!(folder.contains(&folder));
    assert!(folder.contains(&parsed("s3://b/lake/t/x")));
    assert!(parsed("s3://b").contains(&folder));
    for outside in ["s3://b/lake2/x", "s3://b/", "s3://c/lake/x", "gs://b/lake/x", "memory://b/lake/x"] {
        assert!(!folder.contains(&parsed(outside)), "{outside}");
    }
}
