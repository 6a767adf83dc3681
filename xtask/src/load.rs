//! `cargo xtask load URL CLIENTS SECONDS`: a load generator for benchmarks, lean enough to leave the cores to the server.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::Result;

struct Figures {
    latencies_ms: Vec<f64>,
    errors: u64,
}

pub(crate) fn run(arguments: &[&str]) -> Result {
    let [url, clients, seconds] = arguments else { return Err("load needs URL, CLIENTS and SECONDS".to_owned()) };
    let rest = url.strip_prefix("http://").ok_or("load speaks plain HTTP only")?;
    let (host, path) = rest.split_once('/').ok_or("the URL has no path")?;
    if !host.starts_with("127.0.0.1:") {
        return Err("load is for servers on this machine".to_owned());
    }
    let clients: usize = clients.parse().map_err(|_| "CLIENTS is not a number")?;
    let time = Duration::from_secs(seconds.parse().map_err(|_| "SECONDS is not a number")?);
    let workers: Vec<_> = (0..clients)
        .map(|_| {
            let (host, path) = (host.to_owned(), path.to_owned());
            thread::spawn(move || client(&host, &path, time))
        })
        .collect();
    let mut all = Figures { latencies_ms: Vec::new(), errors: 0 };
    for worker in workers {
        let figures = worker.join().map_err(|_| "a client panicked")??;
        all.latencies_ms.extend(figures.latencies_ms);
        all.errors += figures.errors;
    }
    all.latencies_ms.sort_by(f64::total_cmp);
    let at =
        |share: f64| all.latencies_ms.get((all.latencies_ms.len() as f64 * share) as usize).copied().unwrap_or(0.0);
    let per_second = all.latencies_ms.len() as f64 / time.as_secs_f64();
    println!("{}", json!({"per_second": per_second, "p50_ms": at(0.5), "p99_ms": at(0.99), "errors": all.errors}));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures the machine's time")]
fn client(host: &str, path: &str, time: Duration) -> Result<Figures> {
    let failed = |error: std::io::Error| format!("{host}: {error}");
    let stream = TcpStream::connect(host).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let mut reader = BufReader::with_capacity(1 << 16, stream.try_clone().map_err(failed)?);
    let mut writer = stream;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n");
    let mut figures = Figures { latencies_ms: Vec::new(), errors: 0 };
    let end = Instant::now() + time;
    while Instant::now() < end {
        let started = Instant::now();
        writer.write_all(request.as_bytes()).map_err(failed)?;
        if read_answer(&mut reader).map_err(failed)? != 200 {
            figures.errors += 1;
        }
        figures.latencies_ms.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(figures)
}

/// Reads one answer whole, with a length or in chunks, and gives its status.
fn read_answer(reader: &mut BufReader<TcpStream>) -> std::io::Result<u16> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let (mut length, mut chunked) = (0, false);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(text) = header.strip_prefix("content-length:") {
            length = text.trim().parse().unwrap_or(0);
        }
        chunked |= header == "transfer-encoding: chunked";
    }
    let mut body = Vec::new();
    if !chunked {
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        return Ok(status);
    }
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        body.resize(size + 2, 0);
        reader.read_exact(&mut body)?;
        if size == 0 {
            return Ok(status);
        }
    }
}
