//! The command line: global flags, the variables that are read, and one subcommand a job.

#[cfg(test)]
mod help;

use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;
use clap::builder::FalseyValueParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use gam_model::period::{FIRST_DAY, LAST_DAY};

use crate::commands::{aggregate, collect, completions, demo, doctor, export, serve, show, up};
use crate::environment::DotEnv;
use crate::settings::Secret;

const AFTER_HELP: &str = "\
Examples:
  github-metrics demo                 everything on a sample, without a token
  github-metrics up acme              collect, aggregate and serve, every hour
  github-metrics show acme            metrics in the terminal
  github-metrics export acme --format parquet --out acme.parquet

Variables:
  GITHUB_TOKEN (several with commas between them), or GITHUB_APP_ID and
  GITHUB_APP_PRIVATE_KEY; GITHUB_API_URL, STORAGE_TYPE, SQLITE_PATH, API_HOST,
  API_PORT, and those shown beside the options. A .env file in the current directory is
  read too. Options win over variables.

Exit status:
  0 done; 1 failed; 2 usage; 3 done in part, what failed is named;
  75 stopped for the API's limits, progress is saved; 130, 143 stopped by Ctrl-C or
  SIGTERM (serve, up and demo end with 0), what was done is saved";

/// Activity metrics of GitHub organizations: collect, aggregate, serve.
#[derive(Parser)]
#[command(name = "github-metrics", version, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(flatten)]
    pub(crate) variables: Variables,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The flags that every command takes.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Where the lake and the store live, unless --lake and --store say otherwise
    /// [default: ./github-metrics-data, for demo ./github-metrics-demo]
    #[arg(long, global = true, env = "GITHUB_METRICS_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// The lake, as file:DIR or s3://BUCKET/PREFIX [default: file:DATA_DIR/lake]
    #[arg(long, global = true, env = "GITHUB_METRICS_LAKE", value_name = "LAKE", hide_env_values = true)]
    pub(crate) lake: Option<String>,
    /// The store, as sqlite:FILE or dynamodb:TABLE [default: sqlite:DATA_DIR/store.sqlite]
    #[arg(long, global = true, env = "GITHUB_METRICS_STORE", value_name = "STORE", hide_env_values = true)]
    pub(crate) store: Option<String>,
    /// Let show and export read over HTTP from this address, instead of from the store
    #[arg(long, global = true, env = "API_ENDPOINT", value_name = "URL", hide_env_values = true)]
    pub(crate) api: Option<String>,
    /// The configuration of bots and aliases [default: ./github-metrics.toml, if it is there]
    #[arg(long, global = true, env = "GITHUB_METRICS_CONFIG", value_name = "FILE", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// How to write data: show takes table, json and csv, export csv, json and parquet; collect,
    /// aggregate and doctor tell their results as json, or as text
    #[arg(long, global = true, env = "GITHUB_METRICS_FORMAT", value_name = "FORMAT", hide_env_values = true)]
    pub(crate) format: Option<Format>,
    /// Tell errors only: no progress, and no summary but as json
    #[arg(
        long,
        short,
        global = true,
        env = "GITHUB_METRICS_QUIET",
        hide_env_values = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(crate) quiet: bool,
    /// How to write progress and logs to stderr
    #[arg(
        long,
        global = true,
        env = "GITHUB_METRICS_LOG_FORMAT",
        hide_env_values = true,
        value_name = "FORMAT",
        default_value = "pretty"
    )]
    pub(crate) log_format: LogFormat,
}

