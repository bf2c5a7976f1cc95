//! `collect`: GitHub to inbox batches.

use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use gam_collect::{CollectError, CollectReport, CollectRequest, Limited, RepoCost, collect};
use gam_github::{Client, Usage};
use gam_lake::inbox;
use gam_model::Clock;
use serde_json::json;

use super::{Session, dry_run, reconcile};
use crate::args;
use crate::exit::{Exit, sentence, status};
use crate::format::{bytes, count, moment_from, span};
use crate::open::{self, OpenData};
use crate::progress::RunProgress;
use crate::signals;

const EXAMPLES: &str = "\
Examples:
  github-metrics collect acme         what is new; at first, the last 90 days
  github-metrics collect acme --since 2025-01-01    and what is missing since
  github-metrics collect acme other --repo site --repo api
  github-metrics collect acme --reconcile  then compare all with GitHub, and repair
  github-metrics collect acme --dry-run    what would be read, and what it would cost
  github-metrics collect acme --max-wait 0s    stop at GitHub's limits (exit 75)
  github-metrics collect acme --budget 60%     leave some of them to others (exit 75 past it)";

const STOPPED: &str = "stopped; what was read is saved, run again to go on";

/// Arguments of `collect`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Collect {
    /// The organizations
    #[arg(value_name = "ORG", required = true, value_parser = args::org)]
    orgs: Vec<String>,
    /// The first day, UTC [default: 90 days back at first, what is new later]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = args::day)]
    since: Option<NaiveDate>,
    /// The day after the last, UTC [default: all up to now]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = args::day)]
    until: Option<NaiveDate>,
    /// Only this repository; may be given more than once
    #[arg(long = "repo", value_name = "REPO", value_parser = args::repo)]
    repos: Vec<String>,
    /// Afterwards compare everything with GitHub's counts and states, and repair what differs
    #[arg(long, conflicts_with_all = ["dry_run", "repos"])]
    reconcile: bool,
    /// Tell what would be read and about what it would cost, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    limits: args::Limits,
}

/// Collects every organization that was named.
pub(super) async fn run(session: &Session, args: Collect) -> anyhow::Result<Exit> {
    gam_collect::check_days(args.since, args.until, gam_model::SystemClock.now().date_naive())?;
    let github = session.settings.github(&args.limits)?;
    if args.dry_run {
        let (ports, store) = open::dry_run(&session.settings).await?;
        let planned = each_org(session, &github, &args, async |request| {
            dry_run::one(session, &ports, &github, request).await
        });
        let done = signals::unless_stopped(&session.console, STOPPED, planned).await;
        if let Some(store) = store {
            store.close().await;
        }
        return done;
    }
    let data = OpenData::open(&session.settings).await?;
    let done = signals::unless_stopped(&session.console, STOPPED, all(session, &data, &github, &args)).await;
    data.close().await;
    done
}

/// Collects each organization, and compares it with GitHub if that is requested.
async fn all(session: &Session, data: &OpenData, github: &Client, args: &Collect) -> anyhow::Result<Exit> {
    let done = each_org(session, github, args, async |request| {
        match one(session, data, github, request).await {
            // What could be read is compared, whatever could not.
            Ok(exit @ (Exit::Done | Exit::Partial)) if args.reconcile => {
                let compared =
                    reconcile::one(session, data, github, &request.org, GoesOn::WhenRunAgain).await?;
                Ok(Exit::of_all(&[exit, compared]))
            }
            done => done,
        }
    })
    .await?;
    tell_uncounted(session, data, &distinct(&args.orgs)).await;
    Ok(done)
}

