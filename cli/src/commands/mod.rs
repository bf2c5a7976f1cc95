//! One file a command: its arguments, and what it does.

pub(crate) mod aggregate;
pub(crate) mod collect;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod doctor;
mod dry_run;
pub(crate) mod export;
mod reconcile;
pub(crate) mod serve;
pub(crate) mod show;
#[cfg(test)]
mod tests;
pub(crate) mod up;

use crate::args::{Cli, Command, Format};
use crate::console::Console;
use crate::exit::Exit;
use crate::settings::Settings;

/// What every command works with.
pub(crate) struct Session {
    /// What flags and variables come to.
    pub(crate) settings: Settings,
    /// Where to write to.
    pub(crate) console: Console,
}

impl Session {
    /// Whether results are told as JSON.
    fn wants_json(&self) -> bool {
        self.settings.format == Some(Format::Json)
    }
}

/// Does what the command line asks for.
///
/// # Errors
/// Where it cannot be done; the error knows the exit status.
pub(crate) async fn run(cli: Cli, console: Console) -> anyhow::Result<Exit> {
    let settings = Settings::new(cli.globals, cli.variables, &cli.command);
    let session = || settings.map(|settings| Session { settings, console: console.clone() });
    match cli.command {
        Command::Demo(args) => demo::run(&session()?, args).await,
        Command::Up(args) => up::run(&session()?, args).await,
        Command::Collect(args) => collect::run(&session()?, args).await,
        Command::Aggregate(args) => aggregate::run(&session()?, args).await,
        Command::Serve(args) => serve::run(&session()?, args).await,
        Command::Show(args) => show::run(&session()?, args).await,
        Command::Export(args) => export::run(&session()?, args).await,
        Command::Doctor(args) => doctor::run(&session()?, args).await,
        Command::Completions(args) => completions::run(&console, args),
    }
}
