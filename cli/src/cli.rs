//! The command line: global options, variables, and one subcommand for each job.

#[cfg(test)]
mod help;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::args::{GlobalOptions, Variables};
use crate::commands::{aggregate, collect, completions, config, demo, doctor, export, serve, show, up};
use crate::console::Console;
use crate::environment::DotEnv;
use crate::exit::Exit;
use crate::session::CliSession;
use crate::settings::{CliSettings, DataUse};

const EXAMPLES: &str = "\
Examples:
  github-metrics demo                 try everything on a sample, without a token
  github-metrics up acme              collect, aggregate and serve; repeats every hour
  github-metrics show acme            metrics in the terminal
  github-metrics export acme --format parquet --out acme.parquet

Environment variables and exit status: github-metrics --help";

const EXAMPLES_VARIABLES_AND_EXIT_STATUS: &str = "\
Examples:
  github-metrics demo                 try everything on a sample, without a token
  github-metrics up acme              collect, aggregate and serve; repeats every hour
  github-metrics show acme            metrics in the terminal
  github-metrics export acme --format parquet --out acme.parquet

Environment variables:
  GITHUB_TOKEN               token, or several tokens separated by commas
  GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY
                             GitHub App instead of a token: its id; its key as PEM text or a file
  GITHUB_API_URL             API of GitHub Enterprise Server: https://HOST/api/v3
  GITHUB_METRICS_DATA_DIR    --data-dir
  GITHUB_METRICS_LAKE        --lake
  GITHUB_METRICS_STORE       --store
  STORAGE_TYPE, SQLITE_PATH  legacy names for --store
  GITHUB_METRICS_CONFIG      --config of up and aggregate
  GITHUB_METRICS_FORMAT      --format
  GITHUB_METRICS_QUIET       --quiet
  GITHUB_METRICS_LOG_FORMAT  --log-format
  API_ENDPOINT               --api
  API_HOST, API_PORT         --listen
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY
                             proxies, and the hosts to reach without one
  NO_COLOR                   no colours
  RUST_LOG                   filter for the logs, such as debug
  An option wins over its variable. A .env file in the current directory sets variables that
  the environment does not set. An empty variable counts as unset.

Exit status:
  0         success
  1         failure
  2         invalid arguments, variables or configuration
  3         partial success: messages name what failed, the rest is saved
  75        stopped at GitHub's rate limit or at --budget; progress is saved
  130, 143  stopped by Ctrl-C or SIGTERM; progress is saved (serve, up and demo exit with 0)";

/// Activity metrics of GitHub organizations: collect, aggregate, serve.
#[derive(Parser)]
#[command(
    name = "github-metrics",
    version,
    after_help = EXAMPLES,
    after_long_help = EXAMPLES_VARIABLES_AND_EXIT_STATUS,
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
    /// Serve the HTTP API, and a page that links to it
    Serve(serve::ServeArgs),
    /// Show metrics in the terminal
    Show(show::ShowArgs),
    /// Write metrics as CSV, JSON or Parquet
    Export(export::ExportArgs),
    /// Check the token, the rate limits, the lake, the store and the clock
    Doctor(doctor::DoctorArgs),
    /// Set or show an organization's configuration: bots, aliases, excluded repositories, deploy workflows
    Config(config::ConfigArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

impl CliCommand {
    /// Returns which data the command uses, which decides the defaults of the settings.
    pub(crate) fn data_use(&self) -> DataUse {
        match self {
            CliCommand::Demo(_) => DataUse::Sample,
            CliCommand::Show(_) | CliCommand::Export(_) => DataUse::Query,
            _ => DataUse::LakeAndStore,
        }
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
            CliCommand::Serve(args) => serve::run(&session()?, args).await,
            CliCommand::Show(args) => show::run(&session()?, args).await,
            CliCommand::Export(args) => export::run(&session()?, args).await,
            CliCommand::Doctor(args) => doctor::run(&session()?, args).await,
            CliCommand::Config(args) => config::run(&session()?, args).await,
            // Invalid settings do not prevent it.
            CliCommand::Completions(args) => completions::run(&console, args, Cli::command()),
        }
    }
}

/// Returns the names of the variables that the command line reads.
pub(crate) fn variables() -> Vec<String> {
    let command = Cli::command();
    let names = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str());
    names.map(str::to_owned).collect()
}

/// Parses the command line and the variables.
///
/// # Errors
/// If they are invalid, or ask for help or the version. The error prints itself.
pub(crate) fn parse(dot_env: &DotEnv) -> Result<Cli, clap::Error> {
    let matches = dot_env.fill(Cli::command()).try_get_matches()?;
    Cli::from_arg_matches(&matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_args(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("github-metrics").chain(args.iter().copied()))
    }

    #[test]
    fn the_command_line_is_well_defined() {
        Cli::command().debug_assert();
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
        let program = Cli::command().term_width(100);
        for name in program.get_subcommands().map(|command| command.get_name()) {
            let printed = program.clone().try_get_matches_from(["github-metrics", name, "--help"]);
            let help = printed.expect_err("help ends the parsing").render().to_string();
            assert!(help.lines().count() <= 50, "{name}:\n{help}");
        }
    }

    #[test]
    fn the_help_lists_every_variable() {
        let help = Cli::command().render_long_help().to_string();
        for variable in variables().iter().filter(|name| *name != "POSTGRES_URL") {
            assert!(help.contains(variable.as_str()), "{variable}");
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