/// Runs `work` for one organization after another. One that fails does not stop the others.
async fn each_org(
    session: &Session,
    github: &Client,
    args: &Collect,
    work: impl AsyncFn(&CollectRequest) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    let orgs = distinct(&args.orgs);
    let mut parts = Vec::new();
    for (at, org) in orgs.iter().enumerate() {
        let request = CollectRequest {
            org: org.to_string(),
            since: args.since,
            until: args.until,
            repos: args.repos.clone(),
            parallelism: args.limits.parallelism(),
        };
        let part = match work(&request).await {
            Ok(exit) => exit,
            Err(error) if orgs.len() > 1 => {
                session.console.error(format!("{org}: {}", sentence(&error)));
                status(&error)
            }
            Err(error) => return Err(error),
        };
        parts.push(part);
        if part == Exit::Limited && at + 1 < orgs.len() && !github.is_app() {
            session.console.error(format!("not begun for the same limits: {}", orgs[at + 1..].join(", ")));
            break;
        }
    }
    Ok(Exit::of_all(&parts))
}

/// Says what is left to do: what waits in the inbox shows nowhere yet.
async fn tell_uncounted(session: &Session, data: &OpenData, orgs: &[&str]) {
    let flag = session.settings.data_dir_flag();
    for org in orgs {
        // Where the inbox cannot be listed, aggregating tells why.
        if inbox::list(&*data.objects, org).await.is_ok_and(|batches| !batches.is_empty()) {
            session.console.note(format!(
                "{org}: not counted yet: run `github-metrics aggregate{flag}` (or `github-metrics up \
                 {org}{flag}`, which does both)"
            ));
        }
    }
}

/// The names, each once whatever its case.
pub(super) fn distinct(names: &[String]) -> Vec<&str> {
    let mut kept: Vec<&str> = Vec::new();
    for name in names {
        if !kept.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            kept.push(name);
        }
    }
    kept
}

async fn one(
    session: &Session,
    data: &OpenData,
    github: &Client,
    request: &CollectRequest,
) -> anyhow::Result<Exit> {
    let collected = fetch(session, data, github, request).await?;
    if session.wants_json() {
        session.console.report(as_json(&collected).to_string())?;
    } else {
        for line in cost_lines(&collected.report) {
            session.console.note(line);
        }
        session.console.summary(summary(&collected))?;
    }
    Ok(tell_troubles(session, &collected, data.clock().now(), GoesOn::WhenRunAgain))
}

/// What came of a collection.
#[derive(Default)]
pub(super) struct Collected {
    report: CollectReport,
    took: Duration,
    /// Whether the limits stopped it before any repository was read.
    is_unread: bool,
}

/// Collects one organization. A limit that stopped it at once is a report of what that cost.
///
/// # Errors
/// Where the organization cannot be read, or the lake or the store fails.
pub(super) async fn fetch(
    session: &Session,
    data: &OpenData,
    github: &Client,
    request: &CollectRequest,
) -> anyhow::Result<Collected> {
    let (begun, github) = (Instant::now(), github.metered());
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
        other => (other?, false),
    };
    Ok(Collected { report, took: begun.elapsed(), is_unread })
}

/// What was done, in short.
pub(super) fn summary(collected: &Collected) -> String {
    let Collected { report, took, .. } = collected;
    if collected.is_unread {
        let spent = spent(&report.usage);
        return format!("{}: stopped before any repository was read, {spent}, {}", report.org, span(*took));
    }
    format!(
        "{}: {}, {} in {}, {}, {}",
        report.org,
        count(report.repos, "repository", "repositories"),
        count(report.events, "event", "events"),
        count(report.batches, "batch", "batches"),
        spent(&report.usage),
        span(*took)
    )
}

/// What calls have cost.
pub(super) fn spent(usage: &Usage) -> String {
    let mut text = format!(
        "{}, {}",
        count(usage.requests as usize, "request", "requests"),
        count(usage.points as usize, "point", "points")
    );
    if usage.retries > 0 {
        text.push_str(&format!(", {}", count(usage.retries as usize, "retry", "retries")));
    }
    format!("{text}, {}", bytes(usage.bytes))
}

