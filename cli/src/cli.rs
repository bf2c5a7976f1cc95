//! The command line: global options, variables, and one subcommand for each job.

#[cfg(test)]
mod help_snapshots;

use std::ffi::OsString;

use clap::error::ContextKind;
use clap::{Arg, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::args::{GlobalOptions, Variables};
use crate::commands::{
    action, aggregate, audit, backup, collect, completions, config, demo, doctor, erase, export, forget_org,
    help, hook, ingest, notify, query, rename_org, serve, show, status, task, token, up, worker,
};
use crate::console::Console;
use crate::environment::EnvFile;
use crate::exit::Exit;
use crate::session::CliSession;
use crate::settings::{CliSettings, DataUse};
use crate::terminal_text::{MAX_QUOTED_CHARS, cut, escaped_lines};

const EXAMPLES_AND_TOPICS: &str = "\
Examples:
  github-metrics demo                 try everything on a sample, without a token
  github-metrics up acme              collect, aggregate and serve; repeats every hour
  github-metrics show acme            metrics in the terminal
  github-metrics export acme --out acme.parquet

Topics: github-metrics help options | environment | exit-codes";

/// The help of a command names the global options in one place. `help options` explains them.
const COMMAND_TEMPLATE: &str = "\
{about-with-newline}
{usage-heading} {usage}

{all-args}

Global options: --data-dir, --lake, --store, --api, --env-file, --format, -q, --log-format
  (see github-metrics help options){after-help}";

/// Activity metrics of GitHub organizations: collect, aggregate, serve.
#[derive(Parser)]
#[command(
    name = "github-metrics",
    version,
    after_help = EXAMPLES_AND_TOPICS,
    disable_help_subcommand = true,
    max_term_width = 110
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: GlobalOptions,
    #[command(flatten)]
    pub(crate) variables: Variables,
    #[command(subcommand)]
    pub(crate) command: CliCommand,
}

/// The commands, with their arguments.
#[derive(Subcommand)]
pub(crate) enum CliCommand {
    /// Try everything on a generated sample organization, without a token or network
    Demo(demo::DemoArgs),
    /// Collect, aggregate and serve; repeat every hour
    Up(up::UpArgs),
    /// Fetch new activity from GitHub into the lake's inbox
    Collect(collect::CollectArgs),
    /// Process collected batches and update the metrics
    Aggregate(aggregate::AggregateArgs),
    /// Read the session logs of coding agents on this machine into the lake
    Ingest(ingest::IngestArgs),
    /// Serve the page and the HTTP API
    Serve(serve::ServeArgs),
    /// Show metrics in the terminal
    Show(show::ShowArgs),
    /// Write metrics as CSV, JSON or Parquet
    Export(export::ExportArgs),
    /// Run SQL over the events in the lake, with an installed DuckDB
    Query(query::QueryArgs),
    /// Check the token, the rate limits, the lake, the store and the clock
    Doctor(doctor::DoctorArgs),
    /// Show what waits, what a change of rules has left to do, and how complete the data is
    Status(status::StatusArgs),
    /// Set or show an organization's configuration: bots, aliases, excluded repositories, deploy workflows
    Config(config::ConfigArgs),
    /// Create, list or revoke access tokens
    Token(token::TokenArgs),
    /// Check, export or witness the audit log
    Audit(audit::AuditArgs),
    /// List the tasks of workers, or make one assignable again
    Task(task::TaskArgs),
    /// List, approve, reject, retry or resolve actions on GitHub
    Action(action::ActionArgs),
    /// Claim tasks from a server, and run a command for each
    Worker(worker::WorkerArgs),
    /// List or test the channels of notifications
    Notify(notify::NotifyArgs),
    /// Check the webhooks on GitHub, and what they could not deliver
    Hook(hook::HookArgs),
    /// Continue an organization's history under its new name, after it was renamed on GitHub
    RenameOrg(rename_org::RenameOrgArgs),
    /// Copy the lake and the store into a new directory
    Backup(backup::BackupArgs),
    /// Copy the lake and the store of a backup into an empty data directory
    Restore(backup::RestoreArgs),
    /// Erase a session of a coding agent
    Erase(erase::EraseArgs),
    /// Remove an organization from the lake and the store
    ForgetOrg(forget_org::ForgetOrgArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Print the help of a command, or a topic: options, environment, exit-codes
    Help(help::HelpArgs),
}

impl CliCommand {
    /// Returns which data the command uses, which decides the defaults of the settings.
    pub(crate) fn data_use(&self) -> DataUse {
        match self {
            CliCommand::Demo(_) => DataUse::Sample,
            CliCommand::Show(_) | CliCommand::Export(_) | CliCommand::Query(_) | CliCommand::Worker(_) => {
                DataUse::Query
            }
            CliCommand::Task(args) if args.only_reads() => DataUse::Query,
            CliCommand::Action(_) => DataUse::Query,
            _ => DataUse::LakeAndStore,
        }
    }

