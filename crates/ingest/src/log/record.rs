//! Records of the log, as bytes: a version, a kind, the position, a header in JSON, and of each table its rows as Arrow
//! IPC behind their length.

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use chrono::{DateTime, Utc};
use lakebed_tables::AddFile;
use lakebed_types::{Error, ErrorKind, Result, TableName};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::size::bytes_of;

/// The form of records that this program writes, and the only one that it reads.
const VERSION: u8 = 1;
/// Version, kind and position.
const PREFIX_BYTES: usize = 10;
/// The length of a table's rows.
const LENGTH_BYTES: usize = 8;
/// What rows as Arrow IPC have beside their values, mostly: room that is taken beforehand.
const IPC_BYTES: usize = 4096;
/// Bytes of one record; more than the rows of one body may have.
pub(crate) const MAX_RECORD_BYTES: u32 = 512 * 1024 * 1024;

/// What one record says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record {
    /// Rows of one request, for one table or a table and its rejects.
    Rows(Rows),
    /// The files that a flush is going to commit.
    Intent(Intent),
    /// Idempotency keys of earlier files that are still remembered.
    Keys(Vec<KeptKey>),
}

/// Rows of one request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows {
    /// The key that they came with.
    pub(crate) key: Option<KeptKey>,
    /// Rows by table.
    pub(crate) parts: Vec<Part>,
}

/// Rows of one table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) table: TableName,
    /// Tells the table from an earlier one of the same name.
    pub(crate) table_id: String,
    pub(crate) batch: RecordBatch,
}

/// The files that a flush is going to commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) table: TableName,
    pub(crate) table_id: String,
    /// How far the table was when they were written: they hold its rows after this position,
    pub(crate) after: u64,
    /// and up to this one.
    pub(crate) upto: u64,
    pub(crate) rows: u64,
    pub(crate) adds: Vec<AddFile>,
}

/// An idempotency key and the receipt that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptKey {
    /// SHA-256 of the table's id and the key, in hexadecimal digits.
    pub(crate) key: String,
    /// SHA-256 of the body, in hexadecimal digits.
    pub(crate) body: String,
    pub(crate) lsn: u64,
    pub(crate) accepted: u64,
    pub(crate) rejected: u64,
    pub(crate) at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct RowsHeader {
    key: Option<KeptKey>,
    parts: Vec<PartHeader>,
}

#[derive(Serialize, Deserialize)]
struct PartHeader {
    table: TableName,
    table_id: String,
}

impl Record {
    fn kind(&self) -> u8 {
        match self {
            Record::Rows(_) => 1,
            Record::Intent(_) => 2,
            Record::Keys(_) => 3,
        }
    }

    /// The bytes, with room for the position.
    ///
    /// # Errors
    /// `request_too_large` where they are more than a record may have.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![VERSION, self.kind()];
        bytes.resize(PREFIX_BYTES, 0);
        match self {
            Record::Rows(rows) => encode_rows(rows, &mut bytes)?,
            Record::Intent(intent) => put_header(&mut bytes, intent)?,
            Record::Keys(keys) => put_header(&mut bytes, keys)?,
        }
        if bytes.len() > MAX_RECORD_BYTES as usize {
            return Err(Error::new(ErrorKind::RequestTooLarge, "the rows are too large for one record of the log")
                .with_hint("Send the rows in several requests."));
        }
        Ok(bytes)
    }

    /// What the bytes of an intact record say, and its position.
    ///
    /// # Errors
    /// `corrupt_file` where they are not of this form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(u64, Record)> {
        let (prefix, rest) = bytes.split_at_checked(PREFIX_BYTES).ok_or_else(|| strange("is too short"))?;
        let [version, kind, lsn @ ..] = prefix else { return Err(strange("is too short")) };
        if *version != VERSION {
            return Err(strange(&format!("is of the form {version}, and this program reads form {VERSION}")));
        }
        let lsn = lsn.try_into().map(u64::from_le_bytes).map_err(|_| strange("is too short"))?;
        let record = match kind {
            1 => Record::Rows(decode_rows(rest)?),
            2 => Record::Intent(header(rest)?.0),
            3 => Record::Keys(header(rest)?.0),
            other => return Err(strange(&format!("is of the kind {other}, which this program does not know"))),
        };
        Ok((lsn, record))
    }
}

/// Writes the position into an encoded record.
pub(crate) fn set_lsn(bytes: &mut [u8], lsn: u64) {
    if let Some(place) = bytes.get_mut(2..PREFIX_BYTES) {
        place.copy_from_slice(&lsn.to_le_bytes());
    }
}

fn encode_rows(rows: &Rows, bytes: &mut Vec<u8>) -> Result<()> {
    let headers =
        rows.parts.iter().map(|part| PartHeader { table: part.table.clone(), table_id: part.table_id.clone() });
    put_header(bytes, &RowsHeader { key: rows.key.clone(), parts: headers.collect() })?;
    rows.parts.iter().try_for_each(|part| put_ipc(&part.batch, bytes))
}

fn decode_rows(bytes: &[u8]) -> Result<Rows> {
    let (header, mut rest) = header::<RowsHeader>(bytes)?;
    let mut parts = Vec::with_capacity(header.parts.len());
    for part in header.parts {
        let (length, ipc) = rest.split_first_chunk().ok_or_else(|| strange("ends within its rows"))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (ipc, after) = ipc.split_at_checked(length).ok_or_else(|| strange("ends within its rows"))?;
        parts.push(Part { table: part.table, table_id: part.table_id, batch: read_ipc(ipc)? });
        rest = after;
    }
    Ok(Rows { key: header.key, parts })
}

fn put_header(bytes: &mut Vec<u8>, header: &impl Serialize) -> Result<()> {
    let json =
        serde_json::to_vec(header).map_err(|error| Error::internal("a record has no JSON").with_source(error))?;
    let length = u32::try_from(json.len()).map_err(|error| strange("has too large a header").with_source(error))?;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&json);
    Ok(())
}

fn header<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| strange("is too short"))?;
    let length = u32::from_le_bytes(*length) as usize;
    let (json, rest) = rest.split_at_checked(length).ok_or_else(|| strange("ends within its header"))?;
    let value = serde_json::from_slice(json).map_err(|error| strange("has a strange header").with_source(error))?;
    Ok((value, rest))
}

fn put_ipc(batch: &RecordBatch, bytes: &mut Vec<u8>) -> Result<()> {
    let rows = usize::try_from(bytes_of(batch)).unwrap_or(0);
    bytes.reserve(rows + rows / 16 + IPC_BYTES);
    let place = bytes.len();
    bytes.extend_from_slice(&[0; LENGTH_BYTES]);
    let mut write = || {
        let mut writer = StreamWriter::try_new(&mut *bytes, &batch.schema())?;
        writer.write(batch)?;
        writer.finish()
    };
    write().map_err(|error| Error::internal("rows cannot be written to the log").with_source(error))?;
    let length = (bytes.len() - place - LENGTH_BYTES) as u64;
    bytes[place..place + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

fn read_ipc(bytes: &[u8]) -> Result<RecordBatch> {
    let read = || StreamReader::try_new(Cursor::new(bytes), None)?.next().transpose();
    match read() {
        Ok(Some(batch)) => Ok(batch),
        Ok(None) => Err(strange("has no rows")),
        Err(error) => Err(strange("has rows that cannot be read").with_source(error)),
    }
}

fn strange(what: &str) -> Error {
    Error::new(ErrorKind::CorruptFile, format!("a record of the write-ahead log {what}"))
}
