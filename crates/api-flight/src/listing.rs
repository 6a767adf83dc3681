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

/// The tables whose flights are asked for: of all databases, or of the one that the criteria name.
///
/// # Errors
/// `database_not_found`, `invalid_request` for criteria that are no name.
pub(crate) async fn tables(state: &FlightState, call: &Call, criteria: &[u8]) -> Result<Vec<Table>> {
    let seen = state.query.catalog().seen_by(&call.who);
    match criteria {
        [] => seen.all_tables().await,
        name => {
            let wrong = |_| Error::invalid_request("the criteria are not the name of a database");
            let name = std::str::from_utf8(name).map_err(wrong)?;
            seen.tables(&DatabaseName::new(name)?).await
        }
    }
}

/// The flight of one table. Its columns are those that its rows will have, or where that cannot be found out now, those
/// that the catalog has.
///
/// # Errors
/// `internal`.
pub(crate) async fn flight(state: &FlightState, call: &Call, table: &Table) -> Result<FlightInfo> {
    let question = Question::table(&table.name);
    let shape = match question.schema(state, call).await {
        Ok(shape) => shape,
        Err(_) => Shape::of(&table.schema, true),
    };
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
