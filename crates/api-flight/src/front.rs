//! The Flight service: each call is read, handed to the one place that does it, and its answer written.

use std::pin::Pin;

use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, Result as ActionResult, SchemaResult, Ticket, flight_service_server::FlightService,
};
use futures::{Stream, StreamExt, stream};
use lakebed_types::{Error, ErrorKind, QueryId};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    FlightState, action,
    asked::Asked,
    error::{Failure, Outcome},
    guard::Call,
    handshake, ipc, listing, prepared, put,
    question::{self, flight_info},
    session,
    shape::Shape,
    stream::{self as streams, FlightStream},
};

/// The header that names an execution.
const QUERY_ID: &str = "x-query-id";

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    pub(crate) state: FlightState,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl FlightService for Front {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = FlightStream;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<ActionResult>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let (token, answer) = handshake::handshake(&self.state, request).await.map_err(Failure::from)?;
        let bearer = format!("Bearer {token}").parse();
        let bearer = bearer.map_err(|_| Failure::from(Error::internal("a token cannot be written")))?;
        let mut response = Response::new(stream::iter([Ok(answer)]).boxed() as Self::HandshakeStream);
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        let call = call(&request)?;
        let tables = listing::tables(&self.state, &call, &request.get_ref().expression).await;
        let tables = tables.map_err(Failure::from)?;
        let state = self.state.clone();
        // One by one as they are read: each is planned.
        let flights = stream::iter(tables).then(move |table| {
            let (state, call) = (state.clone(), call.clone());
            async move { listing::flight(&state, &call, &table).await.map_err(|error| Failure::from(error).into()) }
        });
        Ok(Response::new(flights.boxed()))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let call = call(&request)?;
        let (info, id) = self.info(&call, request.into_inner()).await?;
        Ok(with_id(Response::new(info), id))
    }

    /// A plan is all that there is to wait for: rows come as they are found, over the endpoint.
    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let call = call(&request)?;
        let (info, id) = self.info(&call, request.into_inner()).await?;
        let poll = PollInfo { info: Some(info), progress: Some(1.0), ..PollInfo::default() };
        Ok(with_id(Response::new(poll), id))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let call = call(&request)?;
        let shape = self.shape(&call, request.get_ref()).await?;
        let schema = ipc::schema_bytes(shape.schema()).map_err(Failure::from)?;
        Ok(Response::new(SchemaResult { schema }))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let call = call(&request)?;
        let (rows, id) = self.rows(&call, &request.get_ref().ticket).await?;
        Ok(with_id(Response::new(rows), id))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let call = call(&request)?;
        let answer = put::put(&self.state, &call, request.into_inner()).await?;
        Ok(Response::new(stream::iter([Ok(answer)]).boxed()))
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        call(&request)?;
        Err(Failure::from(Error::new(ErrorKind::Unsupported, "DoExchange is not offered")).into())
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let call = call(&request)?;
        let done = action::act(&self.state, &call, request.get_ref()).await.map_err(Failure::from)?;
        let results: Vec<_> = done.body.into_iter().map(|body| Ok(ActionResult { body: body.into() })).collect();
        let mut response = Response::new(stream::iter(results).boxed() as Self::DoActionStream);
        if done.begun.is_some() || done.ended {
            let cookie = session::cookie(done.begun).map_err(Failure::from)?;
            response.metadata_mut().insert("set-cookie", cookie);
        }
        Ok(response)
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        call(&request)?;
        let actions: Vec<_> = action::all().map(Ok).collect();
        Ok(Response::new(stream::iter(actions).boxed()))
    }
}

impl Front {
    async fn info(&self, call: &Call, descriptor: FlightDescriptor) -> Outcome<(FlightInfo, Option<QueryId>)> {
        let state = &self.state;
        let (info, id) = match Asked::by_descriptor(&descriptor, call)? {
            Asked::Question(question) => question.info(state, call, descriptor).await?,
            Asked::Prepared(handle) => prepared::info(state, call, &handle, descriptor).await?,
            Asked::Metadata(metadata) => {
                let shape = Shape::exact(metadata.schema(state));
                // The question is its own ticket: whoever comes with it is asked who they are.
                let ticket = descriptor.cmd.clone();
                return Ok((flight_info(state, &shape, ticket, descriptor)?, None));
            }
            Asked::Ticket(_) => return Err(a_ticket().into()),
        };
        Ok((info, Some(id)))
    }

    async fn shape(&self, call: &Call, descriptor: &FlightDescriptor) -> Outcome<Shape> {
        let state = &self.state;
        match Asked::by_descriptor(descriptor, call)? {
            Asked::Question(question) => Ok(question.schema(state, call).await?),
            Asked::Prepared(handle) => Ok(prepared::schema(state, call, &handle)?),
            Asked::Metadata(metadata) => Ok(Shape::exact(metadata.schema(state))),
            Asked::Ticket(_) => Err(a_ticket().into()),
        }
    }

    async fn rows(&self, call: &Call, ticket: &bytes::Bytes) -> Outcome<(FlightStream, Option<QueryId>)> {
        let state = &self.state;
        let (rows, id) = match Asked::by_bytes(ticket, call)? {
            Asked::Ticket(handle) => {
                let ticket = state.signer.open(&handle, &call.who, state.clock.now().timestamp())?;
                question::rows_of(state, call, ticket).await?
            }
            Asked::Question(question) => question.rows(state, call).await?,
            Asked::Prepared(handle) => prepared::rows(state, call, &handle).await?,
            Asked::Metadata(metadata) => {
                let answer = metadata.answer(state, call).await?;
                let shape = Shape::exact(answer.schema());
                return Ok((streams::of_batch(&answer, &shape, call.options.compression)?, None));
            }
        };
        Ok((rows, Some(id)))
    }
}

fn a_ticket() -> Error {
    Error::invalid_request("this is a ticket, not a command").with_hint("Send it with DoGet.")
}

fn call<T>(request: &Request<T>) -> Outcome<Call> {
    Ok(Call::of(request)?)
}

fn with_id<T>(mut response: Response<T>, id: Option<QueryId>) -> Response<T> {
    if let Some(value) = id.and_then(|id| id.to_string().parse().ok()) {
        response.metadata_mut().insert(QUERY_ID, value);
    }
    response
}
