//! `collect`: fetches activity from GitHub into the lake's inbox.

use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use gam_collect::{
    CollectError, CollectReport, CollectRequest, CollectWarning, Limited, RepoCost, ReportedGap, collect,
};
use gam_github::{Client, Usage};
use gam_lake::inbox;
use gam_model::Clock;
use gam_store::Gap;
use serde_json::json;

use super::{dry_run, reconcile};
use crate::answer;
use crate::args::{self, GitHubOptions};
use crate::error::{exit_status, one_line};
use crate::exit::Exit;
use crate::format::{count, duration};
use crate::notify;
use crate::open::{OpenData, open_dry_run};
use crate::progress::RunProgress;
use crate::report::{Continuation, limit_message, reasons_as_json, request_cost, total_cost, unique_names};
use crate::session::CliSession;
use crate::signals;

const EXAMPLES: &str = "\
Examples:
  github-metrics collect acme                     new activity; at first, the last 90 days
  github-metrics collect acme --since 2025-01-01  also missing activity since then
  github-metrics collect acme other --repo site --repo api
  github-metrics collect acme --reconcile         then compare with GitHub and repair
  github-metrics collect acme --again --since 2025-03-01 --until 2025-04-01
                                                  read a lost month again
  github-metrics collect acme --dry-run           estimate the cost, write nothing
  github-metrics collect acme --max-wait 0s       stop at GitHub's rate limit (exit 75)
  github-metrics collect acme --budget 60%        leave 40% of the limit to others (exit 75)";

const STOPPED: &str = "stopped; progress is saved, run again to continue";

/// Arguments of `collect`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CollectArgs {
    /// Organizations
    #[arg(value_name = "ORG", required = true, value_parser = args::org)]
    orgs: Vec<String>,
    /// First day, UTC [default: 90 days ago at first, then only what is new]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = args::day)]
    since: Option<NaiveDate>,
    /// Day after the last one, UTC [default: up to now]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = args::day)]
    until: Option<NaiveDate>,
    /// Only this repository; can be repeated
    #[arg(long = "repo", value_name = "REPO", value_parser = args::repo)]
    repos: Vec<String>,
    /// Read the days again, whatever was read before: after a month was lost, or with a newer program
    #[arg(long, conflicts_with = "dry_run")]
    again: bool,
    /// Then compare everything with GitHub's counts and states, and repair differences
    #[arg(long, conflicts_with_all = ["dry_run", "repos"])]
    reconcile: bool,
    /// Print what would be read and an estimate of its cost; write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    github: GitHubOptions,
}

/// Collects every given organization.
pub(crate) async fn run(session: &CliSession, args: CollectArgs) -> anyhow::Result<Exit> {
    gam_collect::check_days(args.since, args.until, gam_model::SystemClock.now().date_naive())?;
    let github = session.settings.github(&args.github)?;
    if args.dry_run {
        let (ports, store) = open_dry_run(&session.settings).await?;
        let plans = for_each_org(session, &github, &args, async |request| {
            dry_run::plan_org(session, &ports, &github, request).await
        });
        let exit = signals::run_until_stopped(&session.console, STOPPED, plans).await;
        if let Some(store) = store {
            store.close().await;
        }
        return exit;
    }
    let data = OpenData::open(&session.settings).await?;
    let collection = collect_orgs(session, &data, &github, &args);
    let exit = signals::run_until_stopped(&session.console, STOPPED, collection).await;
    data.close().await;
    exit
}

/// Collects each organization, and compares it with GitHub if that is requested.
async fn collect_orgs(
    session: &CliSession,
    data: &OpenData,
    github: &Client,
    args: &CollectArgs,
) -> anyhow::Result<Exit> {
    let exit = for_each_org(session, github, args, async |request| {
        let started = Instant::now();
        let collected = collect_org(session, data, github, request, args.reconcile).await;
        if is_run_of_the_job(request, &collected) {
            let outcome = (collected.as_ref().err(), started.elapsed());
            notify::record_collection(data, github, &request.org, outcome).await;
        }
        collected
    })
    .await?;
    print_next_step(session, data, &unique_names(&args.orgs)).await;
    Ok(exit)
}

