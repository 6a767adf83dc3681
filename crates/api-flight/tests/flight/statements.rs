//! Statements: promised and sent, run once, cancelled, refused.

use arrow::array::{AsArray, RecordBatch};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo,
    sql::{CommandStatementUpdate, DoPutUpdateResult},
};
use futures::{StreamExt, stream};
use lakebed_types::QueryState;
use prost::Message;
use tonic::Code;
use tonic_types::StatusExt;

use crate::server::{Server, command, fetch, get, promised, reason, statement, trips, with_header};

#[tokio::test]
async fn rows_come_with_the_schema_that_was_promised() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let sql = "SELECT id, name, price FROM trips ORDER BY id";
    let info = client.get_flight_info(statement(sql)).await.unwrap();
    assert!(info.metadata().contains_key("x-query-id"));
    let info = info.into_inner();
    assert!(info.endpoint.len() == 1 && info.endpoint[0].location.is_empty());
    let (schema, batches) = fetch(&mut client, &info).await.unwrap();
    assert_eq!(*schema, promised(&info));
    let asked = client.get_schema(statement(sql)).await.unwrap().into_inner();
    assert_eq!(arrow::datatypes::Schema::try_from(&asked).unwrap(), *schema);
    let rows = arrow::compute::concat_batches(&schema, &batches).unwrap();
    assert_eq!(rows.columns(), trips(0..250).columns());
}

#[tokio::test]
async fn a_result_without_rows_has_its_schema() {
    let server = Server::start().await;
    let rows = server.rows("SELECT id, name FROM trips WHERE id < 0").await;
    assert_eq!((rows.num_rows(), rows.num_columns()), (0, 2));
}

#[tokio::test]
async fn the_statistics_come_last() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let info = client.get_flight_info(statement("SELECT * FROM trips")).await.unwrap().into_inner();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let response = client.do_get(ticket).await.unwrap();
    let id = response.metadata().get("x-query-id").unwrap().to_str().unwrap().to_owned();
    let mut stream = response.into_inner();
    while stream.message().await.unwrap().is_some() {}
    let trailers = stream.trailers().await.unwrap().unwrap();
    let statistics = trailers.get("x-lakebed-statistics").unwrap().to_str().unwrap();
    let statistics: serde_json::Value = serde_json::from_str(statistics).unwrap();
    assert_eq!(statistics["rows_returned"], 250);
    let who = lakebed_access::Principal::local();
    let record = server.query.record(&who, id.parse().unwrap()).unwrap();
    assert_eq!((record.state, record.source.as_ref()), (QueryState::Succeeded, "flight"));
}

#[tokio::test]
async fn a_change_runs_once_whether_its_rows_are_fetched_or_not() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let asked = client.clone();
    let info = move |sql: &'static str| {
        let mut client = asked.clone();
        async move { client.get_flight_info(statement(sql)).await.unwrap().into_inner() }
    };
    let made: FlightInfo = info("CREATE TABLE made AS SELECT * FROM trips").await;
    assert_eq!(server.number("SELECT count(*) FROM made").await, 250, "it has run before anyone came for rows");
    for _ in 0..2 {
        let (schema, batches) = fetch(&mut client, &made).await.unwrap();
        assert_eq!(*schema, promised(&made));
        assert_eq!(
            batches[0].column_by_name("count").unwrap().as_primitive::<arrow::datatypes::Int64Type>().value(0),
            250
        );
    }
    info("INSERT INTO made SELECT * FROM trips WHERE id < 10").await;
    assert_eq!(server.number("SELECT count(*) FROM made").await, 260);
    info("DROP TABLE made").await;
    assert_eq!(reason(&server.try_rows("SELECT * FROM made").await.unwrap_err()), "table_not_found");
}

#[tokio::test]
async fn asking_for_a_schema_changes_nothing() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.get_schema(statement("CREATE TABLE made AS SELECT 1 AS one")).await.unwrap();
    assert!(server.try_rows("SELECT * FROM made").await.is_err());
}

#[tokio::test]
async fn updates_tell_how_many_rows_they_wrote() {
    let server = Server::start().await;
    assert_eq!(update(&server, "CREATE TABLE made AS SELECT * FROM trips WHERE id < 7").await, 7);
    assert_eq!(update(&server, "INSERT INTO made SELECT * FROM trips WHERE id < 3").await, 3);
    assert_eq!(update(&server, "CREATE VIEW seen AS SELECT 1 AS one").await, 0);
    assert_eq!(update(&server, "SELECT 1").await, -1);
}

async fn update(server: &Server, sql: &str) -> i64 {
    let descriptor = command(CommandStatementUpdate { query: sql.to_owned(), transaction_id: None });
    let first = arrow_flight::FlightData::new().with_descriptor(descriptor);
    let answer = server.client().await.do_put(stream::iter([first])).await.unwrap();
    let result = answer.into_inner().message().await.unwrap().unwrap();
    DoPutUpdateResult::decode(result.app_metadata).unwrap().record_count
}

