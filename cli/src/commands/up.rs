//! `up`: collects, aggregates and serves, and repeats.

use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use gam_collect::reconcile::is_due;
use gam_collect::{CollectError, CollectRequest};
use gam_github::Client;
use gam_lake::Sessions;
use gam_model::Clock;
use gam_work_ports::LakeSessionInbox;

use super::serve::BoundServer;
use super::{aggregate, collect, reconcile};
use crate::args::{self, ConfigOption, GitHubOptions, ListenOption};
use crate::audit_log;
use crate::error::{exit_status, one_line};
use crate::exit::Exit;
use crate::format::{count, duration, utc};
use crate::notify;
use crate::open::OpenData;
use crate::report::Continuation;
use crate::session::CliSession;
use crate::signals;
use crate::webhooks::Webhooks;

const EXAMPLES: &str = "\
Examples:
  github-metrics up acme              http://127.0.0.1:8080; repeats every hour (change with --every)
  github-metrics up acme acme-labs    several organizations, one after the other
  github-metrics up acme --since 2025-01-01 --every 15m --listen 0.0.0.0:80   needs a token

Without tokens, only this machine can read: see `github-metrics help token`.";

/// Pause between two looks for repositories that webhooks marked.
const LOOK_FOR_MARKS_EVERY: Duration = Duration::from_secs(5);
/// Pause between a push of session events and their merge.
const MERGE_PUSHED_AFTER: Duration = Duration::from_secs(20);
const STOPPED: &str = "stopped; progress is saved, run again to continue";

/// Arguments of `up`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UpArgs {
    /// Organizations
    #[arg(value_name = "ORG", required = true, value_parser = args::org)]
    orgs: Vec<String>,
    /// First day, UTC [default: 90 days ago at first, then only what is new]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = args::day)]
    since: Option<NaiveDate>,
    /// Pause between two rounds, such as 15m
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = args::interval)]
    every: Duration,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    github: GitHubOptions,
    #[command(flatten)]
    listen: ListenOption,
}

/// Serves until Ctrl-C or SIGTERM, and collects and aggregates meanwhile.
pub(crate) async fn run(session: &CliSession, args: UpArgs) -> anyhow::Result<Exit> {
    gam_collect::check_days(args.since, None, gam_model::SystemClock.now().date_naive())?;
    let github = session.settings.github(&args.github)?;
    let server = BoundServer::bind(session, &args.listen).await?;
    let data = OpenData::open(&session.settings).await?;
    let served = serve_data(session, server, &data, (&github, &args)).await;
    data.close().await;
    served.map(|()| Exit::Success)
}

async fn serve_data(
    session: &CliSession,
    server: BoundServer,
    data: &OpenData,
    (github, args): (&Client, &UpArgs),
) -> anyhow::Result<()> {
    let access = server.access(session, &data.store).await?;
    let ports = data.store.api_ports(&session.settings)?;
    let webhooks = data.store.webhooks(&session.settings, Some(github), &args.orgs)?;
    aggregate::set_configuration(session, data, &args.orgs, &args.config).await?;
    let console = session.console.clone();
    let shutdown = async move {
        signals::wait_for_stop_signal().await;
        console.print_notice(STOPPED);
    };
    let rounds = async {
        tokio::select! {
            error = run_rounds(session, data, github, args, webhooks.as_ref()) => error,
            // The server still answers the requests in progress.
            _ = signals::wait_for_stop_signal() => std::future::pending().await,
        }
    };
    let repairs = async {
        match &webhooks {
            Some(webhooks) => webhooks.repair(&session.console, &args.orgs).await,
            None => std::future::pending().await,
        }
    };
    let drain_ports = data.audit_ports();
    let inbox = LakeSessionInbox::new(data.objects.clone());
    let hosted = (webhooks.as_ref(), Some(&inbox));
    let served = tokio::select! {
        served = server.serve((session, &data.store), ports, access, hosted, shutdown) => served,
        () = merge_pushed_sessions(session, data, &inbox) => Ok(()),
        error = rounds => Err(error),
        () = repairs => Ok(()),
        () = audit_log::keep_drained(session, &data.store, Some(&drain_ports)) => Ok(()),
        () = notify::keep_sending(session, &data.store) => Ok(()),
    };
    audit_log::drain_now(session, &data.store, &drain_ports).await;
    served
}

