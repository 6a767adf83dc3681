//! `ListFlights`: a flight for each table and view that the caller sees.

use arrow_flight::{FlightDescriptor, FlightInfo, flight_descriptor::DescriptorType};
use lakebed_catalog::Table;
use lakebed_types::{DatabaseName, Error, QueryId, Result};

use crate::{
    FlightState,
    guard::Call,
    question::{Question, expiry, flight_info},
    shape::Shape,
    wire::TicketPayload,
};

/// The flights of all databases, or of the one that the criteria name.
///
/// # Errors
/// `database_not_found`, `invalid_request` for criteria that are no name.
pub(crate) async fn flights(state: &FlightState, call: &Call, criteria: &[u8]) -> Result<Vec<FlightInfo>> {
    let seen = state.query.catalog().seen_by(&call.who);
    let tables = match criteria {
        [] => seen.all_tables().await?,
        name => {
            let wrong = |_| Error::invalid_request("the criteria are not the name of a database");
            let name = std::str::from_utf8(name).map_err(wrong)?;
            seen.tables(&DatabaseName::new(name)?).await?
        }
    };
    tables.iter().map(|table| flight(state, call, table)).collect()
}

fn flight(state: &FlightState, call: &Call, table: &Table) -> Result<FlightInfo> {
    let shape = Shape::of(&table.schema, false);
    let question = Question::table(&table.name);
    let payload = TicketPayload {
        principal: call.who.name().to_owned(),
        expires: expiry(state),
        query: QueryId::random().to_string(),
        sql: Some(question.sql),
        database: question.database.as_str().to_owned(),
        schema: shape.digest().into(),
        ..TicketPayload::default()
    };
    let descriptor = FlightDescriptor {
        r#type: DescriptorType::Path as i32,
        path: vec![table.name.database().as_str().to_owned(), table.name.table().to_owned()],
        ..FlightDescriptor::default()
    };
    let mut info = flight_info(state, &shape, state.signer.sign(payload), descriptor)?;
    info.ordered = false;
    info.total_records = table.rows.and_then(|rows| i64::try_from(rows).ok()).unwrap_or(-1);
    Ok(info)
}
