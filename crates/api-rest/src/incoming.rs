//! The body of a request as a stream, bounded in bytes and in silence.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use futures::{Stream, StreamExt, stream};
use lakebed_types::{Error, ErrorKind, Result};

/// Bytes of a refused body that are still read, so that the client gets to hear why: a connection that is closed with
/// something unread takes back what was sent on it.
const DRAINED_BYTES: u64 = 64 << 20;

/// The chunks of a body. More than `limit` bytes in all is `request_too_large`, and a client that sends nothing for `idle`
/// or breaks off `invalid_request`. What is not asked for is read to its end in the background.
pub(crate) fn chunks(body: Body, limit: u64, idle: Duration) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let incoming = Incoming { body: Some(body.into_data_stream()), left: limit, limit, idle };
    stream::unfold(incoming, async |mut incoming| incoming.next().await.map(|chunk| (chunk, incoming)))
}

struct Incoming {
    /// None: there is nothing more to come.
    body: Option<BodyDataStream>,
    left: u64,
    limit: u64,
    idle: Duration,
}

impl Incoming {
    async fn next(&mut self) -> Option<Result<Bytes>> {
        let body = self.body.as_mut()?;
        let failure = match tokio::time::timeout(self.idle, body.next()).await {
            Ok(Some(Ok(chunk))) => match self.left.checked_sub(chunk.len() as u64) {
                Some(left) => {
                    self.left = left;
                    return Some(Ok(chunk));
                }
                None => return Some(Err(too_large(self.limit))),
            },
            Ok(None) => None,
            Ok(Some(Err(error))) => Some(Error::invalid_request("the request's body ended early").with_source(error)),
            Err(_) => Some(Error::invalid_request("the request's body stood still for too long")),
        };
        self.body = None;
        failure.map(Err)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            tokio::spawn(drain(body, self.idle));
        }
    }
}

async fn drain(mut body: BodyDataStream, idle: Duration) {
    let mut left = DRAINED_BYTES;
    while let Ok(Some(Ok(chunk))) = tokio::time::timeout(idle, body.next()).await {
        match left.checked_sub(chunk.len() as u64) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// The error for a body of more bytes than it may have.
pub(crate) fn too_large(limit: u64) -> Error {
    Error::new(ErrorKind::RequestTooLarge, format!("the request's body has more than {limit} bytes"))
        .with_hint("Send the rows in several requests.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(parts: &'static [&'static str]) -> Body {
        Body::from_stream(stream::iter(
            parts.iter().map(|part| Ok::<_, std::io::Error>(Bytes::from_static(part.as_bytes()))),
        ))
    }

    async fn read(body: Body, limit: u64) -> Vec<Result<Bytes>> {
        let mut read = Vec::new();
        let mut chunks = Box::pin(chunks(body, limit, Duration::from_millis(50)));
        while let Some(chunk) = chunks.next().await {
            let failed = chunk.is_err();
            read.push(chunk);
            if failed {
                break;
            }
        }
        read
    }

    #[tokio::test]
    async fn a_body_may_have_its_limit_and_no_byte_more() {
        let whole: Vec<_> = read(body(&["abc", "de"]), 5).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(whole.concat(), b"abcde");
        let refused = read(body(&["abc", "de"]), 4).await.pop().unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::RequestTooLarge);
    }

    #[tokio::test]
    async fn a_body_that_stands_still_or_breaks_is_no_whole_one() {
        let (sender, silent) = futures::channel::mpsc::unbounded::<std::io::Result<Bytes>>();
        let late = read(Body::from_stream(silent), 5).await.pop().unwrap().unwrap_err();
        assert!(late.message().contains("stood still"), "{late}");
        drop(sender);
        let broken = stream::iter([Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("gone"))]);
        let early = read(Body::from_stream(broken), 5).await.pop().unwrap().unwrap_err();
        assert!(early.message().contains("ended early"), "{early}");
    }
}
