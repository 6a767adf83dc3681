//! `lakebed sql`: one statement, run here or on a server.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use lakebed_access::{AdmitOptions, Principal};
use lakebed_formats::Format;
use lakebed_query::{CachePolicy, Parameters, QueryOptions};
use lakebed_storage::Location;
use lakebed_types::{DatabaseName, Error, Estimate, Result, format_bytes, format_count};

use crate::{
    assembly::{Lake, LakeOptions},
    remote::{self, Statement},
    results::{self, Target},
    served::{self, Served},
    settings::{ClientSettings, Sources, parse_duration},
};

/// Runs a SQL statement, here or on a server
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lakebed sql \"SELECT count(*) FROM orders\" data/
  lakebed sql \"SELECT * FROM 'data/orders.parquet'\" data/ --format csv --output orders.csv
  lakebed sql \"SELECT * FROM orders\" --url http://127.0.0.1:8000
  lakebed sql \"SELECT * FROM orders\" --url grpc://127.0.0.1:8815 --format parquet --output")]
pub(super) struct SqlArgs {
    /// The statement; - reads it from stdin
    sql: String,
    /// Locations whose tables the statement may name, as for serve; without any, files below the working directory can be read by path
    #[arg(value_name = "[NAME=]LOCATION")]
    locations: Vec<String>,
    /// Ask this server instead, over HTTP or Arrow Flight, such as http://127.0.0.1:8000 or grpc://127.0.0.1:8815
    /// (https:// and grpc+tls:// with TLS)
    #[arg(long, conflicts_with_all = ["locations", "data_dir", "allow_write"])]
    url: Option<String>,
    /// A key for that server; better in LAKEBED_CLIENT_KEY
    #[arg(long, requires = "url")]
    key: Option<String>,
    /// PEM file of the authorities of that server's certificate [default: the system's]
    #[arg(long, requires = "url", value_name = "FILE")]
    ca_cert: Option<String>,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = OutputFormat::Display)]
    format: OutputFormat,
    /// Write the result to this file, which appears when it is whole; without FILE to query_results.csv, .parquet and so on
    #[arg(long, short, value_name = "FILE", num_args = 0..=1)]
    output: Option<Option<PathBuf>>,
    /// Only say what the statement would read
    #[arg(long)]
    estimate: bool,
    /// The database of unqualified tables
    #[arg(long, default_value = "default")]
    database: DatabaseName,
    /// Use the catalog of this folder instead of an empty one
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// A location that COPY … TO and CREATE TABLE … AS may write (repeatable)
    #[arg(long, value_name = "LOCATION")]
    allow_write: Vec<String>,
    /// End the statement after this time, such as 30s or 10m
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
}

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    Display,
    Csv,
    Json,
    Ndjson,
    Arrow,
    Parquet,
}

impl OutputFormat {
    /// The encoder's format; None for a table on the terminal.
    pub(crate) fn encoded(self) -> Option<Format> {
        match self {
            Self::Display => None,
            Self::Csv => Some(Format::Csv),
            Self::Json => Some(Format::Json),
            Self::Ndjson => Some(Format::NdJson),
            Self::Arrow => Some(Format::Arrow),
            Self::Parquet => Some(Format::Parquet),
        }
    }
}

pub(super) async fn run(args: SqlArgs, mut sources: Sources) -> Result<()> {
    let sql = read_statement(&args.sql)?;
    let (format, output) = target(&args)?;
    let target = Target { format, output: output.as_deref() };
    if let Some(url) = &args.url {
        return tokio::select! {
            // First, so that signals are heard before anything is written.
            biased;
            () = crate::http::shutdown_signal() => Err(stopped()),
            done = run_there(url, &sql, &args, &mut sources, target) => done,
        };
    }
    // Someone waits at a terminal and can stop it: no deadline unless asked for.
    let run_time =
        args.timeout.clone().or_else(|| (!sources.values.is_set("limits.run_time")).then(|| "365d".to_owned()));
    super::set_flags(
        &mut sources,
        &[("--data-dir", "data.dir", args.data_dir.clone()), ("--timeout", "limits.run_time", run_time)],
    )?;
    let lake = open_lake(&args, &sources).await?;
    tokio::select! {
        biased;
        () = crate::http::shutdown_signal() => Err(stopped()),
        done = run_here(&lake, &sql, &args, target) => done,
    }
}

fn stopped() -> Error {
    Error::new(lakebed_types::ErrorKind::Cancelled, "stopped by a signal")
}

