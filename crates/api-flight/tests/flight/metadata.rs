//! What drivers ask about the server and its catalog.

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{DataType, Int32Type, Schema, UInt32Type},
};
use arrow_flight::{
    IpcMessage,
    sql::{
        CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys,
        CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
        CommandGetXdbcTypeInfo, ProstMessageExt,
    },
};

use crate::server::{Server, command, fetch, promised};

/// The answer, after its schema was held against all promises.
async fn ask(server: &Server, asked: impl ProstMessageExt) -> RecordBatch {
    let mut client = server.client().await;
    let descriptor = command(asked);
    let info = client.get_flight_info(descriptor.clone()).await.unwrap().into_inner();
    let (schema, batches) = fetch(&mut client, &info).await.unwrap();
    let asked = client.get_schema(descriptor).await.unwrap().into_inner();
    assert_eq!(*schema, promised(&info));
    assert_eq!(*schema, Schema::try_from(&asked).unwrap());
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = batch.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().map(|value| value.unwrap().to_owned()).collect()
}

async fn filled() -> Server {
    let server = Server::start().await;
    for sql in [
        "CREATE DATABASE other",
        "CREATE TABLE other.a_b AS SELECT 1 AS one, CAST(1.5 AS DECIMAL(9,2)) AS price, 'x' AS text",
        "CREATE TABLE other.axb AS SELECT 1 AS one",
        "CREATE VIEW other.seen AS SELECT id FROM default.trips",
    ] {
        server.rows(sql).await;
    }
    server
}

#[tokio::test]
async fn catalogs_databases_and_kinds() {
    let server = filled().await;
    assert_eq!(texts(&ask(&server, CommandGetCatalogs {}).await, "catalog_name"), ["lakebed"]);
    assert_eq!(texts(&ask(&server, CommandGetTableTypes {}).await, "table_type"), ["TABLE", "VIEW"]);
    for (catalog, pattern, wanted) in [
        (None, None, vec!["default", "other"]),
        (Some("lakebed"), Some("o%"), vec!["other"]),
        (Some(""), None, vec![]),
        (Some("nowhere"), None, vec![]),
        (None, Some("default_"), vec![]),
    ] {
        let asked = CommandGetDbSchemas {
            catalog: catalog.map(str::to_owned),
            db_schema_filter_pattern: pattern.map(str::to_owned),
        };
        assert_eq!(texts(&ask(&server, asked).await, "db_schema_name"), wanted, "{catalog:?} {pattern:?}");
    }
}

#[tokio::test]
async fn tables_by_pattern_and_kind() {
    let server = filled().await;
    let all = |pattern: &str, kinds: &[&str]| CommandGetTables {
        table_name_filter_pattern: Some(pattern.to_owned()),
        table_types: kinds.iter().map(ToString::to_string).collect(),
        ..CommandGetTables::default()
    };
    let found = ask(&server, all("%", &[])).await;
    assert_eq!(found.num_columns(), 4, "a table's columns are told only to who asks for them");
    assert_eq!(texts(&found, "table_name"), ["sales", "trips", "a_b", "axb", "seen"]);
    for (pattern, kinds, wanted) in [
        ("a_b", vec![], vec!["a_b", "axb"]),
        (r"a\_b", vec![], vec!["a_b"]),
        ("%s%", vec!["VIEW"], vec!["seen"]),
        ("%", vec!["TABLE", "VIEW"], vec!["sales", "trips", "a_b", "axb", "seen"]),
        ("%", vec!["SYSTEM TABLE"], vec![]),
    ] {
        assert_eq!(texts(&ask(&server, all(pattern, &kinds)).await, "table_name"), wanted, "{pattern} {kinds:?}");
    }
}

#[tokio::test]
async fn tables_tell_the_columns_that_are_sent() {
    let server = filled().await;
    let asked = CommandGetTables {
        table_name_filter_pattern: Some(r"a\_b".to_owned()),
        include_schema: true,
        ..CommandGetTables::default()
    };
    let found = ask(&server, asked).await;
    let bytes = found.column_by_name("table_schema").unwrap().as_binary::<i32>().value(0).to_vec();
    let schema = Schema::try_from(IpcMessage(bytes.into())).unwrap();
    let rows = server.rows("SELECT * FROM other.a_b").await;
    for (told, sent) in schema.fields().iter().zip(rows.schema().fields()) {
        assert_eq!(
            (told.name(), told.data_type(), told.is_nullable()),
            (sent.name(), sent.data_type(), sent.is_nullable())
        );
        assert_eq!(told.metadata()["ARROW:FLIGHT:SQL:TABLE_NAME"], "a_b");
        assert_eq!(told.metadata()["ARROW:FLIGHT:SQL:SCHEMA_NAME"], "other");
    }
    let price = schema.field(1).metadata();
    assert_eq!(price["ARROW:FLIGHT:SQL:TYPE_NAME"], "DECIMAL(9,2)");
    assert_eq!((price["ARROW:FLIGHT:SQL:PRECISION"].as_str(), price["ARROW:FLIGHT:SQL:SCALE"].as_str()), ("9", "2"));
}

#[tokio::test]
async fn there_are_no_keys_and_that_is_no_error() {
    let server = Server::start().await;
    let table = || "trips".to_owned();
    let primary = CommandGetPrimaryKeys { table: table(), ..Default::default() };
    assert_eq!(ask(&server, primary).await.num_rows(), 0);
    let exported = CommandGetExportedKeys { table: table(), ..Default::default() };
    assert_eq!(ask(&server, exported).await.num_rows(), 0);
    let imported = CommandGetImportedKeys { table: table(), ..Default::default() };
    assert_eq!(ask(&server, imported).await.num_rows(), 0);
    let both = CommandGetCrossReference { pk_table: table(), fk_table: table(), ..Default::default() };
    assert_eq!(ask(&server, both).await.num_columns(), 13);
}

#[tokio::test]
async fn the_server_tells_what_it_can() {
    let server = Server::start().await;
    let all = ask(&server, CommandGetSqlInfo { info: Vec::new() }).await;
    assert!(all.num_rows() > 80);
    let transaction = ask(&server, CommandGetSqlInfo { info: vec![8] }).await;
    assert_eq!(transaction.column(0).as_primitive::<UInt32Type>().values(), &[8]);
    let values = transaction.column(1).as_union();
    assert_eq!(values.type_id(0), 3, "drivers read an int32");
    assert_eq!(values.value(0).as_primitive::<Int32Type>().value(0), 0);
}

#[tokio::test]
async fn types_are_told_as_odbc_wants_them() {
    let server = Server::start().await;
    let all = ask(&server, CommandGetXdbcTypeInfo { data_type: None }).await;
    let names = texts(&all, "type_name");
    for wanted in ["BIGINT", "VARCHAR", "DECIMAL", "TIMESTAMP", "DATE", "DOUBLE", "BOOLEAN"] {
        assert!(names.iter().any(|name| name == wanted), "{wanted}");
    }
    let one = ask(&server, CommandGetXdbcTypeInfo { data_type: Some(12) }).await;
    assert_eq!(texts(&one, "type_name"), ["VARCHAR"]);
    assert_eq!(one.schema().field(1).data_type(), &DataType::Int32);
}