#[tokio::test]
async fn errors_say_what_rest_says() {
    let server = Server::start().await;
    for (sql, code, word) in [
        ("SELEKT 1", Code::InvalidArgument, "syntax_error"),
        ("SELECT nothing FROM trips", Code::InvalidArgument, "unknown_column"),
        ("SELECT * FROM trip", Code::NotFound, "table_not_found"),
        ("SELECT * FROM nowhere.trips", Code::NotFound, "database_not_found"),
        ("UPDATE trips SET id = 1", Code::Unimplemented, "unsupported"),
        ("SELECT 1; SELECT 2", Code::InvalidArgument, "syntax_error"),
    ] {
        let status = server.try_rows(sql).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, word), "{sql}: {status}");
    }
    let status = server.try_rows("SELECT * FROM trip").await.unwrap_err();
    assert!(status.message().contains("Did you mean"), "{status}");
    assert!(status.get_error_details().error_info().unwrap().metadata.contains_key("hint"));
}

#[tokio::test]
async fn a_failure_after_the_first_rows_is_seen() {
    let server = Server::start().await;
    let sql = "SELECT id, CASE WHEN id = 249 THEN CAST('x' || name AS BIGINT) ELSE id END AS n FROM trips";
    let status = server.try_rows(sql).await.unwrap_err();
    assert_eq!(reason(&status), "invalid_value");
    assert!(status.get_error_details().error_info().unwrap().metadata.contains_key("query_id"));
}

const ENDLESS: &str = "SELECT a.id, b.id AS b, c.id AS c, d.name FROM trips a, trips b, trips c, trips d";

#[tokio::test]
async fn a_client_that_goes_ends_its_query() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let info = client.get_flight_info(statement(ENDLESS)).await.unwrap().into_inner();
    let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap().into_inner();
    stream.next().await.unwrap().unwrap();
    assert_eq!(server.query.access().running(), 1);
    drop(stream);
    assert!(server.becomes_idle().await);
}

#[tokio::test]
async fn a_query_is_cancelled_by_its_info() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let info = client.get_flight_info(statement(ENDLESS)).await.unwrap().into_inner();
    let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap().into_inner();
    stream.next().await.unwrap().unwrap();
    assert_eq!(cancel(&server, &info).await, CancelStatus::Cancelled);
    let status = loop {
        match stream.message().await {
            Ok(message) => assert!(message.is_some(), "it does not end well"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Cancelled, "cancelled"));
    assert!(server.becomes_idle().await);
    let waiting = client.get_flight_info(statement("SELECT 1")).await.unwrap().into_inner();
    assert_eq!(cancel(&server, &waiting).await, CancelStatus::Cancelled, "also one that nobody has come for");
    assert_eq!(cancel(&server, &waiting).await, CancelStatus::NotCancellable);
}

async fn cancel(server: &Server, info: &FlightInfo) -> CancelStatus {
    let body = CancelFlightInfoRequest { info: Some(info.clone()) }.encode_to_vec();
    let answer = server.client().await.do_action(Action::new("CancelFlightInfo", body)).await.unwrap();
    let result = answer.into_inner().message().await.unwrap().unwrap();
    CancelFlightInfoResult::decode(result.body).unwrap().status()
}

#[tokio::test]
async fn a_poll_has_the_whole_answer() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let poll = client.poll_flight_info(statement("SELECT count(*) AS n FROM trips")).await.unwrap().into_inner();
    assert!(poll.flight_descriptor.is_none() && poll.progress == Some(1.0));
    let (_, batches) = fetch(&mut client, &poll.info.unwrap()).await.unwrap();
    assert_eq!(batches[0].num_rows(), 1);
}

#[tokio::test]
async fn headers_choose_database_compression_and_time() {
    let server = Server::start().await;
    let mut client = server.client().await;
    server.rows("CREATE DATABASE other").await;
    server.rows("CREATE TABLE other.only AS SELECT 7 AS seven").await;
    let request = with_header(statement("SELECT * FROM only"), "database", "other");
    let info = client.get_flight_info(request).await.unwrap().into_inner();
    assert_eq!(fetch(&mut client, &info).await.unwrap().1[0].num_rows(), 1);
    let bytes = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    for compression in ["lz4", "zstd", "none"] {
        let info = client.get_flight_info(statement("SELECT * FROM trips")).await.unwrap().into_inner();
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        let (_, batches) = get(&mut client, with_header(ticket, "compression", compression)).await.unwrap();
        assert_eq!(bytes(&batches), 250);
    }
    let info = client.get_flight_info(statement(ENDLESS)).await.unwrap().into_inner();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let status = get(&mut client, with_header(ticket, "timeout-ms", "50")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "deadline_exceeded"));
}
