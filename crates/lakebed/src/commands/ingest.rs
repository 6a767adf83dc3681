//! `lakebed ingest`: sends files to a table of a server, part by part.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use lakebed_types::{DatabaseName, Error, ErrorKind, Result, TableName, format_count};
use rand::Rng;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::{
    progress,
    remote::{Appended, HttpApi, Rows},
    settings::{ClientSettings, Sources, parse_duration},
    upload::{self, FileFormat, Part, Piece, SentRecord, Tally},
};

/// Parts that have been read and wait to be sent.
const PARTS_READ_AHEAD: usize = 2;
/// Bad rows that are told one by one.
const TOLD_ROWS: usize = 10;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Sends rows of files to a table of a server; sent again after a failure, what has arrived is not taken twice
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lakebed ingest events events.ndjson.gz --url http://127.0.0.1:8000
  lakebed ingest sales.orders *.csv --on-error reject-rows --url https://lake.example:8000
  zcat log.gz | lakebed ingest logs - --format ndjson --create --url http://127.0.0.1:8000")]
pub(super) struct IngestArgs {
    /// The table, as NAME or DATABASE.NAME
    table: String,
    /// Files of NDJSON, JSON, CSV, Arrow or Parquet, also gzipped; - reads stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The server, such as http://127.0.0.1:8000
    #[arg(long)]
    url: String,
    /// A key for that server; better in LAKEBED_CLIENT_KEY
    #[arg(long)]
    key: Option<String>,
    /// PEM file of the authorities of that server's certificate [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<String>,
    /// What the files are, where their names do not tell
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    /// What holds when a part counts as sent
    #[arg(long, value_enum, default_value_t = AckArg::Wal)]
    ack: AckArg,
    /// What one bad row does
    #[arg(long, value_enum, default_value_t = OnErrorArg::RejectBatch)]
    on_error: OnErrorArg,
    /// Make a table that is not there yet, with the columns of the first rows
    #[arg(long)]
    create: bool,
    /// Requests at once; with more than one, rows may come in another order
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64), value_name = "COUNT")]
    parallel: u8,
    /// How long a server that is busy or away is asked again
    #[arg(long, default_value = "2m", value_name = "TIME")]
    retry_for: String,
    /// A name for this run: under another name, files that were sent before are taken once more
    #[arg(long, default_value = "", value_name = "NAME")]
    run: String,
    /// Go on where a run broke off, though the server no longer remembers it
    #[arg(long)]
    resume: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AckArg {
    Memory,
    Wal,
    Lake,
}

impl AckArg {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Wal => "wal",
            Self::Lake => "lake",
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnErrorArg {
    RejectBatch,
    RejectRows,
}

pub(super) async fn run(args: IngestArgs, mut sources: Sources) -> Result<()> {
    super::set_flags(
        &mut sources,
        &[("--key", "client.key", args.key.clone()), ("--ca-cert", "client.ca_cert", args.ca_cert.clone())],
    )?;
    let table = TableName::parse(&args.table, &DatabaseName::default_database())?;
    let wrong = || Error::invalid_request(format!("`{}` is not a duration", args.retry_for.escape_debug()));
    let retry_for = parse_duration(&args.retry_for).ok_or_else(wrong)?;
    let server = HttpApi::new(&args.url, &ClientSettings::read(&sources.values))?;
    let bar = progress::upload_bar(upload::total_bytes(&args.files));
    let sending =
        Sending { server, table, retry_for, run: args.run.clone(), query: query(&args), sent: Tally::default() };
    let folder = upload::records_folder(&sources.environment);
    let sent = tokio::select! {
        // First, so that signals are heard before anything is sent.
        biased;
        () = crate::http::shutdown_signal() => {
            Err(Error::new(ErrorKind::Cancelled, "stopped by a signal").with_hint("Run it again to send the rest."))
        }
        sent = sending.whole(&args, folder.as_deref(), &bar) => sent,
    };
    bar.finish_and_clear();
    sending.sent.tell(&sending.table);
    sent
}

fn query(args: &IngestArgs) -> Vec<(&'static str, &'static str)> {
    let on_error = match args.on_error {
        OnErrorArg::RejectBatch => "reject_batch",
        OnErrorArg::RejectRows => "reject_rows",
    };
    let create = if args.create { "true" } else { "false" };
    vec![("ack", args.ack.name()), ("on_error", on_error), ("create", create)]
}

struct Sending {
    server: HttpApi,
    table: TableName,
    retry_for: Duration,
    run: String,
    query: Vec<(&'static str, &'static str)>,
    sent: Tally,
}

/// What earlier runs have sent, by file.
type Records = HashMap<String, SentRecord>;

impl Sending {
    /// Sends the files after what earlier runs have sent of them. `folder`: where that is recorded.
    async fn whole(&self, args: &IngestArgs, folder: Option<&Path>, bar: &ProgressBar) -> Result<()> {
        let records = match folder {
            Some(folder) => self.records(args, folder).await?,
            None => Records::new(),
        };
        self.all(args, &records, bar).await?;
        for mut record in records.into_values() {
            record.forget().unwrap_or_else(|error| self.sent.warn(&error));
        }
        Ok(())
    }

    async fn records(&self, args: &IngestArgs, folder: &Path) -> Result<Records> {
        let mut records = Records::new();
        // What is in memory may be lost, and stdin cannot be read again.
        let is_lasting = !matches!(args.ack, AckArg::Memory);
        for file in args.files.iter().filter(|file| is_lasting && *file != Path::new("-")) {
            let (name, table) = (file.display().to_string(), self.table.to_string());
            let place = std::path::absolute(file).unwrap_or_else(|_| file.clone()).display().to_string();
            let command: [&str; 6] = [&args.url, &table, args.ack.name(), &self.run, &name, &place];
            let mut record = SentRecord::open(folder, &command)?;
            self.check(&mut record, &name, args).await?;
            records.insert(name, record);
        }
        Ok(records)
    }