/// Returns whether a collection says how the regular ones go. A person who reads some repositories, or gives a wrong
/// name or option, does not.
fn is_run_of_the_job(request: &CollectRequest, collected: &anyhow::Result<Exit>) -> bool {
    request.repos.is_empty() && collected.as_ref().err().is_none_or(|error| exit_status(error) != Exit::Usage)
}

/// Runs `work` for one organization after the other. One that fails does not stop the others.
async fn for_each_org(
    session: &CliSession,
    github: &Client,
    args: &CollectArgs,
    work: impl AsyncFn(&CollectRequest) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    let orgs = unique_names(&args.orgs);
    let mut exits = Vec::new();
    for (at, org) in orgs.iter().enumerate() {
        let request = CollectRequest {
            org: org.to_string(),
            since: args.since,
            until: args.until,
            again: args.again,
            repos: args.repos.clone(),
            parallelism: args.github.parallelism(),
        };
        let exit = match work(&request).await {
            Ok(exit) => exit,
            Err(error) if orgs.len() > 1 => {
                session.console.print_error(with_org(org, &one_line(&error)));
                exit_status(&error)
            }
            Err(error) => return Err(error),
        };
        exits.push(exit);
        // Each installation of an app has limits of its own, so the other organizations can continue.
        if exit == Exit::Limited && at + 1 < orgs.len() && !github.is_app() {
            let rest = orgs[at + 1..].join(", ");
            session.console.print_error(format!("not started because of the same rate limit: {rest}"));
            break;
        }
    }
    Ok(Exit::combine(&exits))
}

/// Puts the organization before a message, unless the message quotes it already.
fn with_org(org: &str, message: &str) -> String {
    if message.contains(&format!("{org:?}")) { message.to_owned() } else { format!("{org}: {message}") }
}

/// Prints the next command if batches wait in the inbox: they are not in the metrics yet.
async fn print_next_step(session: &CliSession, data: &OpenData, orgs: &[&str]) {
    for org in orgs {
        // If the inbox cannot be listed, `aggregate` reports why.
        let Ok(key) = data.key_of(org).await else { return };
        if inbox::list::<gam_lake::Events>(&*data.objects, &key)
            .await
            .is_ok_and(|batches| !batches.is_empty())
        {
            let option = session.settings.data_dir_option();
            session
                .console
                .print_info(format!("Next: `github-metrics aggregate{option}` to update the metrics"));
            return;
        }
    }
}

async fn collect_org(
    session: &CliSession,
    data: &OpenData,
    github: &Client,
    request: &CollectRequest,
    should_reconcile: bool,
) -> anyhow::Result<Exit> {
    let outcome = fetch(session, data, github, request).await?;
    if !session.wants_json() {
        for line in cost_lines(&outcome.report) {
            session.console.print_info(line);
        }
        session.console.write_summary(summary(&outcome))?;
    }
    let exit = print_problems(session, &outcome, data.clock().now(), Continuation::RunAgain);
    // Repositories that were read are compared, even if others failed.
    let reconciled = match exit {
        Exit::Success | Exit::Partial if should_reconcile => {
            Some(reconcile::reconcile(session, data, github, &request.org, Continuation::RunAgain).await)
        }
        _ => None,
    };
    if session.wants_json() {
        // One document for both. It is written even if the comparison failed, because the collection is saved.
        let mut document = as_json(&outcome);
        if let Some(reconciled) = &reconciled {
            document["reconciliation"] = reconciled.as_ref().map_or(json!(null), reconcile::as_json);
        }
        session.console.write_result(document.to_string())?;
    }
    let Some(report) = reconciled.transpose()? else { return Ok(exit) };
    if !session.wants_json() {
        reconcile::print_summary(session, &report)?;
    }
    let now = data.clock().now();
    Ok(Exit::combine(&[exit, reconcile::print_problems(session, &report, now, Continuation::RunAgain)]))
}

