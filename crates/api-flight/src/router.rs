//! The application: the Flight service behind its guard, health and reflection beside it.

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::{Router, middleware};
use lakebed_types::{Error, Result};
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

use crate::{FlightState, front::Front, guard, health::Readiness};

/// The whole Flight application. Whoever serves it speaks HTTP/2, and puts the peer's address into the requests'
/// extensions.
///
/// # Errors
/// `internal`.
pub fn router(state: FlightState) -> Result<Router> {
    let message_bytes = state.settings.message_bytes;
    let flight = FlightServiceServer::new(Front { state: state.clone() })
        .max_decoding_message_size(message_bytes)
        .max_encoding_message_size(usize::MAX);
    let flight = Routes::new(flight).into_axum_router();
    let guarded = flight.layer(middleware::from_fn_with_state(state.clone(), guard::guard));
    let failed = |error| Error::internal("the reflection service does not start").with_source(error);
    // Of the Flight protocol itself there is no descriptor to show.
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(failed)?;
    let open = Router::new();
    let open = Routes::from(open).add_service(HealthServer::new(Readiness { state })).add_service(reflection);
    Ok(open.into_axum_router().merge(guarded))
}
