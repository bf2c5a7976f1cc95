//! GraphQL objects of the world at a time.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::lists::{ConnectionEntry, connection, requested_page_size};
use super::world::{
    Account, AccountKind, Actor, Commit, Deployment, PullRequest, Release, Repo, Signature, Thread, Time,
};

/// GitHub's message if a token cannot read something.
pub(super) const NOT_ACCESSIBLE: &str = "Resource not accessible by personal access token";

/// Formats a time as GitHub does.
pub(super) fn timestamp(when: Time) -> String {
    when.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(super) fn repo_node_id(repo: &Repo) -> String {
    format!("R_{}", repo.id)
}

pub(super) fn deployment_node_id(deployment: &Deployment) -> String {
    format!("DE_{}", deployment.id)
}

pub(super) fn release_node_id(release: &Release) -> String {
    format!("RE_{}", release.id)
}

fn actor_object(actor: &Actor) -> Value {
    actor.as_ref().map_or(Value::Null, |Account { login, id, kind }| {
        let typename = match kind {
            AccountKind::User => "User",
            AccountKind::Bot => "Bot",
        };
        json!({ "__typename": typename, "login": login, "databaseId": id })
    })
}

/// The author of a commit. Only people's accounts are users.
fn signature(author: &Signature) -> Value {
    let user = author.account.as_ref().filter(|account| account.kind == AccountKind::User);
    let user = user.map(|account| json!({ "login": account.login, "databaseId": account.id }));
    json!({ "name": author.name, "email": author.email, "user": user })
}

/// A commit, with line counts if they are requested.
pub(super) fn commit(commit: &Commit, with_lines: bool, now: Time) -> Value {
    let authors: Vec<Value> =
        std::iter::once(&commit.author).chain(&commit.co_authors).map(signature).collect();
    let mut node = json!({
        "oid": commit.sha,
        "committedDate": timestamp(commit.committed_at),
        "parents": { "totalCount": commit.parents.len() },
        "author": signature(&commit.author),
        "authors": { "nodes": authors },
    });
    if with_lines {
        let [additions, deletions, files] = commit.line_counts(now).unwrap_or_default();
        node["additions"] = additions.into();
        node["deletions"] = deletions.into();
        node["changedFilesIfAvailable"] = files.into();
    }
    node
}

/// A page of the closings in a thread's timeline.
pub(super) fn closings(
    thread: &Thread,
    now: Time,
    first: usize,
    after: Option<&str>,
) -> Result<Value, String> {
    let events = thread.closed_events(now).into_iter().enumerate();
    let entries: Vec<ConnectionEntry> = events
        .map(|(index, when)| ConnectionEntry {
            sort_key: (index as i64, 0),
            node: json!({ "createdAt": timestamp(when) }),
        })
        .collect();
    connection(&entries, first, after, false)
}

/// A page of a pull request's reviews.
pub(super) fn reviews(
    pull: &PullRequest,
    now: Time,
    first: usize,
    after: Option<&str>,
) -> Result<Value, String> {
    let started = pull.reviews.iter().filter(|review| review.started_at <= now).enumerate();
    let entries: Vec<ConnectionEntry> = started
        .map(|(index, review)| ConnectionEntry {
            sort_key: (index as i64, 0),
            node: json!({
                "fullDatabaseId": review.id.to_string(),
                "state": review.state(now),
                "submittedAt": review.submitted(now).map(timestamp),
                "updatedAt": timestamp(review.updated_at(now)),
                "author": actor_object(&review.author),
            }),
        })
        .collect();
    connection(&entries, first, after, false)
}

/// The node id of a pull request or an issue.
pub(super) fn thread_node_id(kind: &str, repo: &Repo, thread: &Thread) -> String {
    format!("{kind}_{}_{}", repo.id, thread.number)
}

/// The state of a pull request or an issue.
pub(super) fn state(thread: &Thread, now: Time) -> &'static str {
    if thread.merged_at(now).is_some() {
        "MERGED"
    } else if thread.closing(now).is_some() {
        "CLOSED"
    } else {
        "OPEN"
    }
}