/// Merges the session events that other machines push, of every organization: the server takes those of all. Never
/// returns.
async fn merge_pushed_sessions(session: &CliSession, data: &OpenData, inbox: &LakeSessionInbox) {
    loop {
        inbox.wait_for_new().await;
        // A log is pushed in several requests.
        tokio::time::sleep(MERGE_PUSHED_AFTER).await;
        let orgs = match gam_lake::inbox::orgs::<Sessions>(&*data.objects).await {
            Ok(orgs) => orgs,
            Err(error) => {
                session.console.print_error(one_line(&error.into()));
                continue;
            }
        };
        for org in orgs {
            match gam_aggregate::aggregate_sessions(&data.aggregate_ports(), &org).await {
                Ok(report) if report.changed_rows > 0 => {
                    let rows = count(report.changed_rows, "row", "rows");
                    session.console.print_info(format!("{org}: {rows} of sessions changed after a push"));
                }
                Ok(_) => {}
                // They stay in the inbox: the next round or push merges them.
                Err(error) => session.console.print_error(one_line(&error.into())),
            }
        }
    }
}

/// Runs one round after the other. Returns only if another round cannot help: each organization failed in the first
/// round, with an error that the user must fix.
async fn run_rounds(
    session: &CliSession,
    data: &OpenData,
    github: &Client,
    args: &UpArgs,
    webhooks: Option<&Webhooks>,
) -> anyhow::Error {
    let mut has_succeeded = false;
    loop {
        let mut refusals = Vec::new();
        for org in &args.orgs {
            let started = Instant::now();
            let round = run_round(session, data, github, (org, args), webhooks, has_succeeded).await;
            notify::record_collection(data, github, org, (round.as_ref().err(), started.elapsed())).await;
            match round {
                Ok(()) => has_succeeded = true,
                Err(error) if needs_user_action(&error) => refusals.push(error),
                Err(error) => session.console.print_error(one_line(&error)),
            }
        }
        let is_refused = !has_succeeded && refusals.len() == args.orgs.len();
        let last = if is_refused { refusals.pop() } else { None };
        for error in &refusals {
            session.console.print_error(one_line(error));
        }
        if let Some(error) = last {
            return error;
        }
        let next = data.clock().now() + args.every;
        session.console.print_info(format!("next round at {} (in {})", utc(next), duration(args.every)));
        match webhooks {
            Some(webhooks) => read_marked_until(session, data, github, args, webhooks, next).await,
            None => tokio::time::sleep(args.every).await,
        }
    }
}

/// Reads repositories that webhooks mark, until the next round is due.
async fn read_marked_until(
    session: &CliSession,
    data: &OpenData,
    github: &Client,
    args: &UpArgs,
    webhooks: &Webhooks,
    next: DateTime<Utc>,
) {
    // A storage key never changes, so the registry is not read again each time.
    let mut keys = Vec::new();
    for org in &args.orgs {
        match data.key_of(org).await {
            Ok(key) => keys.push((org.as_str(), key)),
            Err(error) => session.console.print_error(one_line(&error)),
        }
    }
    while let Some(pause) = (next - data.clock().now()).to_std().ok().filter(|pause| !pause.is_zero()) {
        for (org, key) in &keys {
            if let Err(error) = read_marked(session, data, github, (org, key, args), webhooks).await {
                session.console.print_error(one_line(&error));
            }
        }
        tokio::time::sleep(pause.min(LOOK_FOR_MARKS_EVERY)).await;
    }
}

/// Reads the repositories of an organization that webhooks marked, and updates the metrics.
async fn read_marked(
    session: &CliSession,
    data: &OpenData,
    github: &Client,
    (org, key, args): (&str, &str, &UpArgs),
    webhooks: &Webhooks,
) -> anyhow::Result<()> {
    let parallelism = args.github.parallelism();
    let Some(read) = webhooks.read_marked(session, data, github, (org, key, parallelism)).await? else {
        return Ok(());
    };
    for failure in read.failed.values() {
        session.console.print_error(format!("{org}: {}", failure.why));
    }
    let (outcome, _) = aggregate::aggregate_org(session, data, org).await?;
    session.console.print_info(format!("{org}: after webhooks: {}", aggregate::summary(&outcome)));
    Ok(())
}

