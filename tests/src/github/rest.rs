//! The REST API: comparisons of two tips, the token's owner, and the limits.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::objects::{thread_node_id, timestamp};
use super::world::{AccountKind, Commit, Repo, Thread, Time, WorkflowRun, World};

/// A response: status, body, and link to the next page.
pub(super) struct RestResponse {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) link: Option<String>,
}

fn response(status: u16, body: Value) -> RestResponse {
    RestResponse { status, body, link: None }
}

fn not_found() -> RestResponse {
    response(404, json!({ "message": "Not Found", "status": "404" }))
}

/// Answers a GET request below `/api/v3`. Links contain `host`.
pub(super) fn get(world: &World, now: Time, path: &str, query: &str, host: &str) -> RestResponse {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["", "user"] => response(200, json!({ "login": "reader", "id": 1, "type": "User" })),
        ["", "rate_limit"] => {
            let bucket =
                json!({ "limit": 5000, "remaining": 4990, "reset": now.timestamp() + 3600, "used": 10 });
            response(200, json!({ "resources": { "core": bucket, "graphql": bucket }, "rate": bucket }))
        }
        ["", "repos", owner, name, "compare", tips] => {
            let repo =
                world.repos.iter().find(|repo| repo.exists(now) && repo.name(now).eq_ignore_ascii_case(name));
            match (repo, tips.split_once("...")) {
                (Some(repo), Some((base, head))) if owner.eq_ignore_ascii_case(&world.org) => {
                    compare(repo, now, base, head, path, query, host)
                }
                _ => not_found(),
            }
        }
        ["", "repos", owner, name] if owner.eq_ignore_ascii_case(&world.org) => {
            let mut repos = world.repos.iter().filter(|repo| repo.exists(now));
            match repos.find(|repo| repo.name(now).eq_ignore_ascii_case(name)) {
                Some(repo) => {
                    let full_name = format!("{}/{}", world.org, repo.name(now));
                    response(200, json!({ "id": repo.id, "full_name": full_name, "has_issues": true }))
                }
                None => not_found(),
            }
        }
        ["", "repos", owner, name, "issues", rest @ ..] if owner.eq_ignore_ascii_case(&world.org) => {
            let mut repos = world.repos.iter().filter(|repo| repo.exists(now));
            match repos.find(|repo| repo.name(now).eq_ignore_ascii_case(name)) {
                Some(repo) => issues(world, repo, now, rest, query),
                None => not_found(),
            }
        }
        ["", "repos", owner, name, "actions", rest @ ..] if owner.eq_ignore_ascii_case(&world.org) => {
            let mut repos = world.repos.iter().filter(|repo| repo.exists(now));
            match repos.find(|repo| repo.name(now).eq_ignore_ascii_case(name)) {
                Some(repo) => actions(repo, now, rest, query),
                None => not_found(),
            }
        }
        _ => not_found(),
    }
}

/// Answers a request about issues: a list, one issue, or the issues that one blocks, which are none.
fn issues(world: &World, repo: &Repo, now: Time, path: &[&str], query: &str) -> RestResponse {
    let existing = repo.issues.iter().filter(|issue| issue.exists(now));
    match path {
        [] => {
            let since = query_text(query, "since")
                .map(|since| since.replace("%3A", ":").parse::<Time>().expect("a time"));
            let is_wanted = |issue: &&Thread| {
                let is_in_state = query_text(query, "state") != Some("open") || issue.closing(now).is_none();
                is_in_state && since.is_none_or(|since| issue.updated_at(now) >= since)
            };
            let mut listed: Vec<&Thread> = existing.filter(is_wanted).collect();
            listed.sort_by_key(|issue| (issue.updated_at(now), issue.number));
            let (per_page, page) =
                (query_number(query, "per_page").unwrap_or(30), query_number(query, "page").unwrap_or(1));
            let page = listed.iter().skip((page - 1) * per_page).take(per_page);
            response(200, page.map(|thread| issue(world, repo, thread, now)).collect())
        }
        [number] => {
            let mut existing = existing;
            match existing.find(|issue| issue.number.to_string() == *number) {
                Some(thread) => response(200, issue(world, repo, thread, now)),
                None => not_found(),
            }
        }
        [_, "dependencies", "blocking"] => response(200, json!([])),
        _ => not_found(),
    }
}

/// Returns an issue as REST and webhooks show it.
pub(super) fn issue(world: &World, repo: &Repo, thread: &Thread, now: Time) -> Value {
    let closed_at = thread.closing(now).map(|(when, _)| timestamp(when));
    let author = thread
        .author
        .as_ref()
        .map(|account| json!({ "login": account.login, "id": account.id, "type": "User" }));
    json!({
        "number": thread.number,
        "node_id": thread_node_id("I", repo, thread),
        "title": format!("Issue {}", thread.number),
        "body": "What is wrong",
        "state": if closed_at.is_some() { "closed" } else { "open" },
        "state_reason": closed_at.as_ref().map(|_| "completed"),
        "locked": false,
        "labels": [{ "id": 1_000 + thread.number % 3, "name": format!("area/{}", thread.number % 3) }],
        "assignees": [],
        "user": author,
        "milestone": null,
        "created_at": timestamp(thread.created_at),
        "updated_at": timestamp(thread.updated_at(now)),
        "closed_at": closed_at,
        "issue_dependencies_summary": { "blocked_by": 0, "total_blocked_by": 0, "blocking": 0, "total_blocking": 0 },
        "sub_issues_summary": { "total": 0, "completed": 0, "percent_completed": 0 },
        "repository_url": format!("https://api.github.com/repos/{}/{}", world.org, repo.name(now)),
    })
}

