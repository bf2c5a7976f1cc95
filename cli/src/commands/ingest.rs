//! `ingest`: reads the session logs of coding agents on this machine.

mod auto;
mod hook;
mod prune;
mod push;
mod report;
mod scan;
mod sessions;
mod watch;

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use gam_model::CodingAgent;

pub(crate) use self::auto::HookCall;
pub(crate) use self::hook::{ClaudeSettings, read_claude_settings};

use crate::args;
use crate::exit::Exit;
use crate::ingest::owners::RepositoryRule;
use crate::session::CliSession;

const EXAMPLES: &str = "\
Examples:
  github-metrics ingest sessions --org acme --dry-run   every field that would leave this machine
  github-metrics ingest sessions --org acme             the logs in your home directory
  github-metrics ingest sessions logs/ --org acme --member ann --repo site
  github-metrics ingest sessions --org acme --watch     until Ctrl-C: new lines within seconds
  github-metrics ingest sessions --org acme --push https://metrics.example.com
  github-metrics ingest hook install --org acme         from now on, with every session
  github-metrics ingest prune --org acme                which old logs could be deleted

No prompt, output, path, command or address leaves the logs: only ids, times, models, token counts,
names of tools, outcomes, line counts, repository and branch.";

/// Arguments of `ingest`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct IngestArgs {
    #[command(subcommand)]
    action: IngestAction,
}

#[derive(Subcommand)]
enum IngestAction {
    /// Read session logs into the lake's table `sessions`
    Sessions(Box<SessionsArgs>),
    /// Have Claude Code run `ingest sessions` by itself
    Hook(hook::HookArgs),
    /// Delete old session logs of which everything was ingested
    Prune(prune::PruneArgs),
}

/// Arguments of `ingest sessions`.
#[derive(Args, Debug, Clone)]
struct SessionsArgs {
    /// Log files, or directories with log files [default: where the agents write them]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Organization whose repositories the sessions worked in. It was collected before
    #[arg(long, value_name = "ORG", value_parser = args::org)]
    org: String,
    /// Read the logs of this agent only
    #[arg(long, value_name = "AGENT", value_parser = agent_parser())]
    agent: Option<CodingAgent>,
    /// Login of the person whose sessions they are [default: the member with git's e-mail address]
    #[arg(long, value_name = "LOGIN")]
    member: Option<String>,
    /// Repository of sessions in directories without a remote on GitHub; with DIR=, of those below DIR. Can be repeated
    #[arg(long, value_name = "[DIR=]REPO", value_parser = repository_rule)]
    repo: Vec<RepositoryRule>,
    /// Leave out what happened before this day (UTC)
    #[arg(long, value_name = "DAY", value_parser = args::day)]
    since: Option<NaiveDate>,
    /// Keep the names of branches [default: hashes, except for main and the like]
    #[arg(long)]
    branches: bool,
    /// Keep the names of MCP tools [default: `mcp`]
    #[arg(long)]
    mcp_tools: bool,
    /// Read files again that did not change
    #[arg(long)]
    again: bool,
    /// Send the events to this server instead of the lake. GITHUB_METRICS_TOKEN is a token with the role worker and the
    /// member whose sessions they are
    #[arg(long, value_name = "URL")]
    push: Option<String>,
    /// Show every field that would leave this machine, and write nothing
    #[arg(long, conflicts_with = "auto")]
    dry_run: bool,
    /// Then wait for new lines, and ingest them too, until Ctrl-C or SIGTERM
    #[arg(long, conflicts_with = "auto")]
    watch: bool,
    /// Run as a hook: reads a JSON object from stdin, prints nothing, always exits with 0, and logs to ingest.log in
    /// the data directory
    #[arg(long)]
    auto: bool,
}

fn agent_parser() -> impl TypedValueParser<Value = CodingAgent> {
    let names = CodingAgent::ALL.map(CodingAgent::as_str);
    PossibleValuesParser::new(names).try_map(|name| CodingAgent::parse(&name).ok_or("unknown agent"))
}

/// Parses `REPO` or `DIR=REPO`.
///
/// # Errors
/// If GitHub allows no such name of a repository, or the directory is empty.
fn repository_rule(text: &str) -> Result<RepositoryRule, String> {
    match text.rsplit_once('=') {
        Some(("", _)) => Err("expected REPO or DIR=REPO".to_owned()),
        Some((directory, repo)) => {
            Ok(RepositoryRule { directory: Some(directory.to_owned()), repo: args::repo(repo)? })
        }
        None => Ok(RepositoryRule { directory: None, repo: args::repo(text)? }),
    }
}

/// Reads session logs, or changes the hook. The session is an error if the settings are invalid.
pub(crate) async fn run(session: anyhow::Result<CliSession>, args: IngestArgs) -> anyhow::Result<Exit> {
    match args.action {
        IngestAction::Sessions(args) if args.auto => Ok(auto::run(session, &args).await),
        IngestAction::Sessions(args) if args.watch => watch::run(&session?, *args).await,
        IngestAction::Sessions(args) => sessions::run(&session?, &args).await,
        IngestAction::Hook(args) => hook::run(&session?, &args),
        IngestAction::Prune(args) => prune::run(&session?, &args).await,
    }
}
