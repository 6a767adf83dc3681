//! Every call, by everyone: nobody comes past the guard, and nobody sees or does more than over HTTP.

use std::future::Future;

use arrow_flight::{
    Action, Criteria, Empty, FlightData, FlightDescriptor, HandshakeRequest, Ticket,
    sql::{
        ActionCreatePreparedStatementRequest, CommandGetTables, CommandStatementIngest, CommandStatementUpdate,
        ProstMessageExt, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
    },
    utils::batches_to_flight_data,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::{TryStreamExt, stream};
use lakebed_access::{Principal, Role};
use prost::Message;
use tonic::{Code, Request, Status};

use crate::server::{Server, command, get, reason, statement, trips, with_header, with_key};

/// Every call of the service, as one that reads.
const CALLS: [&str; 10] = [
    "ListFlights",
    "GetFlightInfo",
    "PollFlightInfo",
    "GetSchema",
    "DoGet",
    "DoPut",
    "DoAction",
    "ListActions",
    "DoExchange",
    "Prepare",
];

async fn ask(server: &Server, name: &str, key: Option<&str>) -> Result<(), Status> {
    let mut client = server.client().await;
    let select = || statement("SELECT count(*) AS n FROM trips");
    match name {
        "ListFlights" => client.list_flights(shown(Criteria::default(), key)).await.map(drop),
        "GetFlightInfo" => client.get_flight_info(shown(select(), key)).await.map(drop),
        "PollFlightInfo" => client.poll_flight_info(shown(select(), key)).await.map(drop),
        "GetSchema" => client.get_schema(shown(select(), key)).await.map(drop),
        "DoGet" => get(&mut client, shown(Ticket::new("SELECT count(*) AS n FROM trips"), key)).await.map(drop),
        "DoPut" => update(server, key, "SELECT 1").await,
        "DoAction" => client.do_action(shown(Action::new("GetSessionOptions", ""), key)).await.map(drop),
        "ListActions" => client.list_actions(shown(Empty {}, key)).await.map(drop),
        "DoExchange" => match client.do_exchange(shown(stream::iter([FlightData::new()]), key)).await {
            Err(status) if status.code() == Code::Unimplemented => Ok(()),
            other => other.map(drop),
        },
        _ => prepare(server, key, "SELECT count(*) AS n FROM trips").await,
    }
}

async fn prepare(server: &Server, key: Option<&str>, sql: &str) -> Result<(), Status> {
    let request = ActionCreatePreparedStatementRequest { query: sql.to_owned(), transaction_id: None };
    let action = Action::new("CreatePreparedStatement", request.as_any().encode_to_vec());
    server.client().await.do_action(shown(action, key)).await.map(drop)
}

async fn update(server: &Server, key: Option<&str>, sql: &str) -> Result<(), Status> {
    let descriptor = command(CommandStatementUpdate { query: sql.to_owned(), transaction_id: None });
    let message = FlightData::new().with_descriptor(descriptor);
    server.client().await.do_put(shown(stream::iter([message]), key)).await.map(drop)
}

async fn ingest(server: &Server, key: Option<&str>, database: &str, table: &str) -> Result<(), Status> {
    let command = command(CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: TableNotExistOption::Create as i32,
            if_exists: TableExistsOption::Append as i32,
        }),
        table: table.to_owned(),
        schema: Some(database.to_owned()),
        ..CommandStatementIngest::default()
    });
    let rows = trips(0..3);
    let mut messages = batches_to_flight_data(&rows.schema(), vec![rows]).unwrap();
    messages[0].flight_descriptor = Some(command);
    server.client().await.do_put(shown(stream::iter(messages), key)).await.map(drop)
}

fn shown<T>(message: T, key: Option<&str>) -> Request<T> {
    match key {
        Some(key) => with_key(message, key),
        None => Request::new(message),
    }
}

async fn refused(call: impl Future<Output = Result<(), Status>>) -> (Code, String) {
    let status = call.await.unwrap_err();
    (status.code(), reason(&status))
}

#[tokio::test]
async fn without_keys_everyone_may_call() {
    let server = Server::start().await;
    for name in CALLS {
        ask(&server, name, None).await.unwrap_or_else(|status| panic!("{name}: {status}"));
    }
}

#[tokio::test]
async fn with_keys_every_call_wants_a_good_one() {
    let server = Server::start().await;
    let good = server.key("good", Role::Read, &[]).await;
    let revoked = server.key("revoked", Role::Admin, &[]).await;
    server.query.access().keys().revoke(&Principal::local(), "revoked").await.unwrap();
    let lifetime = std::time::Duration::from_secs(1);
    let expired = server.key_until("expired", Role::Admin, &[], Some(lifetime)).await;
    ask(&server, "ListActions", Some(&expired)).await.unwrap();
    tokio::time::sleep(lifetime).await;
    let wrong = format!("{}{}", &good[..good.len() - 8], "00000000");
    for name in CALLS {
        for key in ["", "nonsense", &wrong, &revoked, &expired].map(Some).into_iter().chain([None]) {
            let (code, reason) = refused(ask(&server, name, key)).await;
            assert!(
                matches!(reason.as_str(), "unauthenticated" | "too_many_logins"),
                "{name} {key:?}: {code} {reason}"
            );
        }
        ask(&server, name, Some(&good)).await.unwrap_or_else(|status| panic!("{name}: {status}"));
    }
}

