//! Databases, declared tables, views: create and drop.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use lakebed_tables::FileKind;
use lakebed_types::{DatabaseName, ErrorKind};

use super::lake::{Lake, ints, longs, name, texts};
use crate::{CreateTable, TableKind};

fn over(lake: &Lake, table: &str, relative: &str) -> CreateTable {
    CreateTable {
        name: name(table),
        location: lake.location(relative),
        schema: None,
        partition_columns: None,
        written: None,
        kind: None,
        text: None,
        freshness: None,
        comment: None,
        if_not_exists: false,
        or_replace: false,
    }
}

fn columns(columns: &[(&str, DataType)]) -> Option<Arc<Schema>> {
    let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
    Some(Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())))
}

#[tokio::test]
async fn databases_are_created_and_dropped() {
    let lake = Lake::new().await;
    let (sales, catalog) = (DatabaseName::new("Sales").unwrap(), &lake.catalog);
    catalog.create_database(&sales, false, Some("what we sold")).await.unwrap();
    assert_eq!(catalog.create_database(&sales, false, None).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    catalog.create_database(&sales, true, None).await.unwrap();
    assert_eq!(catalog.database(&sales).await.unwrap().comment.as_deref(), Some("what we sold"));
    lake.parquet("t/1.parquet", &[("x", ints(&[1]))]);
    catalog.create_external_table(over(&lake, "sales.t", "t/")).await.unwrap();
    assert_eq!(catalog.database(&sales).await.unwrap().tables, 1);
    assert_eq!(catalog.drop_database(&sales, false, false).await.unwrap_err().kind(), ErrorKind::Conflict);
    catalog.drop_database(&sales, false, true).await.unwrap();
    assert_eq!(catalog.table(&name("sales.t")).await.unwrap_err().kind(), ErrorKind::DatabaseNotFound);
    catalog.drop_database(&sales, true, false).await.unwrap();
    assert_eq!(catalog.drop_database(&sales, false, false).await.unwrap_err().kind(), ErrorKind::DatabaseNotFound);
    let default = DatabaseName::default_database();
    assert_eq!(catalog.drop_database(&default, false, true).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_declared_table_is_what_its_files_are() {
    let lake = Lake::new().await;
    lake.parquet("t/y=1/1.parquet", &[("Id", ints(&[1]))]);
    lake.parquet("t/y=2/1.parquet", &[("Id", longs(&[1]))]);
    let table = lake.catalog.create_external_table(over(&lake, "t", "t/")).await.unwrap();
    assert_eq!((table.files, table.rows), (2, Some(2)));
    let shown: Vec<String> =
        table.schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
    assert_eq!(shown, ["Id Int64", "y Int64"]);

    let again = lake.catalog.create_external_table(over(&lake, "t", "t/")).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let unchanged = CreateTable { if_not_exists: true, ..over(&lake, "t", "nowhere/") };
    assert_eq!(lake.catalog.create_external_table(unchanged).await.unwrap().files, 2);
    let replaced = CreateTable { or_replace: true, ..over(&lake, "t", "t/y=1/") };
    assert_eq!(lake.catalog.create_external_table(replaced).await.unwrap().files, 1);
    assert_eq!(lake.catalog.snapshot(&name("t")).await.unwrap().rows(), Some(1));
}

#[tokio::test]
async fn declared_columns_are_honoured_and_checked() {
    let lake = Lake::new().await;
    lake.parquet("t/day=5/1.parquet", &[("id", ints(&[1])), ("more", texts(&["x"]))]);
    let wide = CreateTable {
        schema: columns(&[("ID", DataType::Int64), ("missing", DataType::Utf8), ("day", DataType::Int32)]),
        partition_columns: Some(vec!["day".to_owned()]),
        ..over(&lake, "t", "t/")
    };
    let table = lake.catalog.create_external_table(wide).await.unwrap();
    let shown: Vec<String> =
        table.schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
    assert_eq!(shown, ["ID Int64", "missing Utf8", "day Int32"]);

    let narrow = CreateTable { schema: columns(&[("more", DataType::Int64)]), ..over(&lake, "u", "t/") };
    let error = lake.catalog.create_external_table(narrow).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaConflict);
    let expected = "file `day=5/1.parquet` does not fit into table `default.u`: \
                    column `more` is VARCHAR here and declared as BIGINT";
    assert_eq!(error.message(), expected);
    let keys = CreateTable { partition_columns: Some(vec!["month".to_owned()]), ..over(&lake, "u", "t/") };
    let error = lake.catalog.create_external_table(keys).await.unwrap_err();
    assert!(error.message().contains("its partition folders are `day`, the table's are `month`"), "{error}");

    // A file that contradicts the declaration later is left out, and said to be.
    lake.parquet("t/day=6/1.parquet", &[("id", texts(&["?"]))]);
    assert_eq!(lake.catalog.refresh(&name("t")).await.unwrap().rows(), Some(1));
    let warnings = lake.catalog.table(&name("t")).await.unwrap().warnings;
    assert!(warnings[0].contains("day=6/1.parquet"), "{warnings:?}");
}

#[tokio::test]
async fn a_table_without_files_needs_columns_and_format() {
    let lake = Lake::new().await;
    std::fs::create_dir_all(lake.path("empty/x").parent().unwrap()).unwrap();
    let error = lake.catalog.create_external_table(over(&lake, "e", "empty/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    let declared = CreateTable {
        schema: columns(&[("x", DataType::Int64)]),
        kind: Some(FileKind::Parquet),
        ..over(&lake, "e", "empty/")
    };
    lake.catalog.create_external_table(declared).await.unwrap();
    assert_eq!(lake.catalog.snapshot(&name("e")).await.unwrap().files().len(), 0);
    lake.parquet("empty/1.parquet", &[("x", longs(&[1]))]);
    assert_eq!(lake.catalog.refresh(&name("e")).await.unwrap().rows(), Some(1));
}

#[tokio::test]
async fn declared_text_is_read_as_declared() {
    let lake = Lake::new().await;
    lake.write("t.csv", "01234,5\n00456,6\n");
    let request = CreateTable {
        schema: columns(&[("zip", DataType::Utf8), ("n", DataType::Float64)]),
        text: Some(lakebed_tables::TextOptions { header: false, ..Default::default() }),
        ..over(&lake, "zips", "t.csv")
    };
    lake.catalog.create_external_table(request).await.unwrap();
    let snapshot = lake.catalog.snapshot(&name("zips")).await.unwrap();
    let file = &snapshot.files()[0];
    assert_eq!((file.schema.field(0).name().as_str(), file.schema.field(0).data_type()), ("zip", &DataType::Utf8));
    assert!(!file.text.header);
}

#[tokio::test]
async fn views_and_tables_do_not_take_each_others_names() {
    let lake = Lake::new().await;
    let schema = columns(&[("x", DataType::Int64)]).unwrap();
    let catalog = &lake.catalog;
    catalog.create_view(&name("v"), "SELECT 1 AS x", schema.clone(), false).await.unwrap();
    let error = catalog.create_view(&name("v"), "SELECT 2 AS x", schema.clone(), false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    catalog.create_view(&name("v"), "SELECT 2 AS x", schema.clone(), true).await.unwrap();
    let TableKind::View { sql } = catalog.table(&name("v")).await.unwrap().kind else { panic!("a view") };
    assert_eq!(sql, "SELECT 2 AS x");
    assert_eq!(catalog.snapshot(&name("v")).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    assert_eq!(catalog.drop_table(&name("v"), true, false).await.unwrap_err().hint(), Some("Use `DROP VIEW`."));

    lake.parquet("v.parquet", &[("x", ints(&[1]))]);
    let replace = CreateTable { or_replace: true, ..over(&lake, "v", "v.parquet") };
    assert_eq!(catalog.create_external_table(replace).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let report = lake.crawl().await;
    assert_eq!(report.entries[0].table.as_deref(), Some("v_2"), "a crawl takes no view's name");

    assert!(catalog.drop_table(&name("v"), false, true).await.unwrap());
    assert!(!catalog.drop_table(&name("v"), true, true).await.unwrap());
    assert!(!catalog.drop_table(&name("nowhere.v"), true, false).await.unwrap());
}

#[tokio::test]
async fn what_is_dropped_is_not_found_and_the_nearest_name_is_offered() {
    let lake = Lake::new().await;
    lake.parquet("orders/1.parquet", &[("x", ints(&[1]))]);
    lake.crawl().await;
    let error = lake.catalog.table(&name("order")).await.unwrap_err();
    assert_eq!((error.kind(), error.hint()), (ErrorKind::TableNotFound, Some("Did you mean `orders`?")));
    assert_eq!(error.message(), "table `default.order` does not exist");
    lake.catalog.snapshot(&name("orders")).await.unwrap();
    assert!(lake.catalog.drop_table(&name("orders"), false, false).await.unwrap());
    assert_eq!(lake.catalog.snapshot(&name("orders")).await.unwrap_err().kind(), ErrorKind::TableNotFound);
    assert!(lake.path("orders/1.parquet").exists(), "files stay");
    lake.crawl().await;
    assert_eq!(lake.catalog.snapshot(&name("orders")).await.unwrap().rows(), Some(1));
}

#[tokio::test]
async fn another_name_is_a_view_that_hides_nothing() {
    let lake = Lake::new().await;
    lake.parquet("sales/1.parquet", &[("Id", ints(&[1]))]);
    lake.crawl().await;
    let (catalog, default) = (&lake.catalog, DatabaseName::default_database());
    catalog.also_known_as(name("sales"), name("dataset"));
    let names = async || {
        let tables = catalog.tables(&default).await.unwrap();
        tables.iter().map(|table| table.name.table().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["dataset", "sales"]);
    assert_eq!(catalog.database(&default).await.unwrap().tables, 2);
    let view = catalog.table(&name("dataset")).await.unwrap();
    assert!(matches!(&view.kind, TableKind::View { sql } if sql == r#"SELECT * FROM "default"."sales""#));
    assert_eq!(view.schema.field(0).name(), "Id");

    lake.parquet("other/1.parquet", &[("x", ints(&[1]))]);
    catalog.create_external_table(over(&lake, "dataset", "other/")).await.unwrap();
    let real = catalog.table(&name("dataset")).await.unwrap();
    assert_eq!((names().await.len(), real.files), (2, 1), "what is stored comes first");
    catalog.drop_table(&name("dataset"), false, false).await.unwrap();
    assert!(catalog.drop_table(&name("dataset"), false, true).await.unwrap());
    assert_eq!(catalog.table(&name("dataset")).await.unwrap_err().kind(), ErrorKind::TableNotFound);

    catalog.also_known_as(name("sales"), name("dataset"));
    catalog.drop_table(&name("sales"), false, false).await.unwrap();
    assert_eq!(catalog.table(&name("dataset")).await.unwrap_err().kind(), ErrorKind::TableNotFound);
    assert!(names().await.is_empty());
}