fn thread_object(thread: &Thread, now: Time, updated_at: Time) -> Value {
    let closed_at = thread.closing(now).map(|(when, _)| when);
    json!({
        "number": thread.number,
        "state": state(thread, now),
        "createdAt": timestamp(thread.created_at),
        "updatedAt": timestamp(updated_at),
        "closedAt": closed_at.map(timestamp),
        "author": actor_object(&thread.author),
        "labels": { "nodes": [{ "name": format!("area/{}", thread.number % 3) }] },
    })
}

fn required_page_size(document: &str, field: &str) -> Result<usize, String> {
    requested_page_size(document, field)
        .ok_or_else(|| format!("You must provide a `first` on the `{field}` connection."))
}

/// The name of a pull request's branch.
fn head_ref(thread: &Thread) -> String {
    format!("branch-{}", thread.number)
}

/// The repository of a pull request's branch. The forks of some are deleted.
fn head_repository(repo: &Repo, thread: &Thread) -> Value {
    match thread.number % 5 {
        0 => Value::Null,
        1 => json!({ "databaseId": repo.id + 1_000_000 }),
        _ => json!({ "databaseId": repo.id }),
    }
}

/// The commit that merged a pull request, or that tests whether it can be merged.
fn merge_commit(repo: &Repo, thread: &Thread, now: Time) -> Value {
    let is_test = thread.merged_at(now).is_none();
    if is_test && thread.number % 2 == 0 {
        return Value::Null;
    }
    json!({ "oid": format!("{:032x}{:06x}{:02x}", repo.id, thread.number, u8::from(is_test)) })
}

/// A pull request with the first page of its reviews and closings.
pub(super) fn pull(repo: &Repo, pull: &PullRequest, document: &str, now: Time) -> Result<Value, String> {
    let mut node = thread_object(&pull.thread, now, pull.updated_at(now));
    node["id"] = thread_node_id("PR", repo, &pull.thread).into();
    node["isDraft"] = pull.is_draft.into();
    node["headRefName"] = head_ref(&pull.thread).into();
    node["headRepository"] = head_repository(repo, &pull.thread);
    node["mergeCommit"] = merge_commit(repo, &pull.thread, now);
    node["mergedAt"] = json!(pull.thread.merged_at(now).map(timestamp));
    node["reviews"] = reviews(pull, now, required_page_size(document, "reviews")?, None)?;
    node["timelineItems"] =
        closings(&pull.thread, now, required_page_size(document, "timelineItems")?, None)?;
    Ok(node)
}

/// An issue with the first page of its closings.
pub(super) fn issue(repo: &Repo, issue: &Thread, document: &str, now: Time) -> Result<Value, String> {
    let mut node = thread_object(issue, now, issue.updated_at(now));
    node["id"] = thread_node_id("I", repo, issue).into();
    node["timelineItems"] = closings(issue, now, required_page_size(document, "timelineItems")?, None)?;
    Ok(node)
}

/// A release.
pub(super) fn release(release: &Release, now: Time) -> Value {
    json!({
        "id": release_node_id(release),
        "databaseId": release.id,
        "tagName": release.tag,
        "isDraft": release.is_draft(now),
        "createdAt": timestamp(release.created_at),
        "publishedAt": release.published_at(now).map(timestamp),
        "updatedAt": timestamp(release.updated_at(now)),
        "author": actor_object(&release.author),
    })
}

/// A page of a deployment's statuses, newest first.
pub(super) fn statuses(
    deployment: &Deployment,
    now: Time,
    first: usize,
    after: Option<&str>,
) -> Result<Value, String> {
    let visible = deployment.statuses.iter().enumerate().filter(|(_, (when, _))| *when <= now);
    let entries: Vec<ConnectionEntry> = visible
        .rev()
        .map(|(index, (when, state))| ConnectionEntry {
            sort_key: (index as i64, 0),
            node: json!({ "state": state, "createdAt": timestamp(*when) }),
        })
        .collect();
    connection(&entries, first, after, true)
}

/// A deployment with the first page of its statuses.
pub(super) fn deployment(deployment: &Deployment, document: &str, now: Time) -> Result<Value, String> {
    Ok(json!({
        "id": deployment_node_id(deployment),
        "databaseId": deployment.id,
        "environment": deployment.environment,
        "commitOid": format!("{:040x}", deployment.id),
        "createdAt": timestamp(deployment.created_at),
        "creator": actor_object(&deployment.creator),
        "statuses": statuses(deployment, now, required_page_size(document, "statuses")?, None)?,
    }))
}
