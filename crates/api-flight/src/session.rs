//! Sessions: options that hold for all calls which send the session's cookie.

use std::{collections::HashMap, time::Duration};

use arrow_flight::Action;
use lakebed_types::{DatabaseName, Error, ErrorKind, Result};
use prost::Message;
use tonic::metadata::{MetadataMap, MetadataValue};
use uuid::Uuid;

use crate::{
    FlightState,
    guard::Call,
    metadata::CATALOG,
    options::{COMPRESSION, Compression, Options, TIMEOUT_MS, parse_timeout},
    wire::{
        CloseSessionResult, CloseStatus, GetSessionOptionsResult, OptionError, OptionErrorValue, OptionValue,
        SessionOptionValue, SetSessionOptionsRequest, SetSessionOptionsResult,
    },
};

/// The cookie's name.
const COOKIE: &str = "lakebed_session";
/// Options that have the protocol's own names.
const OPTION_CATALOG: &str = "catalog";
const OPTION_SCHEMA: &str = "schema";
/// Options in one request.
const MAX_OPTIONS: usize = 100;

/// What holds for the calls of one session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    pub(crate) options: Options,
}

/// The session that a call's cookie names.
///
/// # Errors
/// `invalid_request` for a cookie that is none of ours.
pub(crate) fn presented(headers: &MetadataMap) -> Result<Option<Uuid>> {
    for line in headers.get_all("cookie") {
        let Ok(line) = line.to_str() else { continue };
        for pair in line.split(';') {
            if let Some((COOKIE, id)) = pair.trim().split_once('=') {
                let wrong = |_| Error::invalid_request(format!("the cookie `{COOKIE}` is not one of this server"));
                return id.trim().trim_matches('"').parse().map(Some).map_err(wrong);
            }
        }
    }
    Ok(None)
}

/// The options of the session that a call belongs to.
///
/// # Errors
/// `expired`: what was set there must not be forgotten in silence.
pub(crate) fn options(state: &FlightState, owner: &str, session: Option<Uuid>) -> Result<Options> {
    let Some(id) = session else { return Ok(Options::default()) };
    state.sessions.with(owner, id, |session| session.options.clone()).ok_or_else(|| {
        Error::new(ErrorKind::Expired, "the session has ended").with_hint("Connect again, and set its options again.")
    })
}

/// `SetSessionOptions`: the answer, and the cookie of a session that it began.
///
/// # Errors
/// `invalid_request` for a message that cannot be read.
pub(crate) async fn set(state: &FlightState, call: &Call, action: &Action) -> Result<(Vec<u8>, Option<Uuid>)> {
    let request = SetSessionOptionsRequest::decode(action.body.as_ref())
        .map_err(|_| Error::invalid_request("the request of SetSessionOptions cannot be read"))?;
    if request.session_options.len() > MAX_OPTIONS {
        return Err(Error::invalid_request("these are too many session options"));
    }
    let mut options = options(state, call.who.name(), call.session)?;
    let mut errors = HashMap::new();
    for (name, value) in request.session_options {
        if let Err(wrong) = set_one(state, call, &mut options, &name, value.option_value).await {
            errors.insert(name, OptionError { value: wrong as i32 });
        }
    }
    let id = call.session.unwrap_or_else(Uuid::new_v4);
    state.sessions.put(call.who.name(), id, Session { options });
    let begun = call.session.is_none().then_some(id);
    Ok((SetSessionOptionsResult { errors }.encode_to_vec(), begun))
}

/// A value without content takes the choice back.
async fn set_one(
    state: &FlightState,
    call: &Call,
    options: &mut Options,
    name: &str,
    value: Option<OptionValue>,
) -> Result<(), OptionErrorValue> {
    let text = match value {
        Some(OptionValue::Text(text)) => text,
        Some(OptionValue::Int64(number)) if name == TIMEOUT_MS => number.to_string(),
        None => String::new(),
        Some(_) => return Err(OptionErrorValue::InvalidValue),
    };
    let wrong = |_| OptionErrorValue::InvalidValue;
    match name {
        OPTION_CATALOG if text.is_empty() || text == CATALOG => Ok(()),
        OPTION_CATALOG => Err(OptionErrorValue::InvalidValue),
        OPTION_SCHEMA => {
            options.database = database(state, call, &text).await.map_err(wrong)?;
            Ok(())
        }
        COMPRESSION => {
            options.compression = Compression::parse(&text).map_err(wrong)?;
            Ok(())
        }
        TIMEOUT_MS => {
            let text = if text.is_empty() { "0" } else { &text };
            options.timeout = parse_timeout(text).map_err(wrong)?;
            Ok(())
        }
        _ => Err(OptionErrorValue::InvalidName),
    }
}

/// One that this caller sees.
async fn database(state: &FlightState, call: &Call, name: &str) -> Result<DatabaseName> {
    if name.is_empty() {
        return Ok(DatabaseName::default_database());
    }
    let name = DatabaseName::new(name)?;
    if !crate::metadata::tables::is_system(&name) {
        state.query.catalog().seen_by(&call.who).database(&name).await?;
    }
    Ok(name)
}

/// `GetSessionOptions`.
///
/// # Errors
/// `expired`.
pub(crate) fn get(state: &FlightState, call: &Call) -> Result<Vec<u8>> {
    let options = options(state, call.who.name(), call.session)?;
    let text = |text: &str| SessionOptionValue { option_value: Some(OptionValue::Text(text.to_owned())) };
    let compression = options.compression.map_or("none", Compression::name);
    let timeout = options.timeout.unwrap_or(Duration::ZERO).as_millis();
    let timeout = OptionValue::Int64(i64::try_from(timeout).unwrap_or(i64::MAX));
    let session_options = HashMap::from([
        (OPTION_CATALOG.to_owned(), text(CATALOG)),
        (OPTION_SCHEMA.to_owned(), text(options.database.as_str())),
        (COMPRESSION.to_owned(), text(compression)),
        (TIMEOUT_MS.to_owned(), SessionOptionValue { option_value: Some(timeout) }),
    ]);
    Ok(GetSessionOptionsResult { session_options }.encode_to_vec())
}

/// `CloseSession`. A caller without one has nothing that could stay open.
pub(crate) fn close(state: &FlightState, call: &Call) -> Vec<u8> {
    if let Some(id) = call.session {
        state.sessions.take(call.who.name(), id);
    }
    CloseSessionResult { status: CloseStatus::Closed as i32 }.encode_to_vec()
}

/// The header that gives a client its cookie, or takes it away.
///
/// # Errors
/// `internal`.
pub(crate) fn cookie(id: Option<Uuid>) -> Result<MetadataValue<tonic::metadata::Ascii>> {
    let text = match id {
        Some(id) => format!("{COOKIE}={id}; Path=/; HttpOnly"),
        None => format!("{COOKIE}=; Path=/; HttpOnly; Max-Age=0"),
    };
    text.parse().map_err(|_| Error::internal("a cookie cannot be written"))
}
