//! Files in order, part by part, as fast as somebody takes them.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
};

use lakebed_types::Result;
use tokio::sync::mpsc;

use super::{FileFormat, Input, Part, parts};

/// A part and the file that it comes from.
pub(crate) struct Piece {
    /// As the user wrote it.
    pub(crate) file: Arc<str>,
    pub(crate) part: Part,
}

/// Reads the files in order until they end, fail, or nobody wants more.
pub(crate) fn read_all(
    files: &[PathBuf],
    format: Option<FileFormat>,
    read: &Arc<AtomicU64>,
    to: &mpsc::Sender<Result<Piece>>,
) {
    for file in files {
        let name: Arc<str> = file.display().to_string().into();
        let parts = match Input::open(file, format, read.clone()).and_then(parts) {
            Ok(parts) => parts,
            Err(error) => return drop(to.blocking_send(Err(error))),
        };
        for part in parts {
            let piece = part.map(|part| Piece { file: name.clone(), part });
            let failed = piece.is_err();
            if to.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    }
}