async fn run_round(
    session: &CliSession,
    data: &OpenData,
    github: &Client,
    (org, args): (&str, &UpArgs),
    webhooks: Option<&Webhooks>,
    is_token_checked: bool,
) -> anyhow::Result<()> {
    let console = &session.console;
    if !is_token_checked {
        let diagnosis = github.diagnose().await?;
        if let Some(login) = diagnosis.login {
            console.print_info(format!("signed in as {login}"));
        }
    }
    let request = CollectRequest {
        org: org.to_owned(),
        since: args.since,
        until: None,
        again: false,
        repos: Vec::new(),
        parallelism: args.github.parallelism(),
    };
    // Remembered before the first request: what is marked later may not have been read.
    let marked = match webhooks {
        Some(webhooks) => Some(webhooks.marked(&data.key_of(org).await?).await?),
        None => None,
    };
    let collected = collect::fetch(session, data, github, &request).await;
    if let (Some(marked), Ok(outcome)) = (&marked, &collected)
        && outcome.is_complete()
    {
        marked.clear_all().await?;
    }
    match &collected {
        Ok(outcome) => {
            console.print_info(collect::summary(outcome));
            collect::print_problems(session, outcome, data.clock().now(), Continuation::NextRound);
        }
        Err(error) if needs_user_action(error) => return collected.map(|_| ()),
        // Batches of earlier runs are processed even so.
        Err(_) => {}
    }
    // The organization's name as GitHub writes it, once it is known.
    let name = collected.as_ref().map_or_else(|_| org.to_owned(), |outcome| outcome.org().to_owned());
    let aggregated = aggregate::aggregate_org(session, data, &name).await;
    if let Ok((outcome, _)) = &aggregated {
        console.print_info(format!("{name}: {}", aggregate::summary(outcome)));
    }
    // The failure of the collection comes first: an aggregation records its own.
    let collected = collected?;
    aggregated?;
    let read_at = collected.read_at().unwrap_or_else(|| data.clock().now());
    // Once a day, look for what GitHub does not list as a change.
    if is_due(&data.collect_ports(), &data.key_of(org).await?, read_at).await? {
        let report = reconcile::reconcile(session, data, github, org, Continuation::NextRound).await?;
        reconcile::print_summary(session, &report)?;
        reconcile::print_problems(session, &report, data.clock().now(), Continuation::NextRound);
    }
    Ok(())
}

/// Returns whether another round fails too until the user does something.
fn needs_user_action(error: &anyhow::Error) -> bool {
    use gam_github::Error::{Forbidden, Invalid, NotFound, Unauthorized};
    let is_refusal = |error: &gam_github::Error| {
        matches!(error, Unauthorized(_) | Forbidden(_) | NotFound(_) | Invalid(_))
    };
    exit_status(error) == Exit::Usage
        || error.chain().any(|cause| match cause.downcast_ref::<CollectError>() {
            Some(CollectError::GitHub(error)) => is_refusal(error),
            Some(CollectError::Org(_)) => true,
            _ => cause.downcast_ref().is_some_and(is_refusal),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_need_user_action() {
        let github = |error: gam_github::Error| -> anyhow::Error { CollectError::GitHub(error).into() };
        assert!(needs_user_action(&github(gam_github::Error::Unauthorized("no".into()))));
        assert!(needs_user_action(&github(gam_github::Error::NotFound("no".into()))));
        assert!(needs_user_action(&gam_github::Error::Forbidden("no".into()).into()));
        assert!(needs_user_action(&CollectError::Invalid("no".into()).into()));
        let unavailable = gam_github::Error::Unavailable { what: "x".into(), why: "y".into() };
        assert!(!needs_user_action(&github(unavailable)));
        assert!(!needs_user_action(&github(gam_github::Error::Limited { until: None, why: "z".into() })));
        assert!(!needs_user_action(&anyhow::anyhow!("the disk")));
    }
}