impl CollectOutcome {
    /// When GitHub answered, by its own clock, UTC; `None` if it did not say.
    pub(super) fn read_at(&self) -> Option<DateTime<Utc>> {
        self.report.read_at
    }
}

/// The outcome of one collection.
#[derive(Default)]
pub(super) struct CollectOutcome {
    report: CollectReport,
    took: Duration,
    /// Whether a rate limit stopped the run before any repository was read.
    is_unread: bool,
}

impl CollectOutcome {
    /// Returns whether every repository in scope was read.
    pub(super) fn is_complete(&self) -> bool {
        !self.is_unread && self.report.limited.is_none() && self.report.failed.is_empty()
    }

    /// Returns the organization's name, as GitHub writes it if that is known.
    pub(super) fn org(&self) -> &str {
        &self.report.org
    }
}

/// Collects one organization. If a rate limit stops it before it has started, that is a report of the cost.
///
/// # Errors
/// If the organization cannot be read, or the lake or the store fails.
pub(super) async fn fetch(
    session: &CliSession,
    data: &OpenData,
    github: &Client,
    request: &CollectRequest,
) -> anyhow::Result<CollectOutcome> {
    let (started, github) = (Instant::now(), github.metered());
    let progress = RunProgress::new(&session.console, &request.org);
    let (report, is_unread) = match collect(&data.collect_ports(), &github, request, &progress).await {
        Err(CollectError::GitHub(gam_github::Error::Limited { until, why })) => {
            let usage = github.usage();
            let report = CollectReport {
                org: request.org.clone(),
                requests: usage.requests,
                usage,
                limited: Some(Limited { until, why }),
                ..CollectReport::default()
            };
            (report, true)
        }
        result => (result?, false),
    };
    Ok(CollectOutcome { report, took: started.elapsed(), is_unread })
}

/// Returns what the collection did, on one line.
pub(super) fn summary(outcome: &CollectOutcome) -> String {
    let CollectOutcome { report, took, is_unread } = outcome;
    let (org, took) = (&report.org, duration(*took));
    if *is_unread {
        let cost = total_cost(&report.usage);
        return format!("{org}: stopped before any repository was read ({cost}) after {took}");
    }
    let repos = count(report.repos, "repository", "repositories");
    let is_complete = report.failed.is_empty() && !report.gaps.iter().any(ReportedGap::is_failure);
    if report.batches == 0 && is_complete && report.limited.is_none() {
        return format!("{org}: up to date ({repos}, {})", request_cost(&report.usage));
    }
    format!(
        "{org}: {} in {} from {repos} in {took} ({})",
        count(report.events, "event", "events"),
        count(report.batches, "batch", "batches"),
        total_cost(&report.usage),
    )
}

/// Returns a line on the cost of each repository, and one on requests that belong to none of them.
fn cost_lines(report: &CollectReport) -> Vec<String> {
    let repos_read = report.costs.iter().filter(|cost| cost.usage.requests > 0 || cost.events > 0);
    let mut lines: Vec<String> = repos_read.map(cost_line).collect();
    let shared = shared_usage(report);
    if shared.requests > 0 && !lines.is_empty() {
        lines.push(format!("  shared by all: {}", total_cost(&shared)));
    }
    lines
}

/// Returns the usage that belongs to no single repository.
fn shared_usage(report: &CollectReport) -> Usage {
    let mut of_repos = Usage::default();
    for cost in &report.costs {
        of_repos += cost.usage;
    }
    let total = report.usage;
    Usage {
        requests: total.requests.saturating_sub(of_repos.requests),
        points: total.points.saturating_sub(of_repos.points),
        retries: total.retries.saturating_sub(of_repos.retries),
        bytes: total.bytes.saturating_sub(of_repos.bytes),
    }
}

fn cost_line(cost: &RepoCost) -> String {
    format!(
        "  {}: {} in {} ({})",
        cost.repo,
        count(cost.events, "event", "events"),
        duration(cost.took),
        total_cost(&cost.usage),
    )
}

