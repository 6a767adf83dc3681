//! Structured logs on stderr, and the spans that a collector gets.

use std::{fmt, io::IsTerminal as _};

use lakebed_types::{Error, Result};
use tracing_subscriber::{EnvFilter, Registry, fmt as lines, prelude::*, reload};

use crate::{
    settings::{LogFormat, LogSettings},
    traces::Traces,
};

/// The process's logging, whose levels can change.
#[derive(Clone)]
pub(crate) struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    traces: Option<Traces>,
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
    pub(crate) fn start(settings: &LogSettings, traces: Option<Traces>) -> Result<Self> {
        let (filter, handle) = reload::Layer::new(filter(settings)?);
        // Colours are for people at a terminal, not for files.
        let colours = std::io::stderr().is_terminal();
        let lines = match settings.format {
            LogFormat::Text => {
                lines::layer().with_ansi(colours).with_writer(std::io::stderr).with_filter(filter).boxed()
            }
            LogFormat::Json => lines::layer().json().with_writer(std::io::stderr).with_filter(filter).boxed(),
        };
        let started = tracing_subscriber::registry().with(lines).with(traces.as_ref().map(Traces::layer)).try_init();
        started.map_err(|error| Error::internal("logging was started twice").with_source(error))?;
        Ok(Self { filter: handle, traces })
    }

    /// Whether spans are sent anywhere.
    pub(crate) fn traces(&self) -> bool {
        self.traces.is_some()
    }

    /// Sends the last spans.
    pub(crate) fn end(&self) {
        if let Some(traces) = &self.traces {
            traces.end();
        }
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
