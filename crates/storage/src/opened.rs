//! A local file that was opened inside the allowed folders: check and read in one visit to the blocking threads.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::{Path as FilePath, PathBuf},
};

use bytes::Bytes;
use object_store::{Attributes, Error, GetOptions, GetResult, GetResultPayload, Result, path::Path};

use crate::{Mode, local::Confines, location_text::file_path, walk::object_meta};

/// An open regular file. All functions block.
pub(crate) struct Opened {
    file: File,
    path: PathBuf,
    metadata: Metadata,
}

impl Opened {
    /// Looks before it opens: opening a pipe would wait for its writer. Checks after it has opened, on the file itself.
    pub(crate) fn open(path: &Path, confines: &Confines) -> Result<Self> {
        let written = file_path(path);
        let failed = |source| open_error(&written, source);
        let looked = std::fs::metadata(&written);
        if !looked.as_ref().is_ok_and(Metadata::is_file) {
            // Of what stands outside, behind a link, not even its absence is told.
            confines.check(path, Mode::Read)?;
            looked.map_err(failed)?;
            return Err(failed(io::Error::new(io::ErrorKind::NotFound, "not a file")));
        }
        let file = File::open(&written).map_err(failed)?;
        confines.check_real(path, &real_path(&file, &written).map_err(failed)?, Mode::Read)?;
        let metadata = file.metadata().map_err(failed)?;
        Ok(Self { file, path: written, metadata })
    }

    /// The answer to a GET, whose body is the open file.
    pub(crate) fn get(self, location: Path, options: &GetOptions) -> Result<GetResult> {
        let meta = object_meta(location, &self.metadata);
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            Some(range) => range.as_range(meta.size).map_err(failed)?,
            None => 0..meta.size,
        };
        let payload = GetResultPayload::File(self.file, self.path);
        Ok(GetResult { payload, attributes: Attributes::default(), range, meta })
    }

    /// The bytes of a range, fewer where the file ends in it.
    pub(crate) fn read(&mut self, range: &Range<u64>) -> Result<Bytes> {
        let length = range.end.min(self.metadata.len()).checked_sub(range.start).ok_or_else(|| {
            failed(io::Error::new(io::ErrorKind::UnexpectedEof, "the range begins after the end of the file"))
        })?;
        let mut bytes = Vec::with_capacity(length as usize);
        self.file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
        (&self.file).take(length).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes.into())
    }
}

/// Where an open file is, without links. Linux knows it of the file itself, whatever happened to the path since.
fn real_path(file: &File, written: &FilePath) -> io::Result<PathBuf> {
    #[cfg(target_os = "linux")]
    if let Ok(real) = std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file))) {
        return Ok(real);
    }
    let _ = file;
    std::fs::canonicalize(written)
}

fn open_error(path: &FilePath, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Error::NotFound { path: path.display().to_string(), source: Box::new(source) }
        }
        _ => failed(source),
    }
}

fn failed(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: "local", source: Box::new(source) }
}