    /// Makes sure that the table is the one that the recorded parts went to: it may have been made anew since then.
    async fn check(&self, record: &mut SentRecord, file: &str, args: &IngestArgs) -> Result<()> {
        let Some(key) = record.last() else { return Ok(()) };
        // No rows, and so nothing to take. Where the key is known, it is known for another body.
        let nothing = Part { bytes: Bytes::new(), media_type: "application/x-ndjson", first_row: 1 };
        let answer = self.until_taken(&nothing, &[], key).await;
        match answer {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            Err(error) if error.kind() == ErrorKind::TableNotFound && args.create => record.forget(),
            Err(error) => Err(error),
            Ok(_) if args.resume => Ok(()),
            Ok(_) => {
                let message = format!("the server does not remember the parts of {file} that an earlier run has sent");
                Err(Error::new(ErrorKind::Expired, message).with_hint(format!(
                    "If they are in {}, go on after them with --resume. Remove {} to send the whole file.",
                    self.table,
                    record.path().display()
                )))
            }
        }
    }

    async fn all(&self, args: &IngestArgs, records: &Records, bar: &ProgressBar) -> Result<()> {
        let read = Arc::new(AtomicU64::new(0));
        let (sender, mut receiver) = mpsc::channel(PARTS_READ_AHEAD);
        let (files, format, count) = (args.files.clone(), args.format, read.clone());
        let reader = tokio::task::spawn_blocking(move || upload::read_all(&files, format, &count, &sender));
        let pieces = stream::poll_fn(move |context| receiver.poll_recv(context));
        let sent = pieces.map(|piece| async move { self.piece(piece?, records).await });
        sent.buffered(usize::from(args.parallel))
            .try_for_each(|()| {
                bar.set_position(read.load(Ordering::Relaxed));
                futures::future::ready(Ok(()))
            })
            .await?;
        reader.await.map_err(|error| Error::internal("reading the files ended early").with_source(error))
    }

    async fn piece(&self, Piece { file, part }: Piece, records: &Records) -> Result<()> {
        let key = self.key_of(&file, &part);
        let record = records.get(&*file);
        if let Some(rows) = record.and_then(|record| record.rows_of(&key)) {
            self.sent.repeat(rows);
            return Ok(());
        }
        let answer = self
            .until_taken(&part, &self.query, &key)
            .await
            .map_err(|error| error.context(format_args!("{file}, from row {}", part.first_row)))?;
        if answer.refused {
            return Err(refusal(&file, part.first_row, &answer));
        }
        match answer.repeated() {
            true => self.sent.repeat(answer.accepted()),
            false => self.sent.take(&answer),
        }
        if let Some(record) = record {
            record.add(&key, answer.accepted()).await.unwrap_or_else(|error| self.sent.warn(&error));
        }
        Ok(())
    }

    /// The same for the same rows at the same place of the same file, on every run of this name.
    fn key_of(&self, file: &str, part: &Part) -> String {
        let mut digest = Sha256::new();
        for text in [
            self.run.as_bytes(),
            file.as_bytes(),
            &part.first_row.to_be_bytes(),
            part.media_type.as_bytes(),
            &part.bytes[..],
        ] {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        }
        format!("file-{:x}", digest.finalize())
    }

    /// Sends a part again while the server is busy, away or gone in the middle of it: the key makes that safe.
    async fn until_taken(&self, part: &Part, query: &[(&str, &str)], key: &str) -> Result<Appended> {
        let mut waited = Duration::ZERO;
        let mut wait = FIRST_WAIT;
        loop {
            let rows = Rows { bytes: part.bytes.clone(), media_type: part.media_type, key };
            let error = match self.server.append(&self.table, query, rows).await {
                Err(error) if is_passing(error.kind()) && waited < self.retry_for => error,
                other => return other,
            };
            let rest = error.retry_after().unwrap_or(wait).min(LONGEST_WAIT);
            // Many clients that were sent away together shall not come back together.
            let rest = rest.mul_f64(rand::rng().random_range(1.0..1.5));
            tracing::debug!(?error, ?rest, "a part is sent again");
            tokio::time::sleep(rest).await;
            waited += rest;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

fn is_passing(kind: ErrorKind) -> bool {
    use ErrorKind as K;
    matches!(
        kind,
        K::Unavailable | K::IngestBusy | K::TooManyRequests | K::StoreUnreachable | K::StoreFailed | K::MemoryPressure
    )
}

fn refusal(file: &str, first_row: u64, answer: &Appended) -> Error {
    let rows: Vec<String> = answer
        .errors()
        .take(TOLD_ROWS)
        .map(|(row, reason)| format!("\n  row {}: {reason}", first_row + row.saturating_sub(1)))
        .collect();
    let more = answer.rejected().saturating_sub(rows.len() as u64);
    let more = if more > 0 { format!("\n  and {} more", format_count(more)) } else { String::new() };
    let message = format!("{file} has rows that cannot be taken:{}{more}", rows.concat());
    Error::new(ErrorKind::InvalidValue, message)
        .with_hint("Correct them and run it again, or keep the good ones with --on-error reject-rows.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_that_pass_are_waited_for() {
        assert!(is_passing(ErrorKind::IngestBusy) && is_passing(ErrorKind::Unavailable));
        assert!(!is_passing(ErrorKind::TableNotFound) && !is_passing(ErrorKind::InvalidValue));
    }
}
