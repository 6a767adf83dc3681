//! Structured logs on stderr.

use std::io::IsTerminal as _;

use lakebed_types::{Error, Result};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::settings::{LogFormat, LogSettings};

/// Starts logging for the whole process.
///
/// # Errors
/// `invalid_request` if the filter does not parse.
pub(crate) fn start(settings: &LogSettings) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.filter).map_err(|error| {
        Error::invalid_request(format!("log.filter `{}` does not parse", settings.filter))
            .with_hint("Write levels such as `info` or `warn,lakebed_query=debug`.")
            .with_source(error)
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    // Colours are for people at a terminal, not for files.
    let colours = std::io::stderr().is_terminal();
    let started = match settings.format {
        LogFormat::Text => registry.with(fmt::layer().with_ansi(colours).with_writer(std::io::stderr)).try_init(),
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init(),
    };
    started.map_err(|error| Error::internal("logging was started twice").with_source(error))
}