/// Format and file: each can be told by the other.
fn target(args: &SqlArgs) -> Result<(Option<Format>, Option<PathBuf>)> {
    let named = args.output.as_ref().and_then(|output| output.as_deref());
    let format = args.format.encoded().or_else(|| named.and_then(format_of_file));
    match (&args.output, format) {
        (None, format) => Ok((format, None)),
        (Some(_), None) => Err(Error::invalid_request("a table for the terminal cannot go to a file")
            .with_hint("Add --format csv, json, ndjson, arrow or parquet.")),
        (Some(_), Some(format)) => {
            let file = named.map_or_else(|| default_file(format), Path::to_owned);
            Ok((Some(format), Some(file)))
        }
    }
}

/// `query_results.csv`, `query_results.parquet`: what `--output` means where it names no file.
fn default_file(format: Format) -> PathBuf {
    format!("query_results.{}", format.file_extension()).into()
}

async fn run_there(url: &str, sql: &str, args: &SqlArgs, sources: &mut Sources, target: Target<'_>) -> Result<()> {
    super::set_flags(
        sources,
        &[("--key", "client.key", args.key.clone()), ("--ca-cert", "client.ca_cert", args.ca_cert.clone())],
    )?;
    let server = remote::Server::new(url, &ClientSettings::read(&sources.values))?;
    let wrong = |text: &String| Error::invalid_request(format!("`{text}` is not a duration"));
    let timeout = |text: &String| parse_duration(text).ok_or_else(|| wrong(text));
    let timeout = args.timeout.as_ref().map(timeout).transpose()?;
    let statement = Statement { sql, database: &args.database, timeout };
    match args.estimate {
        true => print_estimate(&server.estimate(statement).await?),
        false => server.run(statement, target).await,
    }
}

async fn run_here(lake: &Lake, sql: &str, args: &SqlArgs, target: Target<'_>) -> Result<()> {
    let who = Principal::local();
    let options = QueryOptions {
        database: args.database.clone(),
        parameters: Parameters::None,
        source: "cli",
        result_cache: CachePolicy::Bypass,
    };
    let prepared = lake.query.prepare(&who, sql, &options).await?;
    if args.estimate {
        return print_estimate(&lake.query.estimate(&prepared).await?);
    }
    let admitted = lake.query.admit(&who, &prepared, &AdmitOptions::default()).await?;
    let running = lake.query.run(admitted, prepared).await?;
    let stats = running.stats;
    results::write(target, running.schema, running.batches, || results::facts(&stats.snapshot())).await
}

fn print_estimate(estimate: &Estimate) -> Result<()> {
    println!("table\tcolumns\tfiles\tpruned\trow groups\trows\tbytes");
    for table in &estimate.tables {
        println!(
            "{}\t{}\t{}\t{}\t{}\t{}\t{}",
            table.table,
            table.columns.len(),
            table.files,
            table.files_pruned,
            table.row_groups,
            table.rows,
            table.bytes,
        );
    }
    eprintln!(
        "would read {} from {} files: {:.6} USD",
        format_bytes(estimate.bytes),
        format_count(estimate.files),
        estimate.price_usd,
    );
    Ok(())
}

async fn open_lake(args: &SqlArgs, sources: &Sources) -> Result<Lake> {
    let tables = args.locations.iter().map(|text| Served::parse(text)).collect::<Result<Vec<_>>>()?;
    served::check_names(&tables)?;
    let mut readable: Vec<Location> = tables.iter().map(|served| served.location.clone()).collect();
    if readable.is_empty() {
        readable.push(Location::parse("./")?);
    }
    let writable = args.allow_write.iter().map(|text| Location::parse(text)).collect::<Result<_>>()?;
    let in_memory = args.data_dir.is_none();
    let lake = Lake::open(sources, LakeOptions { readable, writable, in_memory, everyone: None }).await?;
    let mut reports = Vec::with_capacity(tables.len());
    for served in &tables {
        let report = served.crawl(lake.query.catalog(), &args.database, false).await?;
        for entry in report.entries.iter().filter(|entry| entry.outcome == lakebed_catalog::Outcome::Conflict) {
            eprintln!("warning: {}: {}", entry.path, entry.reason);
        }
        reports.push(report);
    }
    served::name_single_file(lake.query.catalog(), &tables, &reports).await?;
    Ok(lake)
}

fn read_statement(text: &str) -> Result<String> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    std::io::read_to_string(std::io::stdin())
        .map_err(|error| Error::invalid_request(format!("stdin cannot be read: {error}")).with_source(error))
}

/// The format that a file's name asks for.
fn format_of_file(file: &Path) -> Option<Format> {
    Format::from_name(file.extension()?.to_str()?)
}