/// Prints what could not be read. Returns the exit status that follows.
pub(super) fn print_problems(
    session: &CliSession,
    outcome: &CollectOutcome,
    now: DateTime<Utc>,
    continuation: Continuation,
) -> Exit {
    let report = &outcome.report;
    let (console, org) = (&session.console, &report.org);
    for (why, repos) in group_by_reason(&report.failed) {
        console.print_error(match repos.as_slice() {
            [repo] => format!("{org}/{repo} failed, its progress is saved: {why}"),
            repos => format!(
                "{} of {org} failed, their progress is saved: {why}: {}",
                count(repos.len(), "repository", "repositories"),
                repos.join(", ")
            ),
        });
    }
    print_warnings(session, org, &report.warnings);
    for reported in report.gaps.iter().filter(|reported| !is_failure_of_repo(report, reported)) {
        let gap = answer::gap_text(&reported.gap);
        if reported.is_failure() {
            console.print_error(format!("{org}: missing: {gap}"));
        } else {
            console.print_notice(format!("{org}: missing: {gap}"));
        }
    }
    for (repo, why) in &report.blocked {
        console.print_info(format!("{org}/{repo} is blocked, its collected data stays: {why}"));
    }
    for repo in &report.gone {
        console.print_info(format!("{org}/{repo} is no longer visible on GitHub, its collected data stays"));
    }
    if let Some(limited) = &report.limited {
        console.print_error(limit_message(org, limited, now, continuation));
        return Exit::Limited;
    }
    let has_new_gaps = report.gaps.iter().any(ReportedGap::is_failure);
    if report.failed.is_empty() && !has_new_gaps { Exit::Success } else { Exit::Partial }
}

/// Prints what a person should know about the numbers, even if `--quiet` is set.
fn print_warnings(session: &CliSession, org: &str, warnings: &[CollectWarning]) {
    for CollectWarning { repo, text } in warnings {
        let subject = repo.as_ref().map_or_else(|| org.to_owned(), |repo| format!("{org}/{repo}"));
        session.console.print_notice(format!("warning: {subject}: {text}"));
    }
}

/// Returns whether another line names the gap: a failure of its repository, or that GitHub blocks it.
fn is_failure_of_repo(report: &CollectReport, reported: &ReportedGap) -> bool {
    let Gap { repo, why, .. } = &reported.gap;
    let mut named = report.failed.iter().chain(&report.blocked);
    named.any(|(name, reason)| name == repo && reason.contains(why.as_str()))
}

/// Returns a gap in the shape of the API, and whether it is new.
fn gap_as_json(reported: &ReportedGap) -> serde_json::Value {
    let mut gap = json!(reported.gap);
    gap["new"] = reported.is_new.into();
    gap
}

/// Returns warnings as JSON.
fn warnings_as_json(warnings: &[CollectWarning]) -> Vec<serde_json::Value> {
    warnings.iter().map(|warning| json!({"repo": warning.repo, "text": warning.text})).collect()
}

/// Groups failed repositories by their reason, in the order of the first repository of each.
fn group_by_reason(failed: &[(String, String)]) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (repo, why) in failed {
        match groups.iter_mut().find(|(reason, _)| reason == why) {
            Some((_, repos)) => repos.push(repo),
            None => groups.push((why, vec![repo])),
        }
    }
    groups
}

fn as_json(outcome: &CollectOutcome) -> serde_json::Value {
    let report = &outcome.report;
    json!({
        "org": report.org,
        // The number is unknown if the run stopped before it listed the repositories.
        "repos": (!outcome.is_unread).then_some(report.repos),
        "events": report.events,
        "batches": report.batches,
        "requests": report.requests,
        "points": report.usage.points,
        "retries": report.usage.retries,
        "bytes": report.usage.bytes,
        "repositories": report.costs.iter().map(cost_as_json).collect::<Vec<_>>(),
        "gone": report.gone,
        "blocked": reasons_as_json(&report.blocked),
        "failed": reasons_as_json(&report.failed),
        "gaps": report.gaps.iter().map(gap_as_json).collect::<Vec<_>>(),
        "warnings": warnings_as_json(&report.warnings),
        "limited": report.limited.is_some(),
        "limited_until": report.limited.as_ref().map(|limited| limited.until),
        "limited_why": report.limited.as_ref().map(|limited| &limited.why),
        "seconds": outcome.took.as_secs_f64(),
    })
}

