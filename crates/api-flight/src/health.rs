//! gRPC's health service: whether new calls should come here, as `/ready` says it over HTTP. Open to all.

use std::{pin::Pin, sync::atomic::Ordering, time::Duration};

use futures::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
};

use crate::{FlightState, error::Failure};

/// How often it is looked whether the state has changed, for those who watch it.
const PERIOD: Duration = Duration::from_secs(1);
/// The services that can be asked about; the empty name is the whole server.
const SERVICES: [&str; 2] = ["", "arrow.flight.protocol.FlightService"];

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Readiness {
    pub(crate) state: FlightState,
}

impl Readiness {
    fn now(&self) -> ServingStatus {
        let serves = self.state.ready.load(Ordering::Acquire) && !self.state.query.access().is_draining();
        if serves { ServingStatus::Serving } else { ServingStatus::NotServing }
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status as i32 }
}

#[tonic::async_trait]
impl Health for Readiness {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if SERVICES.contains(&service.as_str()) {
            return Ok(Response::new(answer(self.now())));
        }
        let kind = lakebed_types::ErrorKind::NotFound;
        Err(Failure::from(lakebed_types::Error::new(kind, "there is no such service")).into())
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = SERVICES.contains(&request.into_inner().service.as_str());
        let changes = stream::unfold((self.clone(), None), move |(health, told)| async move {
            let mut now = if known { health.now() } else { ServingStatus::ServiceUnknown };
            while told == Some(now) {
                tokio::time::sleep(PERIOD).await;
                now = if known { health.now() } else { ServingStatus::ServiceUnknown };
            }
            Some((Ok(answer(now)), (health, Some(now))))
        });
        Ok(Response::new(changes.boxed()))
    }
}
