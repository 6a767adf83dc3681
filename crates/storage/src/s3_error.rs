//! What an object store's error says: the facts behind its text.

use std::error::Error as StdError;

use object_store::client::{HttpError, HttpErrorKind};

/// The facts that decide an error's kind.
#[derive(Debug, Default)]
pub(crate) struct StoreFacts<'a> {
    /// Our own error, where one of our layers refused.
    pub(crate) ours: Option<&'a lakebed_types::Error>,
    /// The word in the answer's `<Code>`: `NoSuchBucket`, `AccessDenied`.
    pub(crate) code: Option<String>,
    /// The HTTP status, where there was an answer.
    pub(crate) status: Option<u16>,
    /// How the connection failed, where there was no answer.
    pub(crate) http: Option<HttpErrorKind>,
    /// What the file system said.
    pub(crate) io: Option<std::io::ErrorKind>,
}

impl<'a> StoreFacts<'a> {
    /// Reads the error, its sources and its text. The type that holds status and body is private to
    /// object_store, so these two are read from the text that it prints.
    pub(crate) fn of(error: &'a object_store::Error) -> Self {
        let text = error.to_string();
        let mut facts = Self { code: code(&text), status: status(&text), ..Self::default() };
        let mut next: Option<&'a (dyn StdError + 'static)> = error.source();
        while let Some(cause) = next {
            facts.ours = facts.ours.or_else(|| cause.downcast_ref());
            facts.http = facts.http.or_else(|| cause.downcast_ref::<HttpError>().map(HttpError::kind));
            facts.io = facts.io.or_else(|| cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind));
            next = cause.source();
        }
        facts
    }

    /// Whether a store answered with a status and without the document that says why, as to every HEAD.
    pub(crate) fn is_unexplained(&self) -> bool {
        self.code.is_none() && matches!(self.status, Some(400 | 401 | 403 | 404))
    }
}

fn code(text: &str) -> Option<String> {
    let between = |before: &str, after: &str| {
        let (_, rest) = text.split_once(before)?;
        Some(rest.split_once(after)?.0.trim().to_owned())
    };
    between("<Code>", "</Code>").or_else(|| between("(code: ", ")"))
}

fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}
