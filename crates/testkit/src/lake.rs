//! A lake in a temporary folder.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use arrow::array::RecordBatch;
use lakebed_storage::{Location, Mode, Storage, StorageSettings};
use tempfile::TempDir;

use crate::{TestResult, csv_bytes, encode, gzip, ndjson_bytes, parquet_bytes};

/// A temporary folder for the files of a test; gone when dropped. File names are relative to it, and the folders
/// above a file are made with it: `sales/year=2024/part 1.parquet`.
#[derive(Debug)]
pub struct TestLake {
    folder: TempDir,
}

impl TestLake {
    /// An empty lake.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn new() -> TestResult<Self> {
        Ok(Self { folder: TempDir::with_prefix("lakebed-test-")? })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder, as a location.
    ///
    /// # Errors
    /// If the path of the temporary folder is not Unicode.
    pub fn location(&self) -> TestResult<Location> {
        Ok(Location::from_local_path(self.path())?)
    }

    /// Stores that reach this lake and nothing else.
    ///
    /// # Errors
    /// As [`Self::location`].
    pub fn storage(&self, mode: Mode) -> TestResult<Storage> {
        let storage = Storage::new(StorageSettings::default());
        storage.allow(&self.location()?, mode)?;
        Ok(storage)
    }

    /// The path of `name` in this lake, whether it exists or not.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file as it is.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> TestResult<PathBuf> {
        let file = self.file(name);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&file, bytes)?;
        Ok(file)
    }

    /// Makes a file an hour older: files of a moment ago are read anew by every query.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn age(&self, name: &str) -> TestResult {
        const HOUR: Duration = Duration::from_secs(3600);
        let file = std::fs::File::options().append(true).open(self.file(name))?;
        file.set_modified(file.metadata()?.modified()? - HOUR)?;
        Ok(())
    }

    /// Writes a Parquet file with the writer's default properties.
    ///
    /// # Errors
    /// As [`parquet_bytes`].
    pub fn write_parquet(&self, name: &str, batches: &[RecordBatch]) -> TestResult<PathBuf> {
        self.write(name, parquet_bytes(batches, None)?)
    }

    /// Writes a CSV file; compressed where the name ends in `.gz`.
    ///
    /// # Errors
    /// As [`csv_bytes`].
    pub fn write_csv(&self, name: &str, batches: &[RecordBatch]) -> TestResult<PathBuf> {
        self.write(name, compressed_by_name(name, csv_bytes(batches)?)?)
    }

    /// Writes one JSON object a line; compressed where the name ends in `.gz`.
    ///
    /// # Errors
    /// As [`ndjson_bytes`].
    pub fn write_ndjson(&self, name: &str, batches: &[RecordBatch]) -> TestResult<PathBuf> {
        self.write(name, compressed_by_name(name, ndjson_bytes(batches)?)?)
    }

    /// Writes one JSON array; compressed where the name ends in `.gz`.
    ///
    /// # Errors
    /// As [`crate::json_array_bytes`].
    pub fn write_json_array(&self, name: &str, batches: &[RecordBatch]) -> TestResult<PathBuf> {
        self.write(name, compressed_by_name(name, encode::json_array_bytes(batches)?)?)
    }

    /// Writes one Parquet file per partition: `table/key=value/part-0.parquet`.
    ///
    /// # Errors
    /// As [`parquet_bytes`].
    pub fn write_partitions(&self, table: &str, key: &str, partitions: &[(&str, RecordBatch)]) -> TestResult {
        for (value, batch) in partitions {
            self.write_parquet(&format!("{table}/{key}={value}/part-0.parquet"), std::slice::from_ref(batch))?;
        }
        Ok(())
    }
}

fn compressed_by_name(name: &str, bytes: Vec<u8>) -> TestResult<Vec<u8>> {
    if name.ends_with(".gz") { gzip(&bytes) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, sync::Arc};

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn files_read_back() {
        let ids = Arc::new(Int64Array::from(vec![1, 2])) as _;
        let names = Arc::new(StringArray::from(vec![Some("a,b"), None])) as _;
        let batch = RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap();
        let lake = TestLake::new().unwrap();
        let rows = std::slice::from_ref(&batch);

        let csv = lake.write_csv("x/t.csv", rows).unwrap();
        assert_eq!(fs::read_to_string(csv).unwrap(), "id,name\n1,\"a,b\"\n2,\n");
        let json = lake.write_json_array("t.json", rows).unwrap();
        assert_eq!(fs::read_to_string(json).unwrap(), "[{\"id\":1,\"name\":\"a,b\"},{\"id\":2}]");

        let zipped = fs::read(lake.write_ndjson("t.ndjson.gz", rows).unwrap()).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&zipped[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "{\"id\":1,\"name\":\"a,b\"}\n{\"id\":2}\n");

        lake.write_partitions("p", "year", &[("2024", batch.clone())]).unwrap();
        let file = fs::File::open(lake.file("p/year=2024/part-0.parquet")).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 10).unwrap();
        assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), [batch]);
    }
}
