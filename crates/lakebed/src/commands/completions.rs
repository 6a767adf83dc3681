//! `lakebed completions`: a shell's completion script on stdout.

use clap::Args;
use clap_complete::Shell;
use lakebed_types::Result;

/// Prints a completion script, such as `lakebed completions bash > /etc/bash_completion.d/lakebed`
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<()> {
    clap_complete::generate(args.shell, &mut super::definition(), "lakebed", &mut std::io::stdout());
    Ok(())
}