#[tokio::test]
async fn roles_are_those_of_statements() {
    let server = Server::start().await;
    let read = server.key("read", Role::Read, &[]).await;
    let write = server.key("write", Role::Write, &[]).await;
    let admin = server.key("admin", Role::Admin, &[]).await;
    let denied = (Code::PermissionDenied, "permission_denied".to_owned());
    for (key, table, database) in [(&read, false, false), (&write, true, false), (&admin, true, true)] {
        for (sql, allowed) in [
            ("CREATE OR REPLACE TABLE made AS SELECT 1 AS one", table),
            ("CREATE DATABASE IF NOT EXISTS more", database),
            ("SHOW TABLES", true),
        ] {
            for call in ["update", "info", "prepare"] {
                let outcome = match call {
                    "update" => update(&server, Some(key), sql).await,
                    "info" => server.client().await.get_flight_info(with_key(statement(sql), key)).await.map(drop),
                    _ => prepare(&server, Some(key), sql).await,
                };
                match allowed {
                    true => outcome.unwrap_or_else(|status| panic!("{call} {sql}: {status}")),
                    false => {
                        let status = outcome.unwrap_err();
                        assert_eq!((status.code(), reason(&status)), denied, "{call} {sql}");
                    }
                }
            }
        }
        assert_eq!(ingest(&server, Some(key), "default", "sent").await.is_ok(), table);
    }
}

#[tokio::test]
async fn what_is_not_granted_does_not_exist() {
    let server = Server::start().await;
    server.rows("CREATE DATABASE other").await;
    server.rows("CREATE TABLE other.secret AS SELECT 1 AS one").await;
    let key = server.key("some", Role::Write, &["default.trips"]).await;
    let key = Some(key.as_str());
    let mut client = server.client().await;
    for table in ["other.secret", "other.nothing"] {
        let sql = format!("SELECT * FROM {table}");
        let (code, word) = refused(async { client.get_flight_info(shown(statement(&sql), key)).await.map(drop) }).await;
        assert_eq!((code, word.as_str()), (Code::NotFound, "database_not_found"), "{table}");
    }
    let path = FlightDescriptor::new_path(vec!["other".into(), "secret".into()]);
    assert_eq!(refused(async { client.get_schema(shown(path, key)).await.map(drop) }).await.0, Code::NotFound);
    let flights = client.list_flights(shown(Criteria::default(), key)).await.unwrap().into_inner();
    let flights: Vec<_> = flights.try_collect().await.unwrap();
    let paths: Vec<_> = flights.iter().map(|info| info.flight_descriptor.clone().unwrap().path).collect();
    assert_eq!(paths, [["default", "trips"]]);
    let tables = command(CommandGetTables { include_schema: true, ..CommandGetTables::default() });
    let (_, batches) = get(&mut client, shown(Ticket::new(tables.cmd), key)).await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
    for (database, table) in [("other", "secret"), ("other", "mine"), ("default", "mine")] {
        assert!(ingest(&server, key, database, table).await.is_err(), "{database}.{table}");
    }
}

#[tokio::test]
async fn a_handshake_gives_the_token_of_all_later_calls() {
    let server = Server::start().await;
    let key = server.key("good", Role::Read, &[]).await;
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("anyone:{key}")));
    let mut client = server.client().await;
    let hello = || stream::iter([HandshakeRequest::default()]);
    let response = client.handshake(with_header(hello(), "authorization", &basic)).await.unwrap();
    let bearer = response.metadata().get("authorization").unwrap().to_str().unwrap().to_owned();
    client.list_actions(with_header(Empty {}, "authorization", &bearer)).await.unwrap();
    // Basic works on any call as well.
    client.list_actions(with_header(Empty {}, "authorization", &basic)).await.unwrap();

    let auth = arrow_flight::BasicAuth { username: "anyone".into(), password: key.clone() };
    let payload = HandshakeRequest { protocol_version: 0, payload: auth.encode_to_vec().into() };
    let answer =
        client.handshake(stream::iter([payload])).await.unwrap().into_inner().message().await.unwrap().unwrap();
    let mut request = Request::new(Empty {});
    let token = tonic::metadata::MetadataValue::from_bytes(&answer.payload);
    request.metadata_mut().insert_bin("auth-token-bin", token);
    client.list_actions(request).await.unwrap();

    let wrong = format!("Basic {}", BASE64_STANDARD.encode("anyone:wrong"));
    for request in [Request::new(hello()), with_header(hello(), "authorization", &wrong)] {
        let status = client.handshake(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "unauthenticated"));
    }
}

#[tokio::test]
async fn health_is_open_and_says_what_ready_says() {
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

    let server = Server::start().await;
    server.key("good", Role::Read, &[]).await;
    let mut health = HealthClient::new(server.channel().await);
    for (ready, wanted) in [(true, ServingStatus::Serving), (false, ServingStatus::NotServing)] {
        server.ready.store(ready, std::sync::atomic::Ordering::Release);
        let request = HealthCheckRequest { service: "arrow.flight.protocol.FlightService".into() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status(), wanted);
    }
    let unknown = HealthCheckRequest { service: "nothing".into() };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);
}
