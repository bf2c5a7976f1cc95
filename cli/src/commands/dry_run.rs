//! `collect --dry-run`: what would be read, and an estimate of its cost.

use gam_collect::{CollectPlan, CollectRequest, DryRunPorts, PlannedRepo, dry_run};
use gam_github::Client;
use serde_json::json;

use crate::exit::Exit;
use crate::format::count;
use crate::report::reasons_as_json;
use crate::session::CliSession;

/// Plans the collection of one organization and prints the plan.
///
/// # Errors
/// If the organization cannot be read, or the store fails.
pub(super) async fn plan_org(
    session: &CliSession,
    ports: &DryRunPorts,
    github: &Client,
    request: &CollectRequest,
) -> anyhow::Result<Exit> {
    let plan = dry_run(ports, github, request).await?;
    if session.wants_json() {
        session.console.write_result(as_json(&plan).to_string())?;
    } else {
        for repo in &plan.planned {
            session.console.write_result(repo_line(repo))?;
        }
        session.console.write_result(summary(&plan))?;
    }
    for (repo, why) in &plan.failed {
        session.console.print_error(format!("cannot read {}/{repo}: {why}", plan.org));
    }
    Ok(if plan.failed.is_empty() { Exit::Success } else { Exit::Partial })
}

fn requests(number: u64) -> String {
    count(number as usize, "request", "requests")
}

fn points(number: u64) -> String {
    count(number as usize, "point", "points")
}

fn repo_line(repo: &PlannedRepo) -> String {
    let readings = repo.tasks.iter();
    let parts: Vec<String> = readings
        .map(|it| format!("{} {}, {}", it.what.replace('_', " "), requests(it.requests), points(it.points)))
        .collect();
    format!("  {}: {}", repo.repo, parts.join("; "))
}

fn summary(plan: &CollectPlan) -> String {
    let (total_requests, total_points) = plan.total();
    format!(
        "{}: {}, {} to read. Estimated: up to {} ({} of them to look for changes) and {}. Usually less: \
         reading stops at the first requested day. Nothing was written.",
        plan.org,
        count(plan.repos, "repository", "repositories"),
        plan.planned.len(),
        requests(total_requests),
        plan.probing.requests,
        points(total_points),
    )
}

fn as_json(plan: &CollectPlan) -> serde_json::Value {
    let (requests, points) = plan.total();
    let planned = plan.planned.iter().map(|repo| {
        let readings = repo.tasks.iter();
        let readings: Vec<_> = readings
            .map(|it| json!({ "what": it.what, "requests": it.requests, "points": it.points }))
            .collect();
        json!({ "repo": repo.repo, "readings": readings })
    });
    json!({
        "org": plan.org,
        "repos": plan.repos,
        "planned": planned.collect::<Vec<_>>(),
        "failed": reasons_as_json(&plan.failed),
        "requests": requests,
        "points": points,
    })
}

#[cfg(test)]
mod tests {
    use gam_collect::TaskEstimate;
    use gam_github::Usage;

    use super::*;

    #[test]
    fn a_plan_lists_each_repository_and_the_sum() {
        let estimate = |what, requests, points| TaskEstimate { what, requests, points };
        let readings = vec![estimate("commits", 3, 6), estimate("pull_requests", 20, 60)];
        let plan = CollectPlan {
            org: "Acme".into(),
            repos: 2,
            planned: vec![PlannedRepo { repo: "site".into(), tasks: readings }],
            failed: vec![("gone".into(), "it is not there".into())],
            probing: Usage { requests: 1, points: 4, ..Usage::default() },
        };
        assert_eq!(
            repo_line(&plan.planned[0]),
            "  site: commits 3 requests, 6 points; pull requests 20 requests, 60 points"
        );
        assert_eq!(
            summary(&plan),
            "Acme: 2 repositories, 1 to read. Estimated: up to 24 requests (1 of them to look for changes) and \
             70 points. Usually less: reading stops at the first requested day. Nothing was written."
        );
        let json = as_json(&plan);
        assert_eq!(json["planned"][0]["readings"][1]["points"], 60);
        assert_eq!(json["failed"], json!([{ "repo": "gone", "why": "it is not there" }]));
    }
}
