//! `collect --reconcile`, and once a day `up`: what was collected against what GitHub shows now.

use gam_collect::reconcile::{ReconcileReport, reconcile};
use gam_github::Client;
use serde_json::json;

use super::collect::{GoesOn, reasons, spent, stopped};
use super::{Session, aggregate};
use crate::exit::Exit;
use crate::format::count;
use crate::open::OpenData;
use crate::progress::RunProgress;

/// Works the inbox off, holds the snapshots against GitHub, and works off what repairs them.
///
/// # Errors
/// Where the organization cannot be read, or the lake or the store fails.
pub(super) async fn one(
    session: &Session,
    data: &OpenData,
    github: &Client,
    org: &str,
    goes_on: GoesOn,
) -> anyhow::Result<Exit> {
    aggregate::quietly(session, data, org).await?;
    let progress = RunProgress::new(&session.console, org);
    let report = reconcile(&data.collect_ports(), github, org, &progress).await?;
    drop(progress);
    if report.events > 0 {
        aggregate::quietly(session, data, org).await?;
    }
    if session.wants_json() {
        session.console.report(as_json(&report).to_string())?;
    } else {
        for found in &report.differences {
            let entries = count(found.entries, "entry", "entries");
            session.console.note(format!(
                "  {}: {} repaired, {entries}",
                found.repo,
                found.what.replace('_', " ")
            ));
        }
        session.console.summary(summary(&report))?;
    }
    for (repo, why) in &report.failed {
        session.console.error(format!("{}/{repo} could not be compared: {why}", report.org));
    }
    if let Some(limited) = &report.limited {
        session.console.error(stopped(&report.org, limited, data.clock().now(), goes_on));
        return Ok(Exit::Limited);
    }
    Ok(if report.failed.is_empty() { Exit::Done } else { Exit::Partial })
}

fn summary(report: &ReconcileReport) -> String {
    let found = match report.differences.iter().map(|found| found.entries).sum::<usize>() {
        0 => "nothing differs from GitHub".to_owned(),
        differing => format!(
            "{} differed from GitHub and {} repaired",
            count(differing, "entry", "entries"),
            if differing == 1 { "is" } else { "are" }
        ),
    };
    format!(
        "{}: {} compared, {found}, {}",
        report.org,
        count(report.repos, "repository", "repositories"),
        spent(&report.usage)
    )
}

fn as_json(report: &ReconcileReport) -> serde_json::Value {
    let differences = report.differences.iter();
    let differences: Vec<_> =
        differences.map(|it| json!({ "repo": it.repo, "what": it.what, "entries": it.entries })).collect();
    json!({
        "org": report.org,
        "compared": report.repos,
        "differences": differences,
        "events": report.events,
        "requests": report.usage.requests,
        "points": report.usage.points,
        "failed": reasons(&report.failed),
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
    fn what_differed_is_told() {
        let usage = Usage { requests: 2, points: 2, retries: 0, bytes: 10 };
        let mut report =
            ReconcileReport { org: "Acme".into(), repos: 4, usage, ..ReconcileReport::default() };
        assert_eq!(
            summary(&report),
            "Acme: 4 repositories compared, nothing differs from GitHub, 2 requests, 2 points, 10 B"
        );
        report.differences.push(Difference { repo: "site".into(), what: "issues", entries: 1 });
        assert!(summary(&report).contains("1 entry differed from GitHub and is repaired"));
        report.failed.push(("api".into(), "GitHub does not answer".into()));
        let told = as_json(&report);
        assert_eq!(told["differences"][0]["entries"], 1);
        assert_eq!(told["failed"][0]["repo"], "api");
    }
}
