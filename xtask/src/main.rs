//! Developer commands: `cargo xtask test | tidy | bench | docs | fuzz`.

mod bench;
mod docs;
mod environment;
mod fuzz;
mod load;
mod metrics;
mod test;
mod tidy;

use std::process::ExitCode;

/// What a command returns; the text says which step failed.
type Result<T = ()> = std::result::Result<T, String>;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  test [--fast]       installs what the tests need, then runs every check; --fast leaves out lints and client tests
  tidy                checks the floors between crates and the layout rules
  bench [NAME]...     builds the release binary, installs the peers, measures, writes docs/benchmarks.md
  docs [--check]      writes the generated reference pages, or fails where one is stale
  fuzz [TARGET [SECONDS]]    runs a fuzz target, or `all`, under libFuzzer on nightly; a file instead of SECONDS is one input
  load URL CLIENTS SECONDS   sends requests to a server on this machine, for benchmarks; {A..B} in the URL counts
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("test") => test::run(&rest),
        Some("tidy") => tidy::run(),
        Some("bench") => bench::run(&rest),
        Some("docs") => docs::run(&rest),
        Some("fuzz") => fuzz::run(&rest),
        Some("load") => load::run(&rest),
        Some("--help" | "-h") => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
