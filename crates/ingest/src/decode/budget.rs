//! What the rows of a body may take once they are decoded: small bodies can stand for rows without end.

use lakebed_types::{Error, ErrorKind, Result, format_bytes};

/// Bytes that the rows of any body may take, decoded.
const LEAST_BYTES: u64 = 1024 * 1024 * 1024;
/// How often the bytes of a body its rows may take, decoded.
const TIMES: u64 = 8;

/// Bytes that may still be taken.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    all: u64,
    left: u64,
}

impl Budget {
    /// For the rows of a body of so many bytes, uncompressed.
    pub(crate) fn for_body(bytes: usize) -> Self {
        Self::of(LEAST_BYTES.max((bytes as u64).saturating_mul(TIMES)))
    }

    /// Of so many bytes.
    pub(crate) fn of(bytes: u64) -> Self {
        Self { all: bytes, left: bytes }
    }

    /// Whether bytes that are needed for a while could be taken.
    ///
    /// # Errors
    /// `request_too_large` where there are not so many.
    pub(crate) fn lend(&self, bytes: u64) -> Result<()> {
        self.clone().take(bytes)
    }

    /// Takes bytes, before there is memory for them.
    ///
    /// # Errors
    /// `request_too_large` where there are not so many.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let message = format!("the body's rows have more than {}, decoded", format_bytes(self.all));
                Err(Error::new(ErrorKind::RequestTooLarge, message).with_hint("Send the rows in several requests."))
            }
        }
    }
}
