//! The `lakebed` binary: reads arguments, environment and files, starts the runtimes, and runs one command.
//!
//! The only crate that knows where settings come from, and in which order the parts start and stop.

mod assembly;
mod commands;
mod display;
mod duties;
mod exit;
mod generate;
mod http;
mod issuer_keys;
mod logging;
mod progress;
mod reload;
mod remote;
mod results;
mod rows;
mod served;
mod settings;
mod token_secret;
mod traces;
mod upload;
mod writer;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    commands::main()
}