/// Answers a request about workflow runs: a list of those of a workflow, or an earlier attempt of one.
fn actions(repo: &Repo, now: Time, path: &[&str], query: &str) -> RestResponse {
    let started = repo.workflow_runs.iter().filter(|run| run.attempts[0].0 <= now);
    match path {
        ["workflows", workflow, "runs"] => {
            let branch = query_text(query, "branch").unwrap_or_default();
            let created = query_text(query, "created").map(|range| {
                let (first, last) = range.split_once("..").expect("a range");
                [first, last].map(|time| time.replace("%3A", ":").parse::<Time>().expect("a time"))
            });
            let is_known = repo.workflow_runs.iter().any(|run| run.workflow == *workflow);
            if !is_known {
                return not_found();
            }
            let mut runs: Vec<&WorkflowRun> = started
                .filter(|run| run.workflow == *workflow && run.branch == branch)
                .filter(|run| created.is_none_or(|[first, last]| (first..=last).contains(&run.attempts[0].0)))
                .collect();
            runs.sort_by_key(|run| std::cmp::Reverse((run.attempts[0].0, run.id)));
            // GitHub returns this many at most if it filters.
            runs.truncate(1_000);
            let (per_page, page) =
                (query_number(query, "per_page").unwrap_or(30), query_number(query, "page").unwrap_or(1));
            let page = runs.iter().skip((page - 1) * per_page).take(per_page);
            let page: Vec<Value> = page.map(|run| workflow_run(run, None, now)).collect();
            response(200, json!({ "total_count": runs.len(), "workflow_runs": page }))
        }
        ["runs", id, "attempts", attempt] => {
            let run = started.into_iter().find(|run| run.id.to_string() == *id);
            let attempt = attempt.parse::<usize>().ok();
            let exists = |run: &&WorkflowRun| attempt.is_some_and(|it| it > 0 && it <= run.attempts.len());
            match run.filter(exists) {
                Some(run) => response(200, workflow_run(run, attempt, now)),
                None => not_found(),
            }
        }
        _ => not_found(),
    }
}

/// Returns an attempt of a run, the last one if `attempt` is `None`.
fn workflow_run(run: &WorkflowRun, attempt: Option<usize>, now: Time) -> Value {
    let last = run.attempts.iter().filter(|(started, _)| *started <= now).count();
    let attempt = attempt.unwrap_or(last);
    let (started, end) = run.attempts[attempt - 1];
    let conclusion = end.filter(|(ended, _)| *ended <= now).map(|(_, conclusion)| conclusion);
    let actor = run.actor.as_ref().map(|account| {
        let (suffix, kind) = match account.kind {
            AccountKind::User => ("", "User"),
            AccountKind::Bot => ("[bot]", "Bot"),
        };
        json!({ "login": format!("{}{suffix}", account.login), "id": account.id, "type": kind })
    });
    json!({
        "id": run.id,
        "event": run.event,
        "head_branch": run.branch,
        "head_sha": format!("{:040x}", run.id),
        "status": if conclusion.is_some() { "completed" } else { "in_progress" },
        "conclusion": conclusion,
        "run_attempt": attempt,
        "created_at": timestamp(run.attempts[0].0),
        "run_started_at": timestamp(started),
        "actor": actor,
        "head_repository": { "id": run.head_repo },
    })
}

fn query_text<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn query_number(query: &str, name: &str) -> Option<usize> {
    query_text(query, name)?.parse().ok()
}

fn compare(
    repo: &Repo,
    now: Time,
    base: &str,
    head: &str,
    path: &str,
    query: &str,
    host: &str,
) -> RestResponse {
    if !repo.was_pushed(base, now) || !repo.was_pushed(head, now) {
        return not_found();
    }
    let (per_page, page) = (
        query_number(query, "per_page").unwrap_or(30).clamp(1, 100),
        query_number(query, "page").unwrap_or(1),
    );
    let (base_commits, head_commits) = (repo.ancestors(base), repo.ancestors(head));
    let difference = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| -> Vec<String> {
        a.difference(b).map(|sha| (*sha).to_owned()).collect()
    };
    let (ahead, behind) =
        (difference(&head_commits, &base_commits), difference(&base_commits, &head_commits));
    let mut commits: Vec<&Commit> = ahead.iter().map(|sha| &repo.commits[sha]).collect();
    commits.sort_by(|a, b| (a.committed_at, &a.sha).cmp(&(b.committed_at, &b.sha)));
    let page_commits = commits.iter().skip((page - 1) * per_page).take(per_page);
    let body = json!({
        "status": if behind.is_empty() { "ahead" } else { "diverged" },
        "ahead_by": ahead.len(),
        "behind_by": behind.len(),
        "total_commits": ahead.len(),
        "commits": page_commits.map(|commit| comparison_commit(commit)).collect::<Vec<_>>(),
    });
    let link = (page * per_page < commits.len())
        .then(|| format!("<http://{host}/api/v3{path}?per_page={per_page}&page={}>; rel=\"next\"", page + 1));
    RestResponse { status: 200, body, link }
}

fn comparison_commit(commit: &Commit) -> Value {
    let author = commit.author.account.as_ref().map(|account| match account.kind {
        AccountKind::User => json!({ "login": account.login, "id": account.id, "type": "User" }),
        AccountKind::Bot => {
            json!({ "login": format!("{}[bot]", account.login), "id": account.id, "type": "Bot" })
        }
    });
    let signature = json!({
        "name": commit.author.name, "email": commit.author.email, "date": timestamp(commit.committed_at),
    });
    json!({
        "sha": commit.sha,
        "commit": { "author": signature, "committer": signature },
        "author": author,
        "parents": commit.parents.iter().map(|sha| json!({ "sha": sha })).collect::<Vec<_>>(),
    })
}
