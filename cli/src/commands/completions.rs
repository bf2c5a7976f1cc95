//! `completions`: prints a script that completes commands and options in a shell.

use clap::Args;
use clap_complete::Shell;

use crate::console::Console;
use crate::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  github-metrics completions bash > \\
    ~/.local/share/bash-completion/completions/github-metrics
  github-metrics completions zsh > ~/.zfunc/_github-metrics";

/// Arguments of `completions`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// Shell to complete in
    shell: Shell,
}

/// Prints the script for the given command line.
pub(crate) fn run(
    console: &Console,
    args: CompletionsArgs,
    mut command_line: clap::Command,
) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command_line, "github-metrics", &mut script);
    console.write_data(script)?;
    Ok(Exit::Success)
}
