//! Clients that vanish leave nothing behind.

use std::time::Duration;

use arrow_flight::{
    Action,
    sql::{ActionCreatePreparedStatementRequest, ProstMessageExt},
};
use futures::{StreamExt, future::join_all};
use lakebed_api_flight::FlightSettings;
use prost::Message;

use crate::server::{SECRET, Server, statement};

const CLIENTS: usize = 200;
const WIDE: &str = "SELECT a.*, b.name AS other FROM trips a, trips b, trips c";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_vanish() {
    let idle_session = Duration::from_secs(3);
    let server = Server::with(FlightSettings { idle_session, ..FlightSettings::new(SECRET) }).await;
    join_all((0..CLIENTS).map(|_| vanish(&server))).await;
    assert!(server.becomes_idle().await, "{} permits are out", server.query.access().running());
    assert_eq!((server.query.memory_reserved(), server.query.access().queued()), (0, 0));
    assert!(server.state.kept() > 0);
    tokio::time::sleep(idle_session).await;
    server.state.sweep();
    assert_eq!(server.state.kept(), 0, "statements and plans that nobody asks for are forgotten");
    assert_eq!(server.number("SELECT count(*) FROM trips").await, 250);
}

/// Connects, prepares, reads one message and is gone. Being turned away because others are before it is fine.
async fn vanish(server: &Server) {
    let mut client = server.client().await;
    let request = ActionCreatePreparedStatementRequest { query: WIDE.to_owned(), transaction_id: None };
    let action = Action::new("CreatePreparedStatement", request.as_any().encode_to_vec());
    client.do_action(action).await.unwrap();
    let info = client.get_flight_info(statement(WIDE)).await.unwrap().into_inner();
    if let Ok(stream) = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await {
        let _: Option<_> = stream.into_inner().next().await;
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_let_go() {
    let idle_client = Duration::from_millis(300);
    let server = Server::with(FlightSettings { idle_client, ..FlightSettings::new(SECRET) }).await;
    let mut client = server.client().await;
    let info = client.get_flight_info(statement(WIDE)).await.unwrap().into_inner();
    let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap().into_inner();
    stream.next().await.unwrap().unwrap();
    assert!(server.becomes_idle().await, "its query has ended though its connection is open");
    let end = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a part must not look like the whole"),
            Err(status) => break status,
        }
    };
    assert_eq!(crate::server::reason(&end), "cancelled");
}
