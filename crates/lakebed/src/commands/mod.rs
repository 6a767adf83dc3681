//! The command line: one file per command.

mod completions;
mod crawl;
mod demo;
mod docs;
mod generate;
mod ingest;
mod keys;
mod serve;
mod sql;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use lakebed_types::{Error, Result};

use crate::{
    exit,
    logging::Logging,
    settings::{LogSettings, Sources, TraceSettings, load},
    traces::Traces,
};

/// Turns files in object storage into a served SQL lake.
#[derive(Debug, Parser)]
#[command(name = "lakebed", version, max_term_width = 100, propagate_version = true)]
#[command(
    after_help = "Settings can also stand in LAKEBED_* variables, .env and lakebed.toml.\nFirst steps: lakebed demo"
)]
struct CommandLine {
    /// Settings file [default: lakebed.toml in the working directory, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Log levels, such as info or warn,lakebed_query=debug
    #[arg(long, global = true, value_name = "LEVELS")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Serve(serve::ServeArgs),
    Sql(sql::SqlArgs),
    Crawl(crawl::CrawlArgs),
    Ingest(ingest::IngestArgs),
    Generate(generate::GenerateArgs),
    Keys(keys::KeysArgs),
    Completions(completions::CompletionsArgs),
    #[command(hide = true)]
    Docs(docs::DocsArgs),
}

/// Runs the command of this process's arguments.
pub(crate) fn main() -> ExitCode {
    let line = CommandLine::parse();
    match run(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}

fn run(line: CommandLine) -> Result<()> {
    let mut sources = load(line.config.as_deref())?;
    if let Some(levels) = &line.log {
        sources.set_flag("log.filter", levels.clone(), "--log")?;
    }
    let serving = matches!(line.command, Command::Serve(_) | Command::Demo(_));
    let runtime = runtime()?;
    let logging = {
        let _entered = runtime.enter();
        let traces = if serving { TraceSettings::read(&sources.values)? } else { None };
        let traces = traces.as_ref().map(Traces::start).transpose()?;
        Logging::start(&LogSettings::read(&sources.values, !serving)?, traces)?
    };
    let result = match line.command {
        Command::Demo(args) => runtime.block_on(demo::run(args, sources, logging.clone())),
        Command::Serve(args) => runtime.block_on(serve::run(args, sources, logging.clone())),
        Command::Sql(args) => runtime.block_on(sql::run(args, sources)),
        Command::Crawl(args) => runtime.block_on(crawl::run(args, sources)),
        Command::Ingest(args) => runtime.block_on(ingest::run(args, sources)),
        Command::Generate(args) => generate::run(&args),
        Command::Keys(args) => runtime.block_on(keys::run(args, sources)),
        Command::Completions(args) => completions::run(&args),
        Command::Docs(args) => docs::run(&args),
    };
    logging.end();
    // Threads that wait for a slow disk or store must not hold up the exit.
    runtime.shutdown_background();
    result
}

/// The runtime of network and store I/O. Queries execute on one of their own.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_name("lakebed-io")
        .enable_all()
        .build()
        .map_err(|error| Error::internal("the I/O runtime does not start").with_source(error))
}

/// The flags that name a setting, put on top of the other sources.
fn set_flags(sources: &mut Sources, flags: &[(&str, &str, Option<String>)]) -> Result<()> {
    for (flag, name, value) in flags {
        if let Some(value) = value {
            sources.set_flag(name, value.clone(), flag)?;
        }
    }
    Ok(())
}

/// The command line's definition, for completions and the reference.
fn definition() -> clap::Command {
    <CommandLine as clap::CommandFactory>::command()
}
