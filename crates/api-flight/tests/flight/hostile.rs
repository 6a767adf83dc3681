//! What no honest client sends: typed errors, and a server that lives.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use arrow_flight::{
    Action, FlightData, FlightDescriptor, SchemaAsIpc, Ticket,
    flight_service_client::FlightServiceClient,
    sql::{Any, CommandStatementIngest, ProstMessageExt, TableDefinitionOptions},
    utils::batches_to_flight_data,
};
use arrow_ipc::writer::IpcWriteOptions;
use bytes::Bytes;
use futures::stream;
use lakebed_api_flight::FlightSettings;
use prost::Message;
use tonic::{Code, Status};

use crate::server::{SECRET, Server, command, get, reason, statement, trips};

async fn lives(server: &Server) {
    assert_eq!(server.number("SELECT count(*) FROM trips").await, 250);
    assert!(server.becomes_idle().await);
}

fn ingest() -> FlightDescriptor {
    let options = TableDefinitionOptions { if_not_exist: 1, if_exists: 3 };
    command(CommandStatementIngest {
        table_definition_options: Some(options),
        table: "sent".into(),
        ..CommandStatementIngest::default()
    })
}

async fn put(server: &Server, mut messages: Vec<FlightData>) -> Status {
    messages[0].flight_descriptor = Some(ingest());
    let client = server.client().await;
    let status = client.max_encoding_message_size(usize::MAX).do_put(stream::iter(messages)).await.unwrap_err();
    lives(server).await;
    status
}

fn one_column() -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..8));
    RecordBatch::try_from_iter([("id", column)]).unwrap()
}

fn messages() -> Vec<FlightData> {
    let batch = one_column();
    batches_to_flight_data(&batch.schema(), vec![batch]).unwrap()
}

#[tokio::test]
async fn bytes_that_mean_nothing() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let broken = Any {
        type_url: "type.googleapis.com/arrow.flight.protocol.sql.CommandGetTables".into(),
        value: "\u{ff}".into(),
    };
    let unknown =
        Any { type_url: "type.googleapis.com/arrow.flight.protocol.sql.CommandMakeCoffee".into(), value: Bytes::new() };
    for (bytes, word) in [
        (vec![0xff, 0xfe, 0x00], "invalid_request"),
        (Vec::new(), "syntax_error"),
        (b"\x0a\xff\xff\xff\xff\x0f".to_vec(), "invalid_request"),
        (broken.encode_to_vec(), "invalid_request"),
        (unknown.encode_to_vec(), "unsupported"),
        (vec![b'('; 100_000], "query_too_complex"),
    ] {
        let status = get(&mut client, Ticket::new(bytes.clone())).await.unwrap_err();
        assert_eq!(reason(&status), word, "{:?}", &bytes[..bytes.len().min(40)]);
    }
    for name in [
        "CancelFlightInfo",
        "RenewFlightEndpoint",
        "CreatePreparedStatement",
        "ClosePreparedStatement",
        "CancelQuery",
        "Coffee",
    ] {
        let status = client.do_action(Action::new(name, vec![0xff, 0x01, 0x02])).await.unwrap_err();
        assert_eq!(reason(&status), "invalid_request", "{name}");
    }
    for name in ["BeginTransaction", "BeginSavepoint", "CreatePreparedSubstraitPlan"] {
        let status = client.do_action(Action::new(name, "")).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "unsupported"), "{name}");
    }
    let nothing = FlightDescriptor::default();
    assert_eq!(reason(&client.get_flight_info(nothing).await.unwrap_err()), "invalid_request");
    lives(&server).await;
}

#[tokio::test]
async fn a_stream_of_nothing() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for messages in [
        vec![],
        vec![FlightData::new()],
        vec![FlightData::new().with_descriptor(FlightDescriptor::new_cmd("SELECT 1"))],
    ] {
        assert_eq!(reason(&client.do_put(stream::iter(messages)).await.unwrap_err()), "invalid_request");
    }
    let only = vec![FlightData::new().with_descriptor(ingest())];
    assert_eq!(reason(&client.do_put(stream::iter(only)).await.unwrap_err()), "invalid_request");
    lives(&server).await;
}

#[tokio::test]
async fn messages_that_are_too_large() {
    let settings = FlightSettings { message_bytes: 1 << 20, ..FlightSettings::new(SECRET) };
    let server = Server::with(settings).await;
    let mut large = messages();
    large[1].data_body = vec![0; 2 << 20].into();
    let status = put(&server, large).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "request_too_large"));
    let mut client = FlightServiceClient::new(server.channel().await).max_encoding_message_size(usize::MAX);
    let status = client.get_flight_info(statement(&"x".repeat(2 << 20))).await.unwrap_err();
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status}");
    lives(&server).await;
}

/// The message with its batch's header changed.
fn rewritten(change: impl Fn(&mut Header)) -> Vec<FlightData> {
    let mut header = Header { length: 8, nodes: vec![(8, 0)], buffers: vec![(0, 0), (0, 64)], compressed: false };
    change(&mut header);
    let mut all = messages();
    all[1].data_header = header.encode();
    all
}

struct Header {
    length: i64,
    nodes: Vec<(i64, i64)>,
    buffers: Vec<(i64, i64)>,
    compressed: bool,
}