/// What reading each repository cost, and what was asked of all of them together.
fn cost_lines(report: &CollectReport) -> Vec<String> {
    let read = report.costs.iter().filter(|cost| cost.usage.requests > 0 || cost.events > 0);
    let mut lines: Vec<String> = read.map(cost_line).collect();
    let shared = shared(report);
    if shared.requests > 0 && !lines.is_empty() {
        lines.push(format!("  shared by all: {}", spent(&shared)));
    }
    lines
}

/// What belongs to no repository alone.
fn shared(report: &CollectReport) -> Usage {
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

/// What reading one repository cost.
fn cost_line(cost: &RepoCost) -> String {
    format!(
        "  {}: {}, {}, {}",
        cost.repo,
        count(cost.events, "event", "events"),
        spent(&cost.usage),
        span(cost.took)
    )
}

/// Names what could not be read.
pub(super) fn tell_troubles(
    session: &Session,
    collected: &Collected,
    now: DateTime<Utc>,
    goes_on: GoesOn,
) -> Exit {
    let report = &collected.report;
    for (why, repos) in by_reason(&report.failed) {
        session.console.error(match repos.as_slice() {
            [repo] => format!("{}/{repo} failed, what was read is saved: {why}", report.org),
            repos => format!(
                "{} of {} failed, what was read is saved: {why}: {}",
                count(repos.len(), "repository", "repositories"),
                report.org,
                repos.join(", ")
            ),
        });
    }
    for (repo, why) in &report.blocked {
        session
            .console
            .note(format!("{}/{repo} is blocked, what was collected of it stays: {why}", report.org));
    }
    for repo in &report.gone {
        session.console.note(format!(
            "{}/{repo} is not shown by GitHub any more: what was collected of it stays",
            report.org
        ));
    }
    if let Some(limited) = &report.limited {
        session.console.error(stopped(&report.org, limited, now, goes_on));
        return Exit::Limited;
    }
    if report.failed.is_empty() { Exit::Done } else { Exit::Partial }
}

/// The repositories of each reason, in the order in which they are told.
fn by_reason(failed: &[(String, String)]) -> Vec<(&str, Vec<&str>)> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for (repo, why) in failed {
        match reasons.iter_mut().find(|(known, _)| known == why) {
            Some((_, repos)) => repos.push(repo),
            None => reasons.push((why, vec![repo])),
        }
    }
    reasons
}

/// How a run goes on that the limits have stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GoesOn {
    /// When somebody runs it again.
    WhenRunAgain,
    /// By itself, with a later round.
    ByItself,
}

/// That the limits stopped it, why, and when and how it goes on.
pub(super) fn stopped(org: &str, limited: &Limited, now: DateTime<Utc>, goes_on: GoesOn) -> String {
    // GitHub's words may be several sentences, on several lines.
    let words: Vec<&str> = limited.why.split_whitespace().collect();
    let why = match words.join(" ").trim_end_matches('.') {
        "" => String::new(),
        why => format!(" ({why})"),
    };
    let reset = limited.until.map(|until| format!("they are reset at {}", moment_from(now, until)));
    let mend = match (reset, goes_on) {
        (Some(reset), GoesOn::WhenRunAgain) => format!("{reset}, run again then"),
        (Some(reset), GoesOn::ByItself) => format!("{reset}, the first round after that goes on by itself"),
        (None, GoesOn::WhenRunAgain) => "run again in some minutes".to_owned(),
        (None, GoesOn::ByItself) => "the next round goes on by itself".to_owned(),
    };
    format!("{org}: stopped for GitHub's limits{why}, progress is saved: {mend}")
}

/// Repositories, each with a reason.
pub(super) fn reasons(repos: &[(String, String)]) -> Vec<serde_json::Value> {
    repos.iter().map(|(repo, why)| json!({"repo": repo, "why": why})).collect()
}

