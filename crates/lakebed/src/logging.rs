//! Structured logs on stderr.

use std::{fmt, io::IsTerminal as _};

use lakebed_types::{Error, Result};
use tracing_subscriber::{EnvFilter, Registry, fmt as lines, prelude::*, reload};

use crate::settings::{LogFormat, LogSettings};

/// The process's logging, whose levels can change.
#[derive(Clone)]
pub(crate) struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logging").finish_non_exhaustive()
    }
}

impl Logging {
    /// Starts logging for the whole process.
    ///
    /// # Errors
    /// `invalid_request` if the filter does not parse.
    pub(crate) fn start(settings: &LogSettings) -> Result<Self> {
        let (filter, handle) = reload::Layer::new(filter(settings)?);
        let registry = tracing_subscriber::registry().with(filter);
        // Colours are for people at a terminal, not for files.
        let colours = std::io::stderr().is_terminal();
        let started = match settings.format {
            LogFormat::Text => registry.with(lines::layer().with_ansi(colours).with_writer(std::io::stderr)).try_init(),
            LogFormat::Json => registry.with(lines::layer().json().with_writer(std::io::stderr)).try_init(),
        };
        started.map_err(|error| Error::internal("logging was started twice").with_source(error))?;
        Ok(Self { filter: handle })
    }

    /// Logs by these levels from now on.
    pub(crate) fn set(&self, filter: EnvFilter) -> Result<()> {
        self.filter.reload(filter).map_err(|error| Error::internal("the levels cannot be changed").with_source(error))
    }
}

/// The levels of the settings.
///
/// # Errors
/// `invalid_request` if they do not parse.
pub(crate) fn filter(settings: &LogSettings) -> Result<EnvFilter> {
    EnvFilter::try_new(&settings.filter).map_err(|error| {
        Error::invalid_request(format!("log.filter `{}` does not parse", settings.filter))
            .with_hint("Write levels such as `info` or `warn,lakebed_query=debug`.")
            .with_source(error)
    })
}
