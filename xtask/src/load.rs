//! `cargo xtask load URL CLIENTS SECONDS [MEDIA_TYPE FILE...]`: a load generator for benchmarks, lean enough to leave the cores to the server.
//!
//! `{A..B}` in the URL stands for the numbers from A to before B in turn, `{A..B by S}` for them in steps of S, round and round.
//! With files, each request is a POST with the next one as its body.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::Result;

/// The path of each request.
struct Paths {
    before: String,
    after: String,
    start: u64,
    count: u64,
    step: u64,
    next: AtomicU64,
}

impl Paths {
    fn new(path: &str) -> Result<Self> {
        let whole = || Self {
            before: path.to_owned(),
            after: String::new(),
            start: 0,
            count: 0,
            step: 1,
            next: AtomicU64::new(0),
        };
        let Some((before, rest)) = path.split_once('{') else { return Ok(whole()) };
        let (range, after) = rest.split_once('}').ok_or("the URL has an open brace")?;
        let (range, step) = range.split_once(" by ").unwrap_or((range, "1"));
        let (start, end) = range.split_once("..").ok_or("braces hold A..B or A..B by S")?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` in the URL is not a number"));
        let (start, end, step) = (number(start)?, number(end)?, number(step)?);
        let count = end.checked_sub(start).filter(|count| *count > 0).ok_or("the URL's range is empty")?;
        Ok(Self { before: before.to_owned(), after: after.to_owned(), start, count, step, ..whole() })
    }

    fn next(&self) -> String {
        if self.count == 0 {
            return self.before.clone();
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}{}{}", self.before, self.start + turn.wrapping_mul(self.step) % self.count, self.after)
    }
}

/// What is sent besides the path.
#[derive(Default)]
struct Bodies {
    media_type: String,
    bodies: Vec<Vec<u8>>,
    next: AtomicUsize,
}

impl Bodies {
    fn read(arguments: &[&str]) -> Result<Self> {
        let [media_type, files @ ..] = arguments else { return Ok(Self::default()) };
        let read = |file: &&str| std::fs::read(file).map_err(|error| format!("{file}: {error}"));
        let bodies = files.iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Self { media_type: (*media_type).to_owned(), bodies, next: AtomicUsize::new(0) })
    }

    /// A whole request for a path.
    fn request(&self, host: &str, path: &str) -> Vec<u8> {
        let head = format!("/{path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n");
        if self.bodies.is_empty() {
            return format!("GET {head}\r\n").into_bytes();
        }
        let body = &self.bodies[self.next.fetch_add(1, Ordering::Relaxed) % self.bodies.len()];
        let described = format!("Content-Type: {}\r\nContent-Length: {}\r\n\r\n", self.media_type, body.len());
        [format!("POST {head}{described}").as_bytes(), body].concat()
    }
}

struct Figures {
    latencies_ms: Vec<f64>,
    errors: u64,
}

pub(crate) fn run(arguments: &[&str]) -> Result {
    let [url, clients, seconds, bodies @ ..] = arguments else {
        return Err("load needs URL, CLIENTS and SECONDS".to_owned());
    };
    let rest = url.strip_prefix("http://").ok_or("load speaks plain HTTP only")?;
    let (host, path) = rest.split_once('/').ok_or("the URL has no path")?;
    if !host.starts_with("127.0.0.1:") {
        return Err("load is for servers on this machine".to_owned());
    }
    let clients: usize = clients.parse().map_err(|_| "CLIENTS is not a number")?;
    let time = Duration::from_secs(seconds.parse().map_err(|_| "SECONDS is not a number")?);
    let paths = Arc::new(Paths::new(path)?);
    let bodies = Arc::new(Bodies::read(bodies)?);
    let workers: Vec<_> = (0..clients)
        .map(|_| {
            let (host, paths, bodies) = (host.to_owned(), Arc::clone(&paths), Arc::clone(&bodies));
            thread::spawn(move || client(&host, &paths, &bodies, time))
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
    let requests = all.latencies_ms.len();
    println!(
        "{}",
        json!({
            "per_second": per_second, "p50_ms": at(0.5), "p99_ms": at(0.99), "requests": requests, "errors": all.errors,
        })
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures the machine's time")]
fn client(host: &str, paths: &Paths, bodies: &Bodies, time: Duration) -> Result<Figures> {
    let failed = |error: std::io::Error| format!("{host}: {error}");
    let stream = TcpStream::connect(host).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let mut reader = BufReader::with_capacity(1 << 16, stream.try_clone().map_err(failed)?);
    let mut writer = stream;
    let mut figures = Figures { latencies_ms: Vec::new(), errors: 0 };
    let end = Instant::now() + time;
    while Instant::now() < end {
        let request = bodies.request(host, &paths.next());
        let started = Instant::now();
        writer.write_all(&request).map_err(failed)?;
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
