//! How a command ends: errors on stderr with their hint, and the exit code.

use std::process::ExitCode;

use lakebed_types::{Error, ErrorKind};

/// A command line that cannot be understood.
const WRONG_USAGE: u8 = 2;
const FAILED: u8 = 1;

/// Prints the error for a person and gives the exit code: 2 for wrong usage, else 1.
pub(crate) fn report(error: &Error) -> ExitCode {
    eprintln!("error: {error}");
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
    tracing::debug!(?error, "command failed");
    ExitCode::from(if error.kind() == ErrorKind::InvalidRequest { WRONG_USAGE } else { FAILED })
}
