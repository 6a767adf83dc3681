//! Tickets: for one caller, for a time, and for every server of the deployment.

use std::time::Duration;

use arrow_flight::{
    Action, FlightEndpoint, RenewFlightEndpointRequest, Ticket,
    sql::{Any, ProstMessageExt, TicketStatementQuery},
};
use lakebed_access::Role;
use lakebed_api_flight::{FlightSettings, FlightState};
use lakebed_types::SystemClock;
use prost::Message;
use tonic::Code;

use crate::server::{SECRET, Server, get, reason, serve, statement, with_key};

#[tokio::test]
async fn another_server_with_the_same_secret_serves_it() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let info = client.get_flight_info(statement("SELECT id FROM trips")).await.unwrap().into_inner();
    let ticket = info.endpoint[0].ticket.clone().unwrap();

    let other = |secret| {
        let (query, ready) = (server.query.clone(), server.ready.clone());
        FlightState::new(query, FlightSettings::new(secret), ready, std::sync::Arc::new(SystemClock)).unwrap()
    };
    for (secret, good) in [(SECRET, true), ([4; 32], false)] {
        let address = serve(&other(secret)).await;
        let channel = crate::server::channel(address).await;
        let mut stranger = arrow_flight::flight_service_client::FlightServiceClient::new(channel);
        let rows = get(&mut stranger, ticket.clone()).await;
        assert_eq!(rows.is_ok(), good);
        if let Err(status) = rows {
            assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "permission_denied"));
        }
    }
    for _ in 0..2 {
        assert_eq!(get(&mut client, ticket.clone()).await.unwrap().1[0].num_rows(), 250, "it can be read again");
    }
}

#[tokio::test]
async fn a_forged_ticket_is_refused() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let info = client.get_flight_info(statement("SELECT id FROM trips")).await.unwrap().into_inner();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let any = Any::decode(ticket.ticket.clone()).unwrap();
    let good: TicketStatementQuery = any.unpack().unwrap().unwrap();
    let mut forgeries = vec![Vec::new(), b"short".to_vec(), vec![0; 4096]];
    for at in [0, 31, 32, 40, good.statement_handle.len() - 1] {
        let mut handle = good.statement_handle.to_vec();
        handle[at] ^= 1;
        forgeries.push(handle);
    }
    for handle in forgeries {
        let forged = TicketStatementQuery { statement_handle: handle.into() };
        let status = get(&mut client, Ticket::new(forged.as_any().encode_to_vec())).await.unwrap_err();
        assert_eq!(reason(&status), "permission_denied");
    }
}

#[tokio::test]
async fn a_ticket_is_for_its_caller_alone() {
    let server = Server::start().await;
    let (one, other) = (server.key("one", Role::Read, &[]).await, server.key("other", Role::Admin, &[]).await);
    let mut client = server.client().await;
    let info = client.get_flight_info(with_key(statement("SELECT 1 AS one"), &one)).await.unwrap().into_inner();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let status = get(&mut client, with_key(ticket.clone(), &other)).await.unwrap_err();
    assert_eq!(reason(&status), "permission_denied");
    get(&mut client, with_key(ticket, &one)).await.unwrap();
}

#[tokio::test]
async fn an_old_ticket_is_expired_unless_it_is_renewed() {
    let lifetime = Duration::from_secs(1);
    let server = Server::with(FlightSettings { ticket_lifetime: lifetime, ..FlightSettings::new(SECRET) }).await;
    let mut client = server.client().await;
    let info = client.get_flight_info(statement("SELECT 1 AS one")).await.unwrap().into_inner();
    let endpoint: FlightEndpoint = info.endpoint[0].clone();
    assert!(endpoint.expiration_time.is_some());
    tokio::time::sleep(lifetime * 2).await;
    let status = get(&mut client, endpoint.ticket.clone().unwrap()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "expired"));

    let settings = FlightSettings { ticket_lifetime: Duration::from_secs(60), ..FlightSettings::new(SECRET) };
    let server = Server::with(settings).await;
    let mut client = server.client().await;
    let info = client.get_flight_info(statement("SELECT 1 AS one")).await.unwrap().into_inner();
    let request = RenewFlightEndpointRequest { endpoint: Some(info.endpoint[0].clone()) };
    let action = Action::new("RenewFlightEndpoint", request.encode_to_vec());
    let renewed = client.do_action(action).await.unwrap().into_inner().message().await.unwrap().unwrap();
    let renewed = FlightEndpoint::decode(renewed.body).unwrap();
    get(&mut client, renewed.ticket.unwrap()).await.unwrap();
}

#[tokio::test]
async fn columns_that_have_changed_are_not_sent_under_an_old_promise() {
    let server = Server::start().await;
    server.rows("CREATE TABLE made AS SELECT 1 AS one").await;
    let mut client = server.client().await;
    let info = client.get_flight_info(statement("SELECT * FROM made")).await.unwrap().into_inner();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    server.rows("CREATE OR REPLACE TABLE made AS SELECT 'x' AS one, 2 AS two").await;
    // The plan that the info was made from still reads what was there.
    assert_eq!(get(&mut client, ticket.clone()).await.unwrap().0.fields().len(), 1);
    let status = get(&mut client, ticket).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "conflict"));
}
