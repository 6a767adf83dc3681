//! Prepared statements: with and without parameters, for queries and for changes.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Int64Type, Schema},
};
use arrow_flight::{
    Action, FlightData, FlightDescriptor,
    flight_service_client::FlightServiceClient,
    sql::{
        ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, Any, CommandPreparedStatementQuery,
        CommandPreparedStatementUpdate, DoPutUpdateResult, ProstMessageExt,
    },
    utils::batches_to_flight_data,
};
use bytes::Bytes;
use futures::stream;
use prost::Message;
use tonic::{Status, transport::Channel};

use crate::server::{Server, command, fetch, promised, reason};

/// The result of `CreatePreparedStatement`, with the newer field.
#[derive(Clone, PartialEq, Message)]
struct Prepared {
    #[prost(bytes = "bytes", tag = "1")]
    handle: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    dataset_schema: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    parameter_schema: Bytes,
    #[prost(bool, optional, tag = "4")]
    is_update: Option<bool>,
}

impl Prepared {
    fn query(&self) -> FlightDescriptor {
        command(CommandPreparedStatementQuery { prepared_statement_handle: self.handle.clone() })
    }

    fn update(&self) -> FlightDescriptor {
        command(CommandPreparedStatementUpdate { prepared_statement_handle: self.handle.clone() })
    }

    fn schema(&self) -> Schema {
        schema(&self.dataset_schema)
    }
}

fn schema(bytes: &Bytes) -> Schema {
    let info = arrow_flight::FlightInfo { schema: bytes.clone(), ..Default::default() };
    info.try_decode_schema().unwrap()
}

type Client = FlightServiceClient<Channel>;

async fn prepare(client: &mut Client, sql: &str) -> Result<Prepared, Status> {
    let request = ActionCreatePreparedStatementRequest { query: sql.to_owned(), transaction_id: None };
    let action = Action::new("CreatePreparedStatement", request.as_any().encode_to_vec());
    let result = client.do_action(action).await?.into_inner().message().await?.unwrap();
    let any = Any::decode(result.body).unwrap();
    assert!(any.type_url.ends_with("ActionCreatePreparedStatementResult"));
    Ok(Prepared::decode(any.value).unwrap())
}

async fn send(client: &mut Client, descriptor: FlightDescriptor, rows: &[RecordBatch]) -> Result<Bytes, Status> {
    let mut messages = match rows.first() {
        Some(first) => batches_to_flight_data(&first.schema(), rows.to_vec()).unwrap(),
        None => vec![FlightData::new()],
    };
    messages[0].flight_descriptor = Some(descriptor);
    let answer = client.do_put(stream::iter(messages)).await?;
    Ok(answer.into_inner().message().await?.unwrap().app_metadata)
}

async fn written(client: &mut Client, prepared: &Prepared, rows: &[RecordBatch]) -> Result<i64, Status> {
    let answer = send(client, prepared.update(), rows).await?;
    Ok(DoPutUpdateResult::decode(answer).unwrap().record_count)
}

async fn rows(client: &mut Client, prepared: &Prepared) -> Result<(Schema, RecordBatch), Status> {
    let info = client.get_flight_info(prepared.query()).await?.into_inner();
    let (schema, batches) = fetch(client, &info).await?;
    assert_eq!(promised(&info), *schema);
    Ok((promised(&info), arrow::compute::concat_batches(&schema, &batches).unwrap()))
}

fn one_row(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn number(value: i64) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value]))
}

#[tokio::test]
async fn a_statement_is_prepared_once_and_runs_often() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let prepared = prepare(&mut client, "SELECT id, name FROM trips WHERE id < $1 AND name <> $2").await.unwrap();
    assert_eq!(prepared.is_update, Some(false));
    let parameters = schema(&prepared.parameter_schema);
    let types: Vec<_> = parameters.fields().iter().map(|f| (f.name().as_str(), f.data_type().clone())).collect();
    assert_eq!(types[0], ("$1", DataType::Int64));
    assert!(types.len() == 2 && types[1].0 == "$2" && types[1].1.is_string(), "{types:?}");
    for limit in [3, 10] {
        let name: ArrayRef = Arc::new(StringArray::from(vec!["n1"]));
        send(&mut client, prepared.query(), &[one_row(vec![("0", number(limit)), ("1", name)])]).await.unwrap();
        let (schema, rows) = rows(&mut client, &prepared).await.unwrap();
        assert_eq!(schema, prepared.schema());
        assert_eq!(rows.num_rows() as i64, limit - 1);
    }
    let asked = client.get_schema(prepared.query()).await.unwrap().into_inner();
    assert_eq!(Schema::try_from(&asked).unwrap(), prepared.schema());
}