/// The variables that have no flag of their own. They are hidden arguments because clap is what reads
/// the environment; [`crate::settings`] checks them and names them as variables.
#[derive(Args)]
pub(crate) struct Variables {
    #[arg(long, hide = true, env = "GITHUB_TOKEN", hide_env_values = true)]
    pub(crate) github_token: Option<Secret>,
    #[arg(long, hide = true, env = "GITHUB_APP_ID", hide_env_values = true)]
    pub(crate) github_app_id: Option<String>,
    #[arg(long, hide = true, env = "GITHUB_APP_PRIVATE_KEY", hide_env_values = true)]
    pub(crate) github_app_private_key: Option<Secret>,
    #[arg(long, hide = true, env = "GITHUB_API_URL", hide_env_values = true)]
    pub(crate) github_api_url: Option<String>,
    #[arg(long, hide = true, env = "STORAGE_TYPE", hide_env_values = true)]
    pub(crate) storage_type: Option<String>,
    #[arg(long, hide = true, env = "SQLITE_PATH", hide_env_values = true)]
    pub(crate) sqlite_path: Option<PathBuf>,
    #[arg(long, hide = true, env = "POSTGRES_URL", hide_env_values = true)]
    pub(crate) postgres_url: Option<Secret>,
    #[arg(long, hide = true, env = "API_HOST", hide_env_values = true)]
    pub(crate) api_host: Option<String>,
    #[arg(long, hide = true, env = "API_PORT", hide_env_values = true)]
    pub(crate) api_port: Option<String>,
    #[arg(long, hide = true, env = "NO_COLOR", hide_env_values = true)]
    pub(crate) no_color: Option<String>,
}

/// How data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people
    Table,
    /// JSON
    Json,
    /// Comma-separated values with a header
    Csv,
    /// Apache Parquet
    Parquet,
}

/// How progress and logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Pretty,
    /// One JSON object a line
    Json,
}

/// What is to be done.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Try everything on a generated sample organization, with no token and no network
    Demo(demo::Demo),
    /// Collect, aggregate, serve, and repeat
    Up(up::Up),
    /// Fetch what is new from GitHub into the lake's inbox
    Collect(collect::Collect),
    /// Work the inbox off into snapshots and rollups
    Aggregate(aggregate::Aggregate),
    /// Serve the HTTP API, and a page that links to it
    Serve(serve::Serve),
    /// Show metrics in the terminal
    Show(show::Show),
    /// Write rollups as CSV, JSON or Parquet
    Export(export::Export),
    /// Check the token, the limits left, the lake, the store and the clock
    Doctor(doctor::Doctor),
    /// Write a completion script for a shell
    Completions(completions::Completions),
}

/// Which days are to be shown.
#[derive(Args)]
pub(crate) struct Days {
    /// The first day, UTC [default: for show the last 30 days, for export all that is known]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    pub(crate) since: Option<NaiveDate>,
    /// The day after the last, UTC [default: for show tomorrow, for export all that is known]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    pub(crate) until: Option<NaiveDate>,
}

/// The variables that the command line knows.
pub(crate) fn variables() -> Vec<String> {
    let command = Cli::command();
    let names = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str());
    names.map(str::to_owned).collect()
}

/// Reads the command line.
///
/// # Errors
/// Where it cannot be understood, or asks for help or the version: clap's error prints itself.
pub(crate) fn parse(dot_env: &DotEnv) -> Result<Cli, clap::Error> {
    let matches = dot_env.fill(Cli::command()).try_get_matches()?;
    Cli::from_arg_matches(&matches)
}

/// A day of the calendar, written as `YYYY-MM-DD`.
pub(crate) fn day(text: &str) -> Result<NaiveDate, String> {
    let shaped = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let day = shaped.then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten();
    let day = day.ok_or("write a day of the calendar as YYYY-MM-DD, such as 2026-02-28")?;
    if (FIRST_DAY..=LAST_DAY).contains(&day) {
        Ok(day)
    } else {
        Err(format!("give a day from {FIRST_DAY} to {LAST_DAY}"))
    }
}

/// An organization's login.
pub(crate) fn org(text: &str) -> Result<String, String> {
    if let Some((org, repo)) = text.split_once('/')
        && !org.is_empty()
        && !org.contains(':')
    {
        return Err(format!("give the organization alone, {org}; {repo} is a repository of it"));
    }
    let well_formed = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if well_formed && !text.is_empty() && text.len() <= 100 {
        Ok(text.to_owned())
    } else {
        Err("give an organization's login as in https://github.com/LOGIN".to_owned())
    }
}

