//! Where the bytes of a result go: stdout, or a file that appears only when it is whole.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use lakebed_types::{Error, ErrorKind, Result};

/// The place that `--output` names.
pub(crate) enum Output {
    /// Standard output.
    Stdout(io::Stdout),
    /// A file, written under another name until it is whole.
    File { temporary: PathBuf, target: PathBuf, file: BufWriter<File> },
}

impl Output {
    /// Stdout, or a file to be.
    pub(crate) fn open(target: Option<&Path>) -> Result<Self> {
        let Some(target) = target else { return Ok(Self::Stdout(io::stdout())) };
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let file = File::create(&temporary).map_err(|error| failed(target, error))?;
        Ok(Self::File { temporary, target: target.to_owned(), file: BufWriter::new(file) })
    }

    /// Writes some bytes of the result.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.write_all(bytes).map_err(|error| failed(Path::new("stdout"), error)),
            Self::File { target, file, .. } => file.write_all(bytes).map_err(|error| failed(target, error)),
        }
    }

    /// Gives the file its name. Without this call it is removed.
    pub(crate) fn finish(mut self) -> Result<()> {
        match &mut self {
            Self::Stdout(stdout) => stdout.flush().map_err(|error| failed(Path::new("stdout"), error)),
            Self::File { temporary, target, file } => file
                .flush()
                .and_then(|()| file.get_ref().sync_all())
                .and_then(|()| std::fs::rename(&*temporary, &*target))
                .map_err(|error| failed(target, error)),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Self::File { temporary, .. } = self {
            // After a rename there is nothing to remove.
            if let Err(error) = std::fs::remove_file(&*temporary)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, file = %temporary.display(), "an unfinished file was left behind");
            }
        }
    }
}

fn failed(target: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::DiskFailed, format!("{} cannot be written: {error}", target.display())).with_source(error)
}