#[tokio::test]
async fn parameters_have_names_or_places_and_keep_their_types() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let prepared =
        prepare(&mut client, "SELECT count(*) AS n FROM trips WHERE id BETWEEN $low AND $high").await.unwrap();
    let row = one_row(vec![("high", number(9)), ("low", number(5))]);
    send(&mut client, prepared.query(), &[row]).await.unwrap();
    let (_, found) = rows(&mut client, &prepared).await.unwrap();
    assert_eq!(found.column(0).as_primitive::<Int64Type>().value(0), 5);

    let prepared = prepare(&mut client, "SELECT ? AS a, ? AS b").await.unwrap();
    let date: ArrayRef = Arc::new(arrow::array::Date32Array::from(vec![19_000]));
    let bytes: ArrayRef = Arc::new(arrow::array::BinaryArray::from(vec![b"\x00\xff".as_slice()]));
    send(&mut client, prepared.query(), &[one_row(vec![("x", date), ("y", bytes)])]).await.unwrap();
    let (schema, found) = rows(&mut client, &prepared).await.unwrap();
    assert_eq!((schema.field(0).data_type(), schema.field(1).data_type()), (&DataType::Date32, &DataType::Binary));
    assert_eq!(found.column(1).as_binary::<i32>().value(0), b"\x00\xff");
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let prepared = prepare(&mut client, "SELECT * FROM trips WHERE id = $1").await.unwrap();
    let status = rows(&mut client, &prepared).await.unwrap_err();
    assert!(status.message().contains("$1"), "{status}");
    let text: ArrayRef = Arc::new(StringArray::from(vec!["many"]));
    send(&mut client, prepared.query(), &[one_row(vec![("0", text)])]).await.unwrap();
    assert_eq!(reason(&rows(&mut client, &prepared).await.unwrap_err()), "invalid_query");
    send(&mut client, prepared.query(), &[one_row(vec![("0", number(1)), ("1", number(2))])]).await.unwrap();
    assert_eq!(reason(&rows(&mut client, &prepared).await.unwrap_err()), "invalid_query");
    let two: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let status = send(&mut client, prepared.query(), &[one_row(vec![("0", two)])]).await.unwrap_err();
    assert_eq!(reason(&status), "unsupported");
}

#[tokio::test]
async fn changes_run_for_each_row_of_parameters() {
    let server = Server::start().await;
    let mut client = server.client().await;
    server.rows("CREATE TABLE made AS SELECT id, name FROM trips WHERE id < 0").await;
    let insert = prepare(&mut client, "INSERT INTO made VALUES ($1, $2)").await.unwrap();
    assert_eq!((insert.is_update, insert.dataset_schema.len()), (Some(true), 0));
    let parameters = schema(&insert.parameter_schema);
    assert_eq!(parameters.field(0).data_type(), &DataType::Int64);
    assert!(parameters.field(1).data_type().is_string());
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None]));
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]));
    let three = one_row(vec![("0", ids), ("1", names)]);
    assert_eq!(written(&mut client, &insert, &[three]).await.unwrap(), 3);
    assert_eq!(server.number("SELECT count(*) FROM made").await, 3);
    assert_eq!(server.number("SELECT count(*) FROM made WHERE id IS NULL AND name = 'c'").await, 1);
    let drop = prepare(&mut client, "DROP TABLE made").await.unwrap();
    assert_eq!(server.number("SELECT count(*) FROM made").await, 3, "preparing is not running");
    written(&mut client, &drop, &[]).await.unwrap();
    assert!(server.try_rows("SELECT * FROM made").await.is_err());
}

#[tokio::test]
async fn it_sees_what_was_written_after_it_was_prepared() {
    let server = Server::start().await;
    let mut client = server.client().await;
    server.rows("CREATE TABLE made AS SELECT 1 AS one").await;
    let prepared = prepare(&mut client, "SELECT count(*) AS n FROM made").await.unwrap();
    server.rows("INSERT INTO made SELECT 2").await;
    let (_, found) = rows(&mut client, &prepared).await.unwrap();
    assert_eq!(found.column(0).as_primitive::<Int64Type>().value(0), 2);
}

#[tokio::test]
async fn a_closed_statement_is_gone() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let prepared = prepare(&mut client, "SELECT 1 AS one").await.unwrap();
    let request = ActionClosePreparedStatementRequest { prepared_statement_handle: prepared.handle.clone() };
    for _ in 0..2 {
        let action = Action::new("ClosePreparedStatement", request.as_any().encode_to_vec());
        client.do_action(action).await.unwrap();
    }
    assert_eq!(reason(&rows(&mut client, &prepared).await.unwrap_err()), "not_found");
    assert_eq!(reason(&prepare(&mut client, "SELEKT").await.unwrap_err()), "syntax_error");
}
