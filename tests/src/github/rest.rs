//! The REST API: the comparison of two tips, the token's owner and the limits.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::objects::timestamp;
use super::world::{AccountKind, Commit, Repo, Time, World};

/// An answer: the status, the body, and the link to the next page.
pub(super) struct RestResponse {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) link: Option<String>,
}

fn answer(status: u16, body: Value) -> RestResponse {
    RestResponse { status, body, link: None }
}

fn not_found() -> RestResponse {
    answer(404, json!({ "message": "Not Found", "status": "404" }))
}

/// Answers a GET below `/api/v3`; `host` is what the links name.
pub(super) fn get(world: &World, now: Time, path: &str, query: &str, host: &str) -> RestResponse {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["", "user"] => answer(200, json!({ "login": "reader", "id": 1, "type": "User" })),
        ["", "rate_limit"] => {
            let bucket =
                json!({ "limit": 5000, "remaining": 4990, "reset": now.timestamp() + 3600, "used": 10 });
            answer(200, json!({ "resources": { "core": bucket, "graphql": bucket }, "rate": bucket }))
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

fn number(query: &str, name: &str) -> Option<usize> {
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
    let (per_page, page) =
        (number(query, "per_page").unwrap_or(30).clamp(1, 100), number(query, "page").unwrap_or(1));
    let (of_base, of_head) = (repo.ancestors(base), repo.ancestors(head));
    let less = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| -> Vec<String> {
        a.difference(b).map(|sha| (*sha).to_owned()).collect()
    };
    let (ahead, behind) = (less(&of_head, &of_base), less(&of_base, &of_head));
    let mut commits: Vec<&Commit> = ahead.iter().map(|sha| &repo.commits[sha]).collect();
    commits.sort_by(|a, b| (a.committed_at, &a.sha).cmp(&(b.committed_at, &b.sha)));
    let shown = commits.iter().skip((page - 1) * per_page).take(per_page);
    let body = json!({
        "status": if behind.is_empty() { "ahead" } else { "diverged" },
        "ahead_by": ahead.len(),
        "behind_by": behind.len(),
        "total_commits": ahead.len(),
        "commits": shown.map(|commit| compared(commit)).collect::<Vec<_>>(),
    });
    let link = (page * per_page < commits.len())
        .then(|| format!("<http://{host}/api/v3{path}?per_page={per_page}&page={}>; rel=\"next\"", page + 1));
    RestResponse { status: 200, body, link }
}

fn compared(commit: &Commit) -> Value {
    let author = commit.author.account.as_ref().map(|account| match account.sort {
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
