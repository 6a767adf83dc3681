//! Rows that clients send into tables: four modes, and nothing half-written.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray, types::Int32Type},
    datatypes::DataType,
};
use arrow_flight::{
    FlightData,
    sql::{CommandStatementIngest, DoPutUpdateResult, TableDefinitionOptions, TableExistsOption, TableNotExistOption},
    utils::batches_to_flight_data,
};
use futures::stream;
use prost::Message;
use tonic::Status;

use crate::server::{Server, command, reason, trips};

const CREATE: (TableNotExistOption, TableExistsOption) = (TableNotExistOption::Create, TableExistsOption::Fail);
const APPEND: (TableNotExistOption, TableExistsOption) = (TableNotExistOption::Fail, TableExistsOption::Append);
const REPLACE: (TableNotExistOption, TableExistsOption) = (TableNotExistOption::Create, TableExistsOption::Replace);
const EITHER: (TableNotExistOption, TableExistsOption) = (TableNotExistOption::Create, TableExistsOption::Append);

fn into(table: &str, mode: (TableNotExistOption, TableExistsOption)) -> CommandStatementIngest {
    let options = TableDefinitionOptions { if_not_exist: mode.0 as i32, if_exists: mode.1 as i32 };
    CommandStatementIngest {
        table_definition_options: Some(options),
        table: table.to_owned(),
        ..CommandStatementIngest::default()
    }
}

fn messages(ingest: CommandStatementIngest, rows: &[RecordBatch]) -> Vec<FlightData> {
    let mut messages = batches_to_flight_data(&rows[0].schema(), rows.to_vec()).unwrap();
    messages[0].flight_descriptor = Some(command(ingest));
    messages
}

async fn send(server: &Server, ingest: CommandStatementIngest, rows: &[RecordBatch]) -> Result<i64, Status> {
    let messages = messages(ingest, rows);
    let answer = server.client().await.do_put(stream::iter(messages)).await?;
    let result = answer.into_inner().message().await?.unwrap();
    Ok(DoPutUpdateResult::decode(result.app_metadata).unwrap().record_count)
}

#[tokio::test]
async fn the_four_modes() {
    let server = Server::start().await;
    let count = || server.number("SELECT count(*) FROM sent");
    assert_eq!(reason(&send(&server, into("sent", APPEND), &[trips(0..3)]).await.unwrap_err()), "table_not_found");
    assert_eq!(send(&server, into("sent", CREATE), &[trips(0..3), trips(3..7)]).await.unwrap(), 7);
    assert_eq!(count().await, 7);
    assert_eq!(reason(&send(&server, into("sent", CREATE), &[trips(0..3)]).await.unwrap_err()), "already_exists");
    assert_eq!(send(&server, into("sent", APPEND), &[trips(7..10)]).await.unwrap(), 3);
    assert_eq!(send(&server, into("sent", EITHER), &[trips(10..12)]).await.unwrap(), 2);
    assert_eq!(count().await, 12);
    assert_eq!(server.number("SELECT sum(id) FROM sent").await, (0..12).sum::<i64>());
    assert_eq!(send(&server, into("sent", REPLACE), &[trips(0..1)]).await.unwrap(), 1);
    assert_eq!(count().await, 1);
    assert_eq!(send(&server, into("fresh", EITHER), &[trips(0..2)]).await.unwrap(), 2);
    assert_eq!(send(&server, into("none", CREATE), &[trips(0..0)]).await.unwrap(), 0);
    assert_eq!(server.number("SELECT count(*) FROM none").await, 0);
}

#[tokio::test]
async fn columns_are_found_by_name_and_values_must_fit() {
    let server = Server::start().await;
    send(&server, into("sent", CREATE), &[trips(0..1)]).await.unwrap();
    let names: ArrayRef = Arc::new(vec!["x"].into_iter().collect::<DictionaryArray<Int32Type>>());
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![8]));
    let other = RecordBatch::try_from_iter([("NAME", names), ("Id", ids)]).unwrap();
    // Dictionaries need messages of their own, which the helper does not write: send them plain.
    let plain = arrow::compute::cast(other.column(0), &DataType::Utf8).unwrap();
    let other = RecordBatch::try_from_iter([("NAME", plain), ("Id", other.column(1).clone())]).unwrap();
    assert_eq!(send(&server, into("sent", APPEND), &[other]).await.unwrap(), 1);
    assert_eq!(server.number("SELECT count(*) FROM sent WHERE id = 8 AND name = 'x' AND price IS NULL").await, 1);

    let column = |name: &str, values: ArrayRef| RecordBatch::try_from_iter([(name, values)]).unwrap();
    let text: ArrayRef = Arc::new(StringArray::from(vec!["many"]));
    let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    for (rows, word) in [(column("id", text), "invalid_value"), (column("idx", one.clone()), "unknown_column")] {
        assert_eq!(reason(&send(&server, into("sent", APPEND), &[rows]).await.unwrap_err()), word);
    }
    let twice = RecordBatch::try_from_iter([("a", one.clone()), ("A", one)]).unwrap();
    assert_eq!(reason(&send(&server, into("twice", CREATE), &[twice]).await.unwrap_err()), "invalid_request");
    assert_eq!(server.number("SELECT count(*) FROM sent").await, 2);
}

#[tokio::test]
async fn nothing_is_left_of_rows_that_break_off() {
    let server = Server::start().await;
    send(&server, into("sent", CREATE), &[trips(0..5)]).await.unwrap();
    let mut broken = messages(into("sent", APPEND), &[trips(5..10), trips(10..15)]);
    broken.last_mut().unwrap().data_body = bytes::Bytes::new();
    for mode in [APPEND, REPLACE] {
        broken[0].flight_descriptor = Some(command(into("sent", mode)));
        let status = server.client().await.do_put(stream::iter(broken.clone())).await.unwrap_err();
        assert_eq!(reason(&status), "invalid_request", "{status}");
        assert_eq!(server.number("SELECT count(*) FROM sent").await, 5);
    }
    let mut broken = messages(into("half", CREATE), &[trips(5..10), trips(10..15)]);
    broken.last_mut().unwrap().data_header = bytes::Bytes::from_static(b"nonsense");
    server.client().await.do_put(stream::iter(broken)).await.unwrap_err();
    assert!(server.try_rows("SELECT * FROM half").await.is_err());
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let server = Server::start().await;
    let temporary = CommandStatementIngest { temporary: true, ..into("sent", CREATE) };
    let transaction = CommandStatementIngest { transaction_id: Some("x".into()), ..into("sent", CREATE) };
    let catalog = CommandStatementIngest { catalog: Some("nowhere".into()), ..into("sent", CREATE) };
    let undecided = CommandStatementIngest { table_definition_options: None, ..into("sent", CREATE) };
    for (ingest, word) in [
        (temporary, "unsupported"),
        (transaction, "unsupported"),
        (catalog, "database_not_found"),
        (undecided, "invalid_request"),
        (into("trips", APPEND), "unsupported"),
        (into("a.b.c", CREATE), "invalid_request"),
    ] {
        assert_eq!(reason(&send(&server, ingest.clone(), &[trips(0..1)]).await.unwrap_err()), word, "{ingest:?}");
    }
}