    /// Returns whether the command serves the HTTP API, whose requests are logged.
    pub(crate) fn is_server(&self) -> bool {
        matches!(self, CliCommand::Demo(_) | CliCommand::Up(_) | CliCommand::Serve(_))
    }

    /// Returns whether the command needs no settings, so that invalid ones do not prevent it.
    pub(crate) fn is_help(&self) -> bool {
        matches!(self, CliCommand::Completions(_) | CliCommand::Help(_))
    }
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// If the settings are invalid or the command fails. [`crate::error::exit_status`] returns the exit
    /// status of the error.
    pub(crate) async fn run(self, console: Console) -> anyhow::Result<Exit> {
        let settings = CliSettings::new(self.globals, self.variables, self.command.data_use());
        let session = || settings.map(|settings| CliSession { settings, console: console.clone() });
        match self.command {
            CliCommand::Demo(args) => demo::run(&session()?, args).await,
            CliCommand::Up(args) => up::run(&session()?, args).await,
            CliCommand::Collect(args) => collect::run(&session()?, args).await,
            CliCommand::Aggregate(args) => aggregate::run(&session()?, args).await,
            CliCommand::Ingest(args) => ingest::run(session(), args).await,
            CliCommand::Serve(args) => serve::run(&session()?, args).await,
            CliCommand::Show(args) => show::run(&session()?, args).await,
            CliCommand::Export(args) => export::run(&session()?, args).await,
            CliCommand::Query(args) => query::run(&session()?, args).await,
            CliCommand::Doctor(args) => doctor::run(&session()?, args).await,
            CliCommand::Status(args) => status::run(&session()?, args).await,
            CliCommand::Config(args) => config::run(&session()?, args).await,
            CliCommand::Token(args) => token::run(&session()?, args).await,
            CliCommand::Audit(args) => audit::run(&session()?, args).await,
            CliCommand::Task(args) => task::run(&session()?, args).await,
            CliCommand::Action(args) => action::run(&session()?, args).await,
            CliCommand::Worker(args) => worker::run(&session()?, args).await,
            CliCommand::Notify(args) => notify::run(&session()?, args).await,
            CliCommand::Hook(args) => hook::run(&session()?, args).await,
            CliCommand::RenameOrg(args) => rename_org::run(&session()?, args).await,
            CliCommand::Backup(args) => backup::back_up(&session()?, args).await,
            CliCommand::Restore(args) => backup::restore(&session()?, args).await,
            CliCommand::Erase(args) => erase::run(&session()?, args).await,
            CliCommand::ForgetOrg(args) => forget_org::run(&session()?, args).await,
            CliCommand::Completions(args) => completions::run(&console, args, Cli::command()),
            CliCommand::Help(args) => help::run(&console, args, command()),
        }
    }
}

/// Returns the names of the variables that the command line reads.
pub(crate) fn variables() -> Vec<String> {
    let program = Cli::command();
    let commands = std::iter::once(&program).chain(program.get_subcommands());
    let names =
        commands.flat_map(|command| command.get_arguments()).filter_map(|arg| arg.get_env()?.to_str());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// Returns the command line, with the global options hidden from the help of the commands.
pub(crate) fn command() -> Command {
    let program = Cli::command();
    let hidden: Vec<Arg> =
        program.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.clone().hide(true)).collect();
    program.mut_subcommands(|command| command.args(&hidden).help_template(COMMAND_TEMPLATE))
}

/// Parses the command line and the variables.
///
/// # Errors
/// If they are invalid, or ask for help or the version. The error prints itself.
pub(crate) fn parse(env_file: &EnvFile) -> Result<Cli, clap::Error> {
    let matches = env_file.fill(command()).try_get_matches()?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    cli.variables.is_token_for_ignored_address = env_file.has_token_for_ignored_address();
    Ok(cli)
}

/// Returns the message of an invalid command line: inputs are escaped, and cut if they are long. If a valid value is
/// similar, the message names that one instead of all.
pub(crate) fn error_text(mut error: clap::Error, args: impl IntoIterator<Item = OsString>) -> String {
    if error.get(ContextKind::SuggestedValue).is_some() {
        error.remove(ContextKind::ValidValue);
    }
    let mut text = error.render().to_string();
    for arg in args {
        let arg = arg.to_string_lossy();
        let value = arg.split_once('=').filter(|_| arg.starts_with("--")).map_or(&*arg, |(_, value)| value);
        if value.chars().count() > MAX_QUOTED_CHARS {
            text = text.replace(value, &cut(value));
        }
    }
    escaped_lines(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_args(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("github-metrics").chain(args.iter().copied()))
    }

    #[test]
    fn the_command_line_is_well_defined() {
        command().debug_assert();
    }

    #[test]
    fn commands_have_examples_and_arguments_have_help() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains(&format!("github-metrics {name}")), "{name} has no example");
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                assert!(arg.get_help().is_some(), "{name}: {} has no help", arg.get_id());
            }
        }
    }

    #[test]
    fn the_help_of_a_command_is_short() {
        let program = command().term_width(100);
        for name in program.get_subcommands().map(|command| command.get_name()) {
            let printed = program.clone().try_get_matches_from(["github-metrics", name, "--help"]);
            let help = printed.expect_err("help ends the parsing").render().to_string();
            assert!(help.lines().count() <= 45, "{name}:\n{help}");
            assert!(!help.contains("Data directory"), "global options are named, not explained: {help}");
        }
    }

    #[test]
    fn the_help_lists_every_variable() {
        for variable in variables().iter().filter(|name| *name != "POSTGRES_URL") {
            assert!(help::ENVIRONMENT.contains(variable.as_str()), "{variable}");
        }
    }

    #[test]
    fn an_error_echoes_no_control_characters_and_no_long_inputs() {
        let long = "9".repeat(30_000);
        let since = format!("--since={long}");
        for args in [
            vec!["show", "acme", "--since", &long],
            vec!["show", "acme", &since],
            vec!["show", "acme", "--since", "\u{1b}[31m2026\u{7}"],
            vec!["\u{1b}]0;x\u{7}"],
        ] {
            let error = parse_args(&args).err().expect("it is invalid");
            let text = error_text(error, args.iter().map(OsString::from));
            assert!(text.len() < 600, "{} bytes", text.len());
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        }
    }

    #[test]
    fn global_options_go_anywhere() {
        for args in
            [["--quiet", "collect", "acme"], ["collect", "--quiet", "acme"], ["collect", "acme", "-q"]]
        {
            assert!(parse_args(&args).unwrap().globals.quiet);
        }
    }

    #[test]
    fn variables_with_and_without_an_option_are_listed() {
        let variables = variables();
        for name in ["GITHUB_TOKEN", "API_PORT", "API_ENDPOINT", "GITHUB_METRICS_DATA_DIR"] {
            assert!(variables.iter().any(|known| known == name), "{name}");
        }
    }
}
