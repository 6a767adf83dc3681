//! Plain Flight: SQL as a command or a ticket, tables by their paths, lists.

use arrow_flight::{Criteria, FlightDescriptor, FlightInfo, Ticket};
use futures::TryStreamExt;

use crate::server::{Server, fetch, get, promised, reason};

#[tokio::test]
async fn sql_is_a_command_and_a_ticket() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let info = client.get_flight_info(FlightDescriptor::new_cmd("SELECT id FROM trips")).await.unwrap().into_inner();
    let (schema, batches) = fetch(&mut client, &info).await.unwrap();
    assert_eq!((promised(&info), batches[0].num_rows()), (schema.as_ref().clone(), 250));
    let (_, batches) = get(&mut client, Ticket::new("SELECT id FROM trips WHERE id < 3")).await.unwrap();
    assert_eq!(batches[0].num_rows(), 3);
}

#[tokio::test]
async fn a_path_leads_to_a_table() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for path in [vec!["trips"], vec!["default", "trips"], vec!["Default", "TRIPS"], vec!["lakebed", "default", "trips"]]
    {
        let descriptor = FlightDescriptor::new_path(path.iter().map(ToString::to_string).collect());
        let info = client.get_flight_info(descriptor).await.unwrap().into_inner();
        assert_eq!(fetch(&mut client, &info).await.unwrap().1[0].num_rows(), 250, "{path:?}");
    }
    for (path, word) in [
        (vec!["nothing"], "table_not_found"),
        (vec!["nowhere", "trips"], "database_not_found"),
        (vec![], "invalid_request"),
        (vec!["a", "b", "c", "d"], "invalid_request"),
        (vec!["other", "default", "trips"], "invalid_request"),
        (vec!["x\" UNION SELECT 1 --"], "invalid_request"),
    ] {
        let descriptor = FlightDescriptor::new_path(path.iter().map(ToString::to_string).collect());
        assert_eq!(reason(&client.get_flight_info(descriptor).await.unwrap_err()), word, "{path:?}");
    }
}

#[tokio::test]
async fn flights_are_the_tables() {
    let server = Server::start().await;
    server.rows("CREATE DATABASE other").await;
    server.rows("CREATE VIEW other.seen AS SELECT id, upper(name) AS name FROM default.trips").await;
    let mut client = server.client().await;
    let flights: Vec<FlightInfo> =
        client.list_flights(Criteria::default()).await.unwrap().into_inner().try_collect().await.unwrap();
    let paths: Vec<String> =
        flights.iter().map(|info| info.flight_descriptor.as_ref().unwrap().path.join(".")).collect();
    assert_eq!(paths, ["default.sales", "default.trips", "other.seen"]);
    assert_eq!(flights[1].total_records, 250);
    for info in &flights {
        let (schema, batches) = fetch(&mut client, info).await.unwrap();
        assert_eq!(promised(info), *schema);
        assert!(!batches.is_empty());
    }
    let criteria = Criteria { expression: "other".into() };
    let some: Vec<_> = client.list_flights(criteria).await.unwrap().into_inner().try_collect().await.unwrap();
    assert_eq!(some.len(), 1);
}