fn cost_as_json(cost: &RepoCost) -> serde_json::Value {
    json!({
        "repo": cost.repo,
        "requests": cost.usage.requests,
        "points": cost.usage.points,
        "retries": cost.usage.retries,
        "bytes": cost.usage.bytes,
        "events": cost.events,
        "seconds": cost.took.as_secs_f64(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organization_is_named_once_in_an_error() {
        assert_eq!(with_org("acme", "the disk is full"), "acme: the disk is full");
        assert_eq!(with_org("acme", "organization \"acme\" not found"), "organization \"acme\" not found");
    }

    fn report() -> CollectReport {
        CollectReport {
            org: "Acme".into(),
            repos: 1,
            requests: 17,
            usage: Usage { requests: 17, points: 21, retries: 1, bytes: 2_600_000 },
            ..CollectReport::default()
        }
    }

    #[test]
    fn a_summary_counts_everything() {
        let report = CollectReport { events: 1234, batches: 2, ..report() };
        let mut outcome = CollectOutcome { report, took: Duration::from_secs(65), is_unread: false };
        assert_eq!(
            summary(&outcome),
            "Acme: 1,234 events in 2 batches from 1 repository in 1m 5s (17 requests, 21 points, 1 retry, 2.60 MB)"
        );
        outcome.report = super::tests::report();
        assert_eq!(summary(&outcome), "Acme: up to date (1 repository, 17 requests, 21 points, 1 retry)");
        outcome.report.failed.push(("site".into(), "refused".into()));
        assert!(summary(&outcome).starts_with("Acme: 0 events in 0 batches from 1 repository"));
    }

    #[test]
    fn only_runs_of_all_repositories_say_how_collections_go() {
        let all = CollectRequest::default();
        let some = CollectRequest { repos: vec!["site".into()], ..CollectRequest::default() };
        assert!(is_run_of_the_job(&all, &Ok(Exit::Success)));
        assert!(is_run_of_the_job(&all, &Err(anyhow::anyhow!("GitHub answered 502"))));
        assert!(!is_run_of_the_job(&some, &Ok(Exit::Success)));
        assert!(!is_run_of_the_job(&all, &Err(crate::error::usage_error("no such day".to_owned()))));
    }

    #[test]
    fn costs_are_listed_by_repository() {
        let usage = Usage { requests: 3, points: 3, retries: 0, bytes: 900 };
        let site = RepoCost { repo: "site".into(), usage, events: 7, took: Duration::from_secs(2) };
        let of_site = "  site: 7 events in 2.0 s (3 requests, 3 points, 900 B)";
        assert_eq!(cost_line(&site), of_site);
        let unread = RepoCost { repo: "docs".into(), ..RepoCost::default() };
        let mut report = CollectReport { costs: vec![unread.clone(), site], ..report() };
        let shared = "  shared by all: 14 requests, 18 points, 1 retry, 2.60 MB";
        assert_eq!(cost_lines(&report), [of_site, shared]);
        report.costs = vec![unread];
        assert!(cost_lines(&report).is_empty());
    }

    #[test]
    fn a_run_stopped_at_once_reports_its_cost() {
        let usage = Usage { requests: 1, points: 0, retries: 1, bytes: 90 };
        let limited = Some(Limited { until: None, why: "Too much.\nPlease wait.".into() });
        let report = CollectReport { org: "Acme".into(), usage, limited, ..Default::default() };
        let outcome = CollectOutcome { report, is_unread: true, took: Duration::from_secs(2) };
        assert_eq!(
            summary(&outcome),
            "Acme: stopped before any repository was read (1 request, 0 points, 1 retry, 90 B) after 2.0 s"
        );
        assert_eq!(as_json(&outcome)["repos"], serde_json::Value::Null);
        assert_eq!(as_json(&outcome)["limited_why"], "Too much.\nPlease wait.");
    }
}