fn as_json(collected: &Collected) -> serde_json::Value {
    let report = &collected.report;
    json!({
        "org": report.org,
        // How many there are was perhaps not found out.
        "repos": (!collected.is_unread).then_some(report.repos),
        "events": report.events,
        "batches": report.batches,
        "requests": report.requests,
        "points": report.usage.points,
        "retries": report.usage.retries,
        "bytes": report.usage.bytes,
        "repositories": report.costs.iter().map(cost_as_json).collect::<Vec<_>>(),
        "gone": report.gone,
        "blocked": reasons(&report.blocked),
        "failed": reasons(&report.failed),
        "limited": report.limited.is_some(),
        "limited_until": report.limited.as_ref().map(|limited| limited.until),
        "limited_why": report.limited.as_ref().map(|limited| &limited.why),
        "seconds": collected.took.as_secs_f64(),
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
    fn an_organization_is_collected_once() {
        let names = ["acme", "ACME", "other"].map(str::to_owned);
        assert_eq!(distinct(&names), ["acme", "other"]);
    }

    #[test]
    fn a_summary_counts_everything() {
        let report = CollectReport {
            org: "Acme".into(),
            repos: 1,
            events: 1234,
            batches: 2,
            requests: 17,
            usage: Usage { requests: 17, points: 21, retries: 1, bytes: 2_600_000 },
            ..CollectReport::default()
        };
        let collected = Collected { report, took: Duration::from_secs(65), ..Collected::default() };
        let text = summary(&collected);
        assert_eq!(
            text,
            "Acme: 1 repository, 1,234 events in 2 batches, 17 requests, 21 points, 1 retry, 2.6 MB, 1m 5s"
        );
        let usage = Usage { requests: 3, points: 3, retries: 0, bytes: 900 };
        let cost = RepoCost { repo: "site".into(), usage, events: 7, took: Duration::from_secs(2) };
        assert_eq!(cost_line(&cost), "  site: 7 events, 3 requests, 3 points, 900 B, 2s");
        let mut report = collected.report;
        let unasked = RepoCost { repo: "docs".into(), ..RepoCost::default() };
        report.costs = vec![unasked.clone(), cost];
        let shared = "  shared by all: 14 requests, 18 points, 1 retry, 2.6 MB";
        assert_eq!(cost_lines(&report), ["  site: 7 events, 3 requests, 3 points, 900 B, 2s", shared]);
        report.costs = vec![unasked];
        assert!(cost_lines(&report).is_empty());
    }

    #[test]
    fn what_the_limits_stopped_is_told_with_the_reason() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let usage = Usage { requests: 1, points: 0, retries: 1, bytes: 90 };
        let until = Some(now + chrono::TimeDelta::minutes(5));
        let limited = |why: &str| Limited { until, why: why.into() };
        let report = CollectReport { org: "Acme".into(), usage, ..Default::default() };
        let mut collected = Collected { report, is_unread: true, took: Duration::from_secs(2) };
        assert_eq!(
            summary(&collected),
            "Acme: stopped before any repository was read, 1 request, 0 points, 1 retry, 90 B, 2s"
        );
        assert_eq!(as_json(&collected)["repos"], serde_json::Value::Null);
        let end = ", progress is saved: they are reset at 2023-11-14 22:18:20 UTC (in 5m), run again then";
        let told = |why: &str| stopped("Acme", &limited(why), now, GoesOn::WhenRunAgain);
        assert_eq!(told(""), format!("Acme: stopped for GitHub's limits{end}"));
        collected.report.limited = Some(limited("Too much.\nPlease wait."));
        let with_why = format!("Acme: stopped for GitHub's limits (Too much. Please wait){end}");
        assert_eq!(told("Too much.\nPlease wait."), with_why);
        let round = stopped("Acme", &limited(""), now, GoesOn::ByItself);
        assert!(round.ends_with("(in 5m), the first round after that goes on by itself"), "{round}");
        assert!(!round.contains("run again"), "{round}");
        assert_eq!(as_json(&collected)["limited_why"], "Too much.\nPlease wait.");
    }
}
