//! What a descriptor or a ticket asks for: a command of Flight SQL, or SQL text, or a table's path.

use arrow_flight::{
    FlightDescriptor,
    flight_descriptor::DescriptorType,
    sql::{Any, Command},
};
use bytes::Bytes;
use lakebed_types::{DatabaseName, Error, ErrorKind, Result, TableName};
use prost::Message;

use crate::{
    guard::Call,
    metadata::{CATALOG, Metadata},
    prepared::no_transaction,
    question::Question,
    wire::SQL_TYPES,
};

/// Something that has a schema and rows.
#[derive(Debug)]
pub(crate) enum Asked {
    /// A statement.
    Question(Question),
    /// A prepared statement, by its handle.
    Prepared(Bytes),
    /// Something about the server or its catalog.
    Metadata(Metadata),
    /// What was promised under a signed ticket, by its handle.
    Ticket(Bytes),
}

impl Asked {
    /// By a descriptor.
    ///
    /// # Errors
    /// `invalid_request` for one that says nothing, `unsupported` for a command that is not offered.
    pub(crate) fn by_descriptor(descriptor: &FlightDescriptor, call: &Call) -> Result<Self> {
        match descriptor.r#type() {
            DescriptorType::Path => Ok(Self::Question(Question::table(&table(&descriptor.path, call)?))),
            DescriptorType::Cmd => Self::by_bytes(&descriptor.cmd, call),
            DescriptorType::Unknown if !descriptor.cmd.is_empty() => Self::by_bytes(&descriptor.cmd, call),
            DescriptorType::Unknown => Err(Error::invalid_request("the descriptor has neither a command nor a path")),
        }
    }

    /// By a command or a ticket.
    ///
    /// # Errors
    /// As for [`Asked::by_descriptor`].
    pub(crate) fn by_bytes(bytes: &Bytes, call: &Call) -> Result<Self> {
        match sql_command(bytes)? {
            Some(command) => Self::by_command(command, call),
            None => Ok(Self::Question(Question::new(text(bytes)?, call))),
        }
    }

    fn by_command(command: Command, call: &Call) -> Result<Self> {
        if let Some(metadata) = Metadata::of(&command) {
            return Ok(Self::Metadata(metadata));
        }
        match command {
            Command::CommandStatementQuery(statement) => {
                no_transaction(statement.transaction_id.as_ref())?;
                Ok(Self::Question(Question::new(statement.query, call)))
            }
            Command::CommandPreparedStatementQuery(statement) => {
                Ok(Self::Prepared(statement.prepared_statement_handle))
            }
            Command::TicketStatementQuery(ticket) => Ok(Self::Ticket(ticket.statement_handle)),
            other => Err(not_offered(other.type_url())),
        }
    }
}

/// A command of Flight SQL; None for what is none.
///
/// # Errors
/// `invalid_request` for a command whose content cannot be read.
pub(crate) fn sql_command(bytes: &[u8]) -> Result<Option<Command>> {
    match Any::decode(bytes) {
        Ok(any) if any.type_url.starts_with(SQL_TYPES) => {
            let name = any.type_url.clone();
            let unreadable = || Error::invalid_request(format!("the command {name} cannot be read"));
            let command = Command::try_from(any).map_err(|error| unreadable().with_source(error))?;
            Ok(Some(command))
        }
        _ => Ok(None),
    }
}

/// For a command that this server does not have.
pub(crate) fn not_offered(type_url: &str) -> Error {
    let name = type_url.rsplit(['.', '/']).next().unwrap_or_default();
    Error::new(ErrorKind::Unsupported, format!("`{}` is not offered", name.escape_debug()))
}

fn text(bytes: &[u8]) -> Result<&str> {
    let not_text = |_| {
        Error::invalid_request("this is neither a command of Flight SQL nor SQL text in UTF-8")
            .with_hint("Send a statement's text, or the bytes of a ticket unchanged.")
    };
    std::str::from_utf8(bytes).map_err(not_text)
}

/// `[table]`, `[database, table]` or `[catalog, database, table]`.
///
/// # Errors
/// `invalid_request`.
pub(crate) fn table(path: &[String], call: &Call) -> Result<TableName> {
    match path {
        [table] => TableName::parse(table, &call.options.database),
        [database, table] => TableName::new(DatabaseName::new(database)?, table),
        [catalog, database, table] if catalog == CATALOG => TableName::new(DatabaseName::new(database)?, table),
        _ => Err(Error::invalid_request("the path does not lead to a table")
            .with_hint("A table's path is its name, or the name of its database and its own.")),
    }
}
