//! `collect --dry-run`: what would be read, and about what it would cost at most.

use gam_collect::{CollectPlan, CollectRequest, DryRunPorts, PlannedRepo, dry_run};
use gam_github::Client;
use serde_json::json;

use super::Session;
use super::collect::reasons;
use crate::exit::Exit;
use crate::format::count;

/// Plans the collection of one organization, and tells the plan.
///
/// # Errors
/// Where the organization cannot be read, or the store fails.
pub(super) async fn one(
    session: &Session,
    ports: &DryRunPorts,
    github: &Client,
    request: &CollectRequest,
) -> anyhow::Result<Exit> {
    let plan = dry_run(ports, github, request).await?;
    if session.wants_json() {
        session.console.report(as_json(&plan).to_string())?;
    } else {
        for repo in &plan.planned {
            session.console.report(line(repo))?;
        }
        session.console.report(summary(&plan))?;
    }
    for (repo, why) in &plan.failed {
        session.console.error(format!("{}/{repo} cannot be read: {why}", plan.org));
    }
    Ok(if plan.failed.is_empty() { Exit::Done } else { Exit::Partial })
}

fn cost(requests: u64, points: u64) -> String {
    let requests = count(requests as usize, "request", "requests");
    format!("{requests}, {}", count(points as usize, "point", "points"))
}

fn line(repo: &PlannedRepo) -> String {
    let readings = repo.tasks.iter();
    let parts: Vec<String> = readings
        .map(|it| format!("{} {}", it.what.replace('_', " "), cost(it.requests, it.points)))
        .collect();
    format!("  {}: {}", repo.repo, parts.join("; "))
}

fn summary(plan: &CollectPlan) -> String {
    let (requests, points) = plan.total();
    format!(
        "{}: {}, {} with something to read; it takes at most about {}, of which {} to look for \
         changes: lists are counted whole, and read only back to the first day asked for; nothing was written",
        plan.org,
        count(plan.repos, "repository", "repositories"),
        plan.planned.len(),
        cost(requests, points),
        count(plan.probing.requests as usize, "request", "requests"),
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
        "failed": reasons(&plan.failed),
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
    fn a_plan_tells_each_repository_and_the_sum() {
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
            line(&plan.planned[0]),
            "  site: commits 3 requests, 6 points; pull requests 20 requests, 60 points"
        );
        assert!(summary(&plan).contains("at most about 24 requests, 70 points, of which 1 request"));
        let told = as_json(&plan);
        assert_eq!(told["planned"][0]["readings"][1]["points"], 60);
        assert_eq!(told["failed"], json!([{ "repo": "gone", "why": "it is not there" }]));
    }
}