/// A repository's name.
pub(crate) fn repo(text: &str) -> Result<String, String> {
    let well_formed =
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    match text.rsplit_once('/') {
        Some((_, name)) => Err(format!("give the repository's name without its owner: {name}")),
        None if well_formed && !text.is_empty() => Ok(text.to_owned()),
        None => Err("give a repository's name as in https://github.com/LOGIN/NAME".to_owned()),
    }
}

/// How much of GitHub's limits a run may use.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Limits {
    /// How many requests may be in flight at once, at most
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) parallelism: u16,
    /// Read forks too, with the history they share with their upstream
    #[arg(long)]
    pub(crate) forks: bool,
    /// The longest to wait for GitHub's limits to be reset, such as 30m
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = span)]
    pub(crate) max_wait: Duration,
    /// The share of GitHub's limits that may be used up, such as 60%; past it the run saves and stops
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    pub(crate) budget: Option<f64>,
}

impl Limits {
    /// For a question or two, that must not wait.
    pub(crate) const AT_ONCE: Limits =
        Limits { parallelism: 1, forks: false, max_wait: Duration::ZERO, budget: None };

    /// How many readings may run side by side.
    pub(crate) fn parallelism(&self) -> usize {
        usize::from(self.parallelism)
    }
}

/// A share in percent, as a fraction.
///
/// # Errors
/// Where it is no percentage from 1 to 100.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>().ok();
    percent
        .filter(|percent| (1.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| format!("{text:?} is no share: give a percentage from 1% to 100%, such as 60%"))
}

/// A span of time such as `90s`, `15m` or `1h 30m`, at most thirty days.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
    let span =
        humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 90s, 15m or 1h"))?;
    if span > LONGEST { Err("give at most 30 days".to_owned()) } else { Ok(span) }
}

/// A span of time of at least a second.
pub(crate) fn pause(text: &str) -> Result<Duration, String> {
    let span = span(text)?;
    if span < Duration::from_secs(1) { Err("give at least 1s".to_owned()) } else { Ok(span) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage() {
        assert_eq!(share("60%"), Ok(0.6));
        assert_eq!(share("100"), Ok(1.0));
        for wrong in ["0%", "101%", "-1", "much", "", "NaN"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }

    fn parse_args(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("github-metrics").chain(args.iter().copied()))
    }

    #[test]
    fn the_command_line_is_well_defined() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_and_every_argument_a_help() {
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
    fn global_flags_go_anywhere() {
        for args in
            [["--quiet", "collect", "acme"], ["collect", "--quiet", "acme"], ["collect", "acme", "-q"]]
        {
            assert!(parse_args(&args).unwrap().globals.quiet);
        }
    }

    #[test]
    fn variables_of_options_and_those_without_one_are_known() {
        let variables = variables();
        for name in ["GITHUB_TOKEN", "API_PORT", "API_ENDPOINT", "GITHUB_METRICS_DATA_DIR"] {
            assert!(variables.iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn days_are_checked() {
        assert_eq!(day("2024-02-29").unwrap(), NaiveDate::from_ymd_opt(2024, 2, 29).unwrap());
        for bad in ["2023-02-29", "2024-2-29", "20240229", "today", "", "1969-12-31", "+024-02-29"] {
            assert!(day(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(org("Acme-1").unwrap(), "Acme-1");
        assert!(org("acme/site").unwrap_err().contains("acme; site is a repository"));
        for bad in ["", "a b", "https://github.com/acme", "/", "a.b", "ä"] {
            assert!(org(bad).is_err(), "{bad}");
        }
        assert_eq!(repo("site.js").unwrap(), "site.js");
        assert!(repo("acme/site").unwrap_err().contains("without its owner: site"));
        assert!(repo("").is_err());
    }

    #[test]
    fn spans_are_bounded() {
        assert_eq!(span("1h").unwrap().as_secs(), 3600);
        assert_eq!(span("0s").unwrap().as_secs(), 0);
        for bad in ["", "1", "h", "-1s", "31days", "1year"] {
            assert!(span(bad).is_err(), "{bad}");
        }
        assert!(pause("0s").is_err());
    }
}
