//! The rows of a query, counted.

use arrow_flight::{error::FlightError, sql::client::FlightSqlServiceClient};
use futures::TryStreamExt;
use tonic::transport::Endpoint;

/// The rows of all batches of a query.
pub async fn count_rows(url: String, sql: &str) -> Result<usize, FlightError> {
    let endpoint = Endpoint::from_shared(url).map_err(|error| FlightError::ExternalError(error.into()))?;
    let mut client = FlightSqlServiceClient::new(endpoint.connect_lazy());
    let info = client.execute(sql.to_owned(), None).await?;
    let mut rows = 0;
    for endpoint in info.endpoint {
        let ticket = endpoint.ticket.unwrap_or_default();
        let mut batches = client.do_get(ticket).await?;
        while let Some(batch) = batches.try_next().await? {
            rows += batch.num_rows();
        }
    }
    Ok(rows)
}
