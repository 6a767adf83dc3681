//! The SQL scripts of `tests/sql` through Flight: the source is the one that runs through HTTP, and so are the answers.

use std::sync::Arc;

use async_trait::async_trait;
use lakebed_api_flight::FlightSettings;
use lakebed_testkit::{Answer, Door, run_scripts, scripts_folder, scripts_lake};
use lakebed_types::{Error, ErrorKind};
use tonic::Status;

use super::server::{SECRET, Server, fetch, statement};

/// `GetFlightInfo` and `DoGet`.
#[derive(Clone)]
struct Flight(Arc<Server>);

#[async_trait]
impl Door for Flight {
    async fn ask(&self, sql: &str) -> Result<Answer, Error> {
        let refused = |status: Status| Error::new(ErrorKind::InvalidQuery, status.message());
        let mut client = self.0.client().await;
        let info = client.get_flight_info(statement(sql)).await.map_err(refused)?.into_inner();
        let (schema, batches) = fetch(&mut client, &info).await.map_err(refused)?;
        Ok(Answer::of_batches(schema.fields().len(), &batches).unwrap())
    }
}

#[tokio::test]
async fn scripts_hold_over_flight() {
    let server = Server::over(scripts_lake().unwrap(), FlightSettings::new(SECRET)).await;
    run_scripts(&scripts_folder(), Flight(Arc::new(server))).await.unwrap();
}
