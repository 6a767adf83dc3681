//! Ending a query from outside, with the reason that its client is told.

use std::sync::{Arc, OnceLock};

use lakebed_types::{Error, ErrorKind};
use tokio_util::sync::CancellationToken;

use crate::error::copy;

/// Ends one query. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel {
    token: CancellationToken,
    reason: Arc<OnceLock<Error>>,
}

impl Cancel {
    /// Of a query that ends with this token too.
    pub(crate) fn of(token: CancellationToken) -> Self {
        Self { token, reason: Arc::default() }
    }

    /// Someone asked for it.
    pub(crate) fn cancel(&self) {
        self.token.cancel();
    }

    /// The server has a reason. The first one counts.
    pub(crate) fn end(&self, reason: Error) {
        let _: Result<(), Error> = self.reason.set(reason);
        self.token.cancel();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves when it was cancelled: the error that the query ends in.
    pub(crate) async fn cancelled(&self) -> Error {
        self.token.cancelled().await;
        match self.reason.get() {
            Some(reason) => copy(reason),
            None => Error::new(ErrorKind::Cancelled, "the query was cancelled"),
        }
    }
}
