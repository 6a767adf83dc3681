//! A server with one answer.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use crate::TestResult;

/// Gives every HTTP request the same answer: for what a real store does not say on demand. Stops when dropped.
#[derive(Debug)]
pub struct CannedServer {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl CannedServer {
    /// Answers with this status and body.
    ///
    /// # Errors
    /// If there is no free port.
    pub fn start(status: u16, body: impl Into<String>) -> TestResult<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (requests, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stop, body) = (requests.clone(), stopped.clone(), body.into());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                // A client that goes away early is no concern of the test.
                if answer(&stream, status, &body).is_ok() {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        Ok(Self { address, requests, stopped, thread: Some(thread) })
    }

    /// The answer of S3 for an error code, such as `ExpiredToken` with status 400.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn s3_error(status: u16, code: &str) -> TestResult<Self> {
        let document = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>As the test wants it.</Message></Error>"
        );
        Self::start(status, document)
    }

    /// Its URL, without a slash at the end.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests answered so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for CannedServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads one request with its body, and answers; to a HEAD without the body, as HTTP has it.
fn answer(stream: &TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut is_head, mut length) = (String::new(), false, 0);
    while reader.read_line(&mut line)? > 0 && !line.trim().is_empty() {
        is_head |= line.starts_with("HEAD ");
        let header = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        length = header.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(length);
        line.clear();
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    let (mut stream, sent) = (stream, if is_head { "" } else { body });
    write!(
        stream,
        "HTTP/1.1 {status} Canned\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{sent}",
        body.len()
    )
}