impl Header {
    fn encode(&self) -> Bytes {
        let mut builder = flatbuffers::FlatBufferBuilder::new();
        let nodes: Vec<_> =
            self.nodes.iter().map(|(length, nulls)| arrow_ipc::FieldNode::new(*length, *nulls)).collect();
        let buffers: Vec<_> = self.buffers.iter().map(|(at, length)| arrow_ipc::Buffer::new(*at, *length)).collect();
        let (nodes, buffers) = (builder.create_vector(&nodes), builder.create_vector(&buffers));
        let compression = self.compressed.then(|| {
            let mut compression = arrow_ipc::BodyCompressionBuilder::new(&mut builder);
            compression.add_codec(arrow_ipc::CompressionType::LZ4_FRAME);
            compression.add_method(arrow_ipc::BodyCompressionMethod::BUFFER);
            compression.finish()
        });
        let mut batch = arrow_ipc::RecordBatchBuilder::new(&mut builder);
        batch.add_length(self.length);
        batch.add_nodes(nodes);
        batch.add_buffers(buffers);
        if let Some(compression) = compression {
            batch.add_compression(compression);
        }
        let batch = batch.finish().as_union_value();
        let mut message = arrow_ipc::MessageBuilder::new(&mut builder);
        message.add_version(arrow_ipc::MetadataVersion::V5);
        message.add_header_type(arrow_ipc::MessageHeader::RecordBatch);
        message.add_bodyLength(1 << 30);
        message.add_header(batch);
        let message = message.finish();
        builder.finish(message, None);
        builder.finished_data().to_vec().into()
    }
}

#[tokio::test]
async fn a_batch_that_claims_what_it_has_not() {
    let server = Server::start().await;
    let huge = 1 << 30;
    let lying: Vec<(&str, Vec<FlightData>)> = vec![
        ("a body of 1 GiB", rewritten(|header| header.buffers[1].1 = huge)),
        ("a buffer outside", rewritten(|header| header.buffers[1].0 = huge)),
        ("a buffer before", rewritten(|header| header.buffers[1] = (-8, 64))),
        ("an end that overflows", rewritten(|header| header.buffers[1] = (i64::MAX, i64::MAX))),
        ("rows without end", rewritten(|header| header.length = i64::MAX)),
        ("rows below none", rewritten(|header| header.length = -1)),
        ("a column longer than its rows", rewritten(|header| header.nodes[0].0 = huge)),
        ("more nulls than rows", rewritten(|header| header.nodes[0].1 = 100)),
        ("no columns", rewritten(|header| header.nodes.clear())),
        ("no buffers", rewritten(|header| header.buffers.clear())),
        ("a header of noise", {
            let mut all = messages();
            all[1].data_header = vec![7; 300].into();
            all
        }),
    ];
    for (what, all) in lying {
        let status = put(&server, all).await;
        assert!(matches!(reason(&status).as_str(), "invalid_request" | "request_too_large"), "{what}: {status}");
    }
    assert!(server.try_rows("SELECT * FROM sent").await.is_err(), "nothing was written");
}

#[tokio::test]
async fn a_buffer_that_would_become_a_gigabyte() {
    let server = Server::start().await;
    let mut all = rewritten(|header| header.compressed = true);
    let mut body = vec![0; 64];
    body[..8].copy_from_slice(&(1_i64 << 40).to_le_bytes());
    all[1].data_body = body.into();
    let status = put(&server, all).await;
    assert_eq!(reason(&status), "request_too_large", "{status}");
}

#[tokio::test]
async fn schemas_that_are_bombs() {
    let server = Server::start().await;
    let mut deep = DataType::Int64;
    for _ in 0..40 {
        deep = DataType::List(Arc::new(Field::new("item", deep, true)));
    }
    let wide: Vec<Field> = (0..100_000).map(|at| Field::new(format!("c{at}"), DataType::Int64, true)).collect();
    let nested = DataType::Struct(wide.clone().into());
    for schema in [
        Schema::new(wide),
        Schema::new(vec![Field::new("deep", deep, true)]),
        Schema::new(vec![Field::new("nested", nested, true)]),
        Schema::new((0..3_000).map(|at| Field::new(format!("c{at}"), DataType::Int64, true)).collect::<Vec<_>>()),
    ] {
        let message = FlightData::from(SchemaAsIpc::new(&schema, &IpcWriteOptions::default()));
        let status = put(&server, vec![message]).await;
        assert!(matches!(reason(&status).as_str(), "query_too_complex" | "invalid_request"), "{status}");
    }
}

#[tokio::test]
async fn rows_of_another_schema_than_was_said() {
    let server = Server::start().await;
    let mut all = messages();
    let other: SchemaRef = trips(0..1).schema();
    all[0] = FlightData::from(SchemaAsIpc::new(&other, &IpcWriteOptions::default()));
    assert_eq!(reason(&put(&server, all).await), "invalid_request");
    let mut twice = messages();
    twice.push(twice[0].clone());
    assert_eq!(reason(&put(&server, twice).await), "invalid_request");
    let mut early = messages();
    early.swap(0, 1);
    assert_eq!(reason(&put(&server, early).await), "invalid_request");
    let any = FlightDescriptor::new_cmd(CommandStatementIngest::default().as_any().encode_to_vec());
    let status = server.client().await.get_flight_info(any).await.unwrap_err();
    assert_eq!(reason(&status), "unsupported");
}
