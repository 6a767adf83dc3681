//! `lakebed sql`: one statement, run here or on a server.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use futures::StreamExt as _;
use lakebed_access::{AdmitOptions, Principal};
use lakebed_catalog::CrawlRequest;
use lakebed_formats::{EncodeOptions, Encoder, Format};
use lakebed_query::{CachePolicy, Parameters, QueryOptions, RunningQuery};
use lakebed_storage::Location;
use lakebed_types::{DatabaseName, Error, Estimate, QueryStatistics, Result, format_bytes, format_count};

use crate::{
    assembly::{Lake, LakeOptions},
    display::Display,
    progress, remote,
    settings::{ClientSettings, Sources},
    writer::Output,
};

/// Runs a SQL statement, here or on a server
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  lakebed sql \"SELECT count(*) FROM orders\" data/
  lakebed sql \"SELECT * FROM 'data/orders.parquet'\" data/ --format csv --output orders.csv
  lakebed sql \"SELECT * FROM orders\" --url http://127.0.0.1:8000")]
pub(super) struct SqlArgs {
    /// The statement; - reads it from stdin
    sql: String,
    /// Locations whose tables the statement may name; without any, files below the working directory can be read by path
    #[arg(value_name = "[NAME=]LOCATION")]
    locations: Vec<String>,
    /// Ask this server instead, such as http://127.0.0.1:8000
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
    /// Write the result to this file, which appears when it is whole
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
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
    let format = args.format.encoded().or_else(|| args.output.as_deref().and_then(format_of_file));
    if args.output.is_some() && format.is_none() {
        return Err(Error::invalid_request("a table for the terminal cannot go to a file")
            .with_hint("Add --format csv, json, ndjson, arrow or parquet."));
    }
    if let Some(url) = &args.url {
        super::set_flags(
            &mut sources,
            &[("--key", "client.key", args.key.clone()), ("--ca-cert", "client.ca_cert", args.ca_cert.clone())],
        )?;
        let server = remote::Server::new(url, &ClientSettings::read(&sources.values))?;
        return match args.estimate {
            true => print_estimate(&server.estimate(&sql, &args.database).await?),
            false => server.run(&sql, &args.database, args.timeout.as_deref(), format, args.output.as_deref()).await,
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
        done = run_here(&lake, &sql, &args, format) => done,
        () = crate::http::shutdown_signal() => {
            Err(Error::new(lakebed_types::ErrorKind::Cancelled, "stopped by a signal"))
        }
    }
}

async fn run_here(lake: &Lake, sql: &str, args: &SqlArgs, format: Option<Format>) -> Result<()> {
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
    match format {
        Some(format) => encode(running, format, args.output.as_deref()).await,
        None => show(running).await,
    }
}

async fn encode(mut running: RunningQuery, format: Format, output: Option<&Path>) -> Result<()> {
    let mut output = Output::open(output)?;
    let mut encoder = Encoder::new(format, running.schema.clone(), EncodeOptions::default())?;
    output.write(&encoder.begin()?)?;
    let bar = progress::result_bar();
    while let Some(batch) = running.batches.next().await {
        let batch = batch?;
        output.write(&encoder.batch(&batch)?)?;
        bar.inc(batch.num_rows() as u64);
    }
    output.write(&encoder.finish(&serde_json::Map::new())?)?;
    bar.finish_and_clear();
    output.finish()?;
    eprintln!("{} rows{}", format_count(running.stats.snapshot().rows_returned), facts(&running.stats.snapshot()));
    Ok(())
}

async fn show(mut running: RunningQuery) -> Result<()> {
    let mut display = Display::new(running.schema.clone());
    let bar = progress::result_bar();
    while let Some(batch) = running.batches.next().await {
        let batch = batch?;
        display.batch(&batch)?;
        bar.inc(batch.num_rows() as u64);
    }
    bar.finish_and_clear();
    display.finish(&facts(&running.stats.snapshot()))
}

/// Time, bytes and pruning, for the line below a result.
fn facts(statistics: &QueryStatistics) -> String {
    let seconds = (statistics.planning_ms + statistics.execution_ms) / 1000.0;
    let mut text = format!(" in {seconds:.3} s");
    if statistics.bytes_scanned > 0 {
        text += &format!(", {} scanned", format_bytes(statistics.bytes_scanned));
    }
    if statistics.files_pruned > 0 {
        let all = statistics.files_pruned + statistics.files_scanned;
        text += &format!(", {} of {} files", format_count(statistics.files_scanned), format_count(all));
    }
    text
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
    let served: Vec<(Option<String>, Location)> = args
        .locations
        .iter()
        .map(|text| {
            let (name, location) = super::serve::split_name(text);
            Ok((name, Location::parse(&location)?))
        })
        .collect::<Result<_>>()?;
    let mut readable: Vec<Location> = served.iter().map(|(_, location)| location.clone()).collect();
    if readable.is_empty() {
        readable.push(Location::parse("./")?);
    }
    let writable = args.allow_write.iter().map(|text| Location::parse(text)).collect::<Result<_>>()?;
    let in_memory = args.data_dir.is_none();
    let lake = Lake::open(sources, LakeOptions { readable, writable, in_memory, everyone: None }).await?;
    for (table, location) in served {
        let crawler = super::crawl::crawler_name(&location, &args.database);
        let request = CrawlRequest { crawler, location, database: args.database.clone(), table, dry_run: false };
        let bar = progress::crawl_bar(&request.location.to_string());
        let report = lake.query.catalog().crawl(&request, &|at| progress::show_crawl(&bar, at)).await;
        bar.finish_and_clear();
        for entry in report?.entries.iter().filter(|entry| entry.outcome == lakebed_catalog::Outcome::Conflict) {
            eprintln!("warning: {}: {}", entry.path, entry.reason);
        }
    }
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
