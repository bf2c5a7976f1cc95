//! The REST API: comparisons of two tips, the token's owner, and the limits.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::objects::timestamp;
use super::world::{AccountKind, Commit, Repo, Time, World};

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
        _ => not_found(),
    }
}

fn query_number(query: &str, name: &str) -> Option<usize> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1.parse().ok()
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
