//! Messages of the protocol that `arrow-flight` has no types for, and the payload of a ticket.

use std::collections::HashMap;

use arrow_flight::sql::Any;
use bytes::Bytes;
use prost::Message;

/// The type URLs of Flight SQL begin like this.
pub(crate) const SQL_TYPES: &str = "type.googleapis.com/arrow.flight.protocol.sql.";

/// A value of a session option.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SessionOptionValue {
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    pub(crate) option_value: Option<OptionValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum OptionValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(sfixed64, tag = "3")]
    Int64(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Texts(Texts),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Texts {
    #[prost(string, repeated, tag = "1")]
    pub(crate) values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetSessionOptionsRequest {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) errors: HashMap<String, OptionError>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OptionError {
    #[prost(enumeration = "OptionErrorValue", tag = "1")]
    pub(crate) value: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum OptionErrorValue {
    Unspecified = 0,
    InvalidName = 1,
    InvalidValue = 2,
    Error = 3,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CloseSessionResult {
    #[prost(enumeration = "CloseStatus", tag = "1")]
    pub(crate) status: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum CloseStatus {
    Unspecified = 0,
    Closed = 1,
    Closing = 2,
    NotCloseable = 3,
}

/// `ActionCreatePreparedStatementResult` with the newer field that says whether the statement changes something.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PreparedStatement {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) handle: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) dataset_schema: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) parameter_schema: Bytes,
    #[prost(bool, optional, tag = "4")]
    pub(crate) is_update: Option<bool>,
}

impl PreparedStatement {
    pub(crate) fn to_any(&self) -> Any {
        Any { type_url: format!("{SQL_TYPES}ActionCreatePreparedStatementResult"), value: self.encode_to_vec().into() }
    }
}

/// What a ticket says: everything that another server of the deployment needs to answer it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TicketPayload {
    /// Whose ticket it is.
    #[prost(string, tag = "1")]
    pub(crate) principal: String,
    /// Seconds since 1970 until which it is good.
    #[prost(int64, tag = "2")]
    pub(crate) expires: i64,
    /// The execution's id, and what its plan lies under.
    #[prost(string, tag = "3")]
    pub(crate) query: String,
    /// The statement; None where it is too long for a ticket.
    #[prost(string, optional, tag = "4")]
    pub(crate) sql: Option<String>,
    /// Where unqualified tables are looked up.
    #[prost(string, tag = "5")]
    pub(crate) database: String,
    /// One row of parameters as an IPC stream; empty where there are none.
    #[prost(bytes = "bytes", tag = "6")]
    pub(crate) parameters: Bytes,
    /// A digest of the schema that was promised; empty where none was.
    #[prost(bytes = "bytes", tag = "7")]
    pub(crate) schema: Bytes,
    /// The result as an IPC stream, where the statement has run already.
    #[prost(bytes = "bytes", tag = "8")]
    pub(crate) result: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        // Field 1, length 12: key "schema" (field 1), value message (field 2) with a string "x" (field 1).
        let bytes = b"\x0a\x0d\x0a\x06schema\x12\x03\x0a\x01x";
        let request = SetSessionOptionsRequest::decode(&bytes[..]).unwrap();
        assert_eq!(request.session_options["schema"].option_value, Some(OptionValue::Text("x".into())));
        let number = SessionOptionValue { option_value: Some(OptionValue::Int64(-2)) };
        assert_eq!(number.encode_to_vec(), b"\x19\xfe\xff\xff\xff\xff\xff\xff\xff");
        let statement = PreparedStatement { is_update: Some(true), ..PreparedStatement::default() };
        assert_eq!(statement.encode_to_vec(), [0x20, 1]);
    }
}
