//! `collect --reconcile`, and `up` once a day: compares the snapshots with GitHub and repairs differences.

use chrono::{DateTime, Utc};
use gam_collect::reconcile::{ReconcileReport, ReconcileRequest};
use gam_github::Client;
use serde_json::json;

use super::aggregate;
use crate::exit::Exit;
use crate::format::count;
use crate::open::OpenData;
use crate::progress::RunProgress;
use crate::report::{Continuation, limit_message, reasons_as_json, total_cost};
use crate::session::CliSession;

/// Processes the inbox, compares the snapshots with GitHub, and processes the repairs.
///
/// # Errors
/// If the organization cannot be read, or the lake or the store fails.
pub(super) async fn reconcile(
    session: &CliSession,
    data: &OpenData,
    github: &Client,
    org: &str,
    continuation: Continuation,
) -> anyhow::Result<ReconcileReport> {
    aggregate::aggregate_org(session, data, org).await?;
    let progress = RunProgress::new(&session.console, org);
    // A person who asks for a comparison gets a complete one. The daily one of `up` spreads it over a week.
    let lists_everything = matches!(continuation, Continuation::RunAgain);
    let request = ReconcileRequest { org: org.to_owned(), lists_everything, stop_at: None };
    let report =
        gam_collect::reconcile::reconcile(&data.collect_ports(), github, &request, &progress).await?;
    drop(progress);
    if report.events > 0 {
        aggregate::aggregate_org(session, data, org).await?;
    }
    Ok(report)
}

/// Prints what was repaired.
///
/// # Errors
/// If stdout cannot be written.
pub(super) fn print_summary(session: &CliSession, report: &ReconcileReport) -> anyhow::Result<()> {
    let console = &session.console;
    for difference in &report.differences {
        let entries = count(difference.entries, "entry", "entries");
        let what = difference.what.replace('_', " ");
        console.print_info(format!("  {}: {what} repaired, {entries}", difference.repo));
    }
    console.write_summary(summary(report))
}

/// Prints what could not be compared. Returns the exit status that follows.
pub(super) fn print_problems(
    session: &CliSession,
    report: &ReconcileReport,
    now: DateTime<Utc>,
    continuation: Continuation,
) -> Exit {
    let console = &session.console;
    for (repo, why) in &report.failed {
        console.print_error(format!("cannot compare {}/{repo}: {why}", report.org));
    }
    if let Some(limited) = &report.limited {
        console.print_error(limit_message(&report.org, limited, now, continuation));
        return Exit::Limited;
    }
    if report.failed.is_empty() { Exit::Success } else { Exit::Partial }
}

fn summary(report: &ReconcileReport) -> String {
    let result = match report.differences.iter().map(|difference| difference.entries).sum::<usize>() {
        0 => "nothing differs from GitHub".to_owned(),
        entries => format!("repaired {} that differed from GitHub", count(entries, "entry", "entries")),
    };
    let partly = if report.listed < report.repos {
        format!("; reviews and deployments of {} of them", report.listed)
    } else {
        String::new()
    };
    format!(
        "{}: {} compared{partly}, {result} ({})",
        report.org,
        count(report.repos, "repository", "repositories"),
        total_cost(&report.usage)
    )
}

/// Returns the report as JSON.
pub(super) fn as_json(report: &ReconcileReport) -> serde_json::Value {
    let differences = report.differences.iter();
    let differences: Vec<_> =
        differences.map(|it| json!({ "repo": it.repo, "what": it.what, "entries": it.entries })).collect();
    json!({
        "org": report.org,
        "compared": report.repos,
        "compared_completely": report.listed,
        "differences": differences,
        "events": report.events,
        "requests": report.usage.requests,
        "points": report.usage.points,
        "failed": reasons_as_json(&report.failed),
        "limited": report.limited.is_some(),
        "limited_until": report.limited.as_ref().map(|limited| limited.until),
        "limited_why": report.limited.as_ref().map(|limited| &limited.why),
    })
}

#[cfg(test)]
mod tests {
    use gam_collect::reconcile::Difference;
    use gam_github::Usage;

    use super::*;

    #[test]
    fn a_summary_counts_the_differences() {
        let usage = Usage { requests: 2, points: 2, retries: 0, bytes: 10 };
        let mut report =
            ReconcileReport { org: "Acme".into(), repos: 4, listed: 4, usage, ..ReconcileReport::default() };
        assert_eq!(
            summary(&report),
            "Acme: 4 repositories compared, nothing differs from GitHub (2 requests, 2 points, 10 B)"
        );
        report.listed = 1;
        assert!(
            summary(&report)
                .contains("4 repositories compared; reviews and deployments of 1 of them, nothing")
        );
        report.differences.push(Difference { repo: "site".into(), what: "issues", entries: 1 });
        assert!(summary(&report).contains("repaired 1 entry that differed from GitHub"));
        report.failed.push(("api".into(), "GitHub does not answer".into()));
        let json = as_json(&report);
        assert_eq!(json["differences"][0]["entries"], 1);
        assert_eq!(json["failed"][0]["repo"], "api");
    }
}
