//! What a caller sends: rows in one of five formats, and what is to be done with them.

use std::{fmt, pin::Pin};

use bytes::Bytes;
use futures::Stream;
use lakebed_types::Result;

/// Rows as they are sent.
pub struct RowsBody {
    /// What the bytes are.
    pub format: RowsFormat,
    /// How they are compressed.
    pub compression: Compression,
    /// How many bytes the sender says there are. It need not be true.
    pub length: Option<u64>,
    /// The bytes. An error ends the append with that error, and nothing of it is kept.
    pub bytes: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
}

impl fmt::Debug for RowsBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowsBody").field("format", &self.format).field("compression", &self.compression).finish()
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$one:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$one])* $variant,)* }

        impl $name {
            /// Every one.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// Its word in requests and answers.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// The one with this word.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

words! {
    /// The format of a body.
    RowsFormat {
        /// One JSON object a line.
        NdJson = "ndjson",
        /// One JSON array of objects, or one object.
        Json = "json",
        /// CSV with a header line.
        Csv = "csv",
        /// An Arrow IPC stream.
        Arrow = "arrow",
        /// One Parquet file.
        Parquet = "parquet",
    }
}

words! {
    /// The compression of a body.
    Compression {
        /// As it is.
        None = "none",
        /// gzip, also of several members.
        Gzip = "gzip",
        /// zstd, also of several frames.
        Zstd = "zstd",
    }
}

words! {
    /// What must be true before rows are acknowledged.
    Ack {
        /// They are visible, and written to the log without waiting for the disk: a power failure may take them.
        Memory = "memory",
        /// They are on this node's stable storage.
        Wal = "wal",
        /// They are committed to the table in the lake.
        Lake = "lake",
    }
}

words! {
    /// What one bad row does.
    OnError {
        /// Nothing of the body is kept.
        RejectBatch = "reject_batch",
        /// The good rows are kept, the bad ones go to the table `<table>__rejects`.
        RejectRows = "reject_rows",
    }
}

/// How rows are appended.
#[derive(Debug, Clone)]
pub struct AppendOptions {
    /// What must be true before they are acknowledged.
    pub ack: Ack,
    /// What one bad row does.
    pub on_error: OnError,
    /// The same key for the same table means the same rows: they are kept once, and the second call gets the receipt
    /// of the first.
    pub idempotency_key: Option<String>,
    /// A table that does not exist is made, with the columns of these rows.
    pub create: bool,
}

impl Default for AppendOptions {
    fn default() -> Self {
        Self { ack: Ack::Wal, on_error: OnError::RejectBatch, idempotency_key: None, create: false }
    }
}
