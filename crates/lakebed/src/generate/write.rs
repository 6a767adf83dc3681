//! Generated rows as a file, in the format that its name asks for.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression as GzipLevel, write::GzEncoder};
use lakebed_formats::{EncodeOptions, Encoder, Format};
use lakebed_types::{Error, ErrorKind, Result};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};

use super::Dataset;

/// Rows of a Parquet row group: 15 batches, the size that DuckDB writes as well. Small enough that a demo file has
/// several for pruning and for all cores to share, large enough for dictionaries and compression to pay.
const ROW_GROUP_ROWS: usize = 122_880;

/// Writes `rows` rows to `path` as `.parquet` (zstd), `.csv`, `.csv.gz` or `.ndjson`, replacing what is there.
/// `progress` is told the rows written so far. Returns the bytes of the file.
///
/// The rows go to a hidden file in the same folder, which takes the name when it is complete: whoever finds `path`
/// finds a whole file.
///
/// # Errors
/// `invalid_request` for another ending or a folder that does not exist, `disk_failed` where writing fails.
pub fn write(dataset: Dataset, rows: u64, seed: u64, path: &Path, progress: impl FnMut(u64)) -> Result<u64> {
    let kind = Kind::of(path)?;
    let draft = Draft::beside(path)?;
    let output = BufWriter::with_capacity(1 << 20, draft.open()?);
    let output = match kind {
        Kind::Parquet => write_parquet(dataset, rows, seed, output, progress)?,
        Kind::Text(format) => write_text(format, dataset, rows, seed, output, progress)?,
        Kind::GzipText(format) => {
            let gzip = GzEncoder::new(output, GzipLevel::default());
            write_text(format, dataset, rows, seed, gzip, progress)?.finish().map_err(|cause| failed(path, cause))?
        }
    };
    let file = output.into_inner().map_err(|error| failed(path, error.into_error()))?;
    file.sync_all().map_err(|cause| failed(path, cause))?;
    let bytes = file.metadata().map_err(|cause| failed(path, cause))?.len();
    draft.publish()?;
    Ok(bytes)
}

enum Kind {
    Parquet,
    Text(Format),
    GzipText(Format),
}

impl Kind {
    fn of(path: &Path) -> Result<Kind> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        Ok(match () {
            () if name.ends_with(".parquet") => Kind::Parquet,
            () if name.ends_with(".csv") => Kind::Text(Format::Csv),
            () if name.ends_with(".csv.gz") => Kind::GzipText(Format::Csv),
            () if name.ends_with(".ndjson") => Kind::Text(Format::NdJson),
            () => {
                return Err(Error::invalid_request(format!("cannot tell a format from the name `{}`", path.display()))
                    .with_hint("End the name in .parquet, .csv, .csv.gz or .ndjson."));
            }
        })
    }
}

fn write_parquet<W: Write + Send>(
    dataset: Dataset,
    rows: u64,
    seed: u64,
    output: W,
    mut progress: impl FnMut(u64),
) -> Result<W> {
    let not_written = |cause| Error::new(ErrorKind::DiskFailed, "cannot write the Parquet file").with_source(cause);
    let zstd = ZstdLevel::try_new(1).map_err(not_written)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(zstd))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by("lakebed".to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(output, dataset.schema(), Some(properties)).map_err(not_written)?;
    let mut done = 0;
    for batch in dataset.batches(rows, seed) {
        let batch = batch?;
        writer.write(&batch).map_err(not_written)?;
        done += batch.num_rows() as u64;
        progress(done);
    }
    writer.into_inner().map_err(not_written)
}

fn write_text<W: Write>(
    format: Format,
    dataset: Dataset,
    rows: u64,
    seed: u64,
    mut output: W,
    mut progress: impl FnMut(u64),
) -> Result<W> {
    let not_written = |cause| Error::new(ErrorKind::DiskFailed, "cannot write the rows").with_source(cause);
    let mut encoder = Encoder::new(format, dataset.schema(), EncodeOptions::default())?;
    output.write_all(&encoder.begin()?).map_err(not_written)?;
    let mut done = 0;
    for batch in dataset.batches(rows, seed) {
        let batch = batch?;
        output.write_all(&encoder.batch(&batch)?).map_err(not_written)?;
        done += batch.num_rows() as u64;
        progress(done);
    }
    output.write_all(&encoder.finish(&serde_json::Map::new())?).map_err(not_written)?;
    Ok(output)
}

/// A file that is not complete yet, under a hidden name; removed when dropped before it is published.
struct Draft<'a> {
    path: &'a Path,
    hidden: PathBuf,
}

impl<'a> Draft<'a> {
    fn beside(path: &'a Path) -> Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(Error::invalid_request(format!("`{}` is not the name of a file", path.display())));
        };
        // The process id keeps two runs apart.
        let hidden = format!(".{}.{}.partial", name.to_string_lossy(), std::process::id());
        Ok(Self { path, hidden: path.with_file_name(hidden) })
    }

    fn open(&self) -> Result<File> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&self.hidden);
        file.map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => {
                Error::invalid_request(format!("the folder of `{}` does not exist", self.path.display()))
                    .with_hint("Create it first, or write somewhere else.")
                    .with_source(cause)
            }
            _ => failed(self.path, cause),
        })
    }

    fn publish(self) -> Result<()> {
        fs::rename(&self.hidden, self.path).map_err(|cause| failed(self.path, cause))
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // After publishing there is nothing left to remove, and nobody to tell if removing fails.
        let _ = fs::remove_file(&self.hidden);
    }
}

fn failed(path: &Path, cause: io::Error) -> Error {
    Error::new(ErrorKind::DiskFailed, format!("cannot write `{}`: {cause}", path.display())).with_source(cause)
}
