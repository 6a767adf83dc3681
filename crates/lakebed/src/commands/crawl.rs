//! `lakebed crawl`: finds the tables of a location, and says for every path what it became and why.

use std::io::Write as _;

use clap::Args;
use comfy_table::{Table, presets};
use lakebed_catalog::{Change, CrawlReport, Outcome};
use lakebed_types::{DatabaseName, Error, Result, format_bytes, format_count};

use crate::{
    assembly::{Lake, LakeOptions},
    served::Served,
    settings::Sources,
};

/// Finds the tables below a location and records them in the catalog
#[derive(Debug, Args)]
pub(super) struct CrawlArgs {
    /// A folder or bucket, such as data/ or s3://bucket/prefix/; NAME=LOCATION makes it one table, NAME='data/*.parquet' all files that match
    location: String,
    /// The database that the tables go to
    #[arg(long, default_value = "default")]
    database: DatabaseName,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Folder of the catalog
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
}

pub(super) async fn run(args: CrawlArgs, mut sources: Sources) -> Result<()> {
    super::set_flags(&mut sources, &[("--data-dir", "data.dir", args.data_dir)])?;
    let served = Served::parse(&args.location)?;
    let lake = Lake::open(
        &sources,
        LakeOptions { readable: vec![served.location.clone()], in_memory: args.dry_run, ..LakeOptions::default() },
    )
    .await?;
    if lake.query.catalog().database(&args.database).await.is_err() {
        lake.query.catalog().create_database(&args.database, true, None).await?;
    }
    print_report(&served.crawl(lake.query.catalog(), &args.database, args.dry_run).await?)
}

fn print_report(report: &CrawlReport) -> Result<()> {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    table.set_header(["path", "became", "table", "files", "size", "change", "why"]);
    for entry in &report.entries {
        let became = match entry.outcome {
            Outcome::Table => "table",
            Outcome::Skipped => "skipped",
            Outcome::Conflict => "conflict",
        };
        let change = match entry.change {
            Change::New => "new",
            Change::Changed => "changed",
            Change::Unchanged => "unchanged",
            Change::Gone => "gone",
        };
        table.add_row([
            entry.path.as_str(),
            became,
            entry.table.as_deref().unwrap_or(""),
            &format_count(entry.files),
            &format_bytes(entry.bytes),
            change,
            &entry.reason,
        ]);
    }
    writeln!(std::io::stdout(), "{table}")
        .map_err(|error| Error::internal("stdout cannot be written").with_source(error))?;
    let count = |outcome| report.entries.iter().filter(|entry| entry.outcome == outcome).count();
    eprintln!(
        "{}: {} listed, {} inspected, {} known; {} tables, {} skipped, {} conflicts{}",
        report.location,
        format_count(report.listed),
        format_count(report.inspected),
        format_count(report.reused),
        count(Outcome::Table),
        count(Outcome::Skipped),
        count(Outcome::Conflict),
        if report.dry_run { " (dry run, nothing was recorded)" } else { "" },
    );
    Ok(())
}
