//! Free ports of the loopback interface, and the little HTTP that a test server's start needs.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use crate::TestResult;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Ports that are free now. All are held until all are found, so that they differ.
pub(crate) fn free_ports<const N: usize>() -> TestResult<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// The status of the answer to one request.
pub(crate) fn http_status(port: u16, method: &str, path: &str, body: &str) -> TestResult<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let line = String::from_utf8_lossy(&answer);
    let status = line.split_whitespace().nth(1).ok_or("the server closed the connection")?;
    Ok(status.parse()?)
}
