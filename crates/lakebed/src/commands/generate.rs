//! `lakebed generate`: sample data of any size.

use std::path::PathBuf;

use clap::Args;
use lakebed_types::{Result, format_bytes, format_count};

use crate::{
    generate::{self, Dataset},
    progress,
};

/// Writes sample data; the same rows for the same seed on every machine
#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// How many rows
    #[arg(long, default_value_t = 100_000)]
    rows: u64,
    /// The file to write: .parquet, .csv, .csv.gz or .ndjson
    #[arg(long, short, default_value = "sample_data.parquet")]
    output: PathBuf,
    /// What the rows are about
    #[arg(long, value_enum, default_value_t = Dataset::Sample)]
    dataset: Dataset,
    /// Other rows for another seed
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

pub(super) fn run(args: &GenerateArgs) -> Result<()> {
    let bar = progress::rows_bar(args.rows);
    let written = generate::write(args.dataset, args.rows, args.seed, &args.output, |rows| bar.set_position(rows));
    bar.finish_and_clear();
    written?;
    let bytes = std::fs::metadata(&args.output).map_or(0, |file| file.len());
    eprintln!("wrote {} rows, {} to {}", format_count(args.rows), format_bytes(bytes), args.output.display());
    Ok(())
}
