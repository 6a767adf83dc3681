//! `lakebed demo`: sample data, served, with three commands to try.

use std::path::Path;

use clap::Args;
use lakebed_types::{Error, ErrorKind, Result};

use super::serve::{ServeArgs, serve};
use crate::{
    generate::{self, Dataset},
    logging::Logging,
    progress,
    settings::{DataSettings, Sources},
};

/// Generates sample data, serves it, and prints what to try
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Rows of the largest table
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Address of the HTTP API [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Address of Arrow Flight SQL, or off [default: 127.0.0.1:8815]
    #[arg(long, value_name = "ADDRESS")]
    flight: Option<String>,
    /// Folder of the sample data and the catalog
    #[arg(long, value_name = "FOLDER", default_value = "lakebed-data")]
    data_dir: String,
}

const SEED: u64 = 42;

pub(super) async fn run(args: DemoArgs, mut sources: Sources, logging: Logging) -> Result<()> {
    super::set_flags(&mut sources, &[("--data-dir", "data.dir", Some(args.data_dir.clone()))])?;
    let folder = DataSettings::read(&sources.values)?.dir.join("demo");
    write_samples(&folder, args.rows)?;
    let location = format!("{}/", folder.display());
    let pages = format!("{location}{{table}}.parquet");
    let serve_args = ServeArgs {
        locations: vec![location],
        http: args.http,
        flight: args.flight,
        data_dir: Some(args.data_dir),
        parquet_pages: Some(pages),
        ..ServeArgs::default()
    };
    serve(serve_args, sources, logging, announce).await
}

fn write_samples(folder: &Path, rows: u64) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Error::new(ErrorKind::DiskFailed, format!("folder {} cannot be made: {error}", folder.display()))
            .with_source(error)
    })?;
    let samples = [
        (Dataset::Sample, rows, "sample.parquet"),
        (Dataset::Events, rows / 2, "events.parquet"),
        (Dataset::Billing, rows / 20, "billing.csv.gz"),
    ];
    for (dataset, rows, file) in samples {
        let path = folder.join(file);
        if path.exists() {
            continue;
        }
        eprintln!("generating {}", path.display());
        let bar = progress::rows_bar(rows);
        let written = generate::write(dataset, rows.max(1), SEED, &path, |rows| bar.set_position(rows));
        bar.finish_and_clear();
        written?;
    }
    Ok(())
}

fn announce(url: &str, flight: Option<&str>) {
    let program = std::env::current_exe().map_or_else(|_| "lakebed".to_owned(), |path| path.display().to_string());
    let flight = flight.map(|url| format!("\n  {url}   Arrow Flight SQL: ADBC, JDBC, pyarrow")).unwrap_or_default();
    eprint!(
        "
Lakebed is serving three tables: sample, events, billing.

  {url}/            tables and a query box
  {url}/docs        the API, to try out
  {url}/metrics     what it is doing{flight}

Try:

  curl '{url}/v1/sql?format=csv' -d 'SELECT category, count(*) AS n, avg(value_normal) AS mean FROM sample GROUP BY ALL ORDER BY n DESC'

  curl '{url}/query-parquet?table=sample&page=2&page_size=3'

  {program} sql 'SELECT kind, count(*) AS n FROM events GROUP BY kind ORDER BY n DESC' --url {url}

Stop with Ctrl-C.
"
    );
}
