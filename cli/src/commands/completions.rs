//! `completions`: a script that completes commands and options in a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
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
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Writes the script.
pub(super) fn run(console: &Console, args: Completions) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "github-metrics", &mut script);
    console.data(script)?;
    Ok(Exit::Done)
}
