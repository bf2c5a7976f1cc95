//! From the payload of a webhook's delivery to an order.

use chrono::{DateTime, Utc};
use gam_model::issue::{IssueDetails, IssueLabel, IssueUser, RestIssue, ThreadRef};
use serde::Deserialize;
use serde_json::Value;

use crate::issue::{Tombstone, content_hash};
use crate::order::{ContentEdit, Effect, LabelSet, OrderRepo, WebhookOrder};

/// Longest GUID of a delivery, in bytes. GitHub's have 36.
const MAX_GUID_BYTES: usize = 100;

/// What a delivery is.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// It asks for something.
    Order(Box<WebhookOrder>),
    /// It asks for nothing. The text says why.
    Ignored(&'static str),
}

/// Why a delivery cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The GUID is missing or invalid.
    #[error("invalid X-GitHub-Delivery: expected the GUID of the delivery")]
    Guid,
    /// The body is not the JSON of a webhook.
    #[error("the body is not a webhook's JSON: {0}")]
    Body(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct Payload {
    action: Option<String>,
    repository: Option<PayloadRepo>,
    organization: Option<PayloadAccount>,
    installation: Option<PayloadInstallation>,
    sender: Option<IssueUser>,
    issue: Option<Value>,
    label: Option<IssueLabel>,
    #[serde(default)]
    changes: Value,
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    pull_request: Option<Numbered>,
    blocked_issue: Option<Numbered>,
    parent_issue: Option<Numbered>,
}

#[derive(Deserialize)]
struct PayloadRepo {
    id: i64,
    #[serde(default)]
    node_id: String,
    name: String,
    owner: Option<PayloadAccount>,
    default_branch: Option<String>,
}

#[derive(Deserialize)]
struct PayloadAccount {
    login: Option<String>,
}

#[derive(Deserialize)]
struct PayloadInstallation {
    account: Option<PayloadAccount>,
}

#[derive(Deserialize)]
struct Numbered {
    number: i64,
    repository_url: Option<String>,
}

impl Payload {
    fn org(&self) -> Option<String> {
        let owner = self.repository.as_ref().and_then(|repo| repo.owner.as_ref());
        let account = self.installation.as_ref().and_then(|installation| installation.account.as_ref());
        [owner, self.organization.as_ref(), account].into_iter().flatten().find_map(|it| it.login.clone())
    }

    fn changes_text(&self, field: &str) -> Option<String> {
        let from = self.changes.get(field)?.get("from")?;
        Some(from.as_str().unwrap_or_default().to_owned())
    }
}

/// What an event asks for: whether it marks the repository dirty, and its effect on the cache.
type Meaning = Result<(bool, Effect), &'static str>;

/// Reads a delivery. `event` and `guid` are of its headers, `now` is when it was received.
///
/// # Errors
/// If the GUID or the body is invalid.
pub fn read_delivery(
    event: &str,
    guid: &str,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Received, PayloadError> {
    let is_guid =
        (1..=MAX_GUID_BYTES).contains(&guid.len()) && guid.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_guid {
        return Err(PayloadError::Guid);
    }
    // Some proxies put a byte order mark in front, which JSON does not allow.
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let value: Value = serde_json::from_slice(body)?;
    if !value.is_object() {
        return Ok(Received::Ignored("the body is no object"));
    }
    if !is_known_event(event) {
        return Ok(Received::Ignored("the event is of no use here"));
    }
    let payload: Payload = serde_json::from_value(value)?;
    let Some(org) = payload.org() else { return Ok(Received::Ignored("the delivery has no account")) };
    let (marks_dirty, effect) = match meaning(event, &payload) {
        Ok(meaning) => meaning,
        Err(reason) => return Ok(Received::Ignored(reason)),
    };
    let repo =
        payload.repository.map(|repo| OrderRepo { id: repo.id, node_id: repo.node_id, name: repo.name });
    if repo.is_none() && !matches!(effect, Effect::Suspend { .. }) {
        return Ok(Received::Ignored("the delivery has no repository"));
    }
    Ok(Received::Order(Box::new(WebhookOrder {
        format: WebhookOrder::format(),
        id: guid.to_owned(),
        is_delivery: true,
        event: event.to_owned(),
        action: payload.action,
        org,
        repo,
        marks_dirty,
        effect,
        received_at: now,
        attempts: 0,
        repo_hook: None,
    })))
}

fn is_known_event(event: &str) -> bool {
    matches!(
        event,
        "issues"
            | "label"
            | "repository"
            | "installation"
            | "issue_dependencies"
            | "sub_issues"
            | "pull_request"
            | "pull_request_review"
            | "push"
            | "release"
            | "deployment"
            | "deployment_status"
            | "workflow_run"
    )
}

fn meaning(event: &str, payload: &Payload) -> Meaning {
    let action = payload.action.as_deref().unwrap_or_default();
    match event {
        "issues" => issues(action, payload),
        "label" => match (action, &payload.label) {
            ("edited", Some(label)) if payload.changes_text("name").is_some() => Ok((
                false,
                Effect::RenameLabel {
                    label_id: label.id,
                    from: payload.changes_text("name"),
                    name: label.name.clone(),
                },
            )),
            ("deleted", Some(label)) => Ok((false, Effect::DropLabel { label_id: label.id })),
            _ => Err("the change of the label is of no use here"),
        },
        "repository" => Ok(match action {
            "renamed" => (true, Effect::RenameRepo),
            "deleted" => (false, Effect::RemoveRepo),
            "transferred" | "created" => (true, Effect::Reconcile { is_full: true }),
            _ => (true, Effect::None),
        }),
        "installation" => match action {
            "suspend" | "deleted" => Ok((false, Effect::Suspend { is_suspended: true })),
            "unsuspend" | "created" => Ok((false, Effect::Suspend { is_suspended: false })),
            _ => Err("the change of the installation is of no use here"),
        },
        "issue_dependencies" => match &payload.blocked_issue {
            Some(issue) if action.starts_with("blocked_by_") => Ok((false, Effect::fetch(issue.number))),
            _ => Err("the other end of the dependency is delivered too"),
        },
        "sub_issues" => match &payload.parent_issue {
            Some(issue) if is_in_repository(issue, payload) => Ok((false, Effect::fetch(issue.number))),
            _ => Err("the other end of the sub-issue is delivered too"),
        },
        "pull_request" => {
            let pull_request = payload.pull_request.as_ref().zip(payload.repository.as_ref());
            let pull_request =
                pull_request.map(|(pull, repo)| ThreadRef { repo_id: repo.id, number: pull.number });
            let is_edited = action == "edited";
            Ok(match pull_request {
                Some(pull_request) if matches!(action, "opened" | "edited" | "closed" | "reopened") => {
                    (true, Effect::FetchClosedBy { pull_request, is_edited })
                }
                _ => (true, Effect::None),
            })
        }
        "push" => {
            let default = payload.repository.as_ref().and_then(|repo| repo.default_branch.as_ref());
            match (default, &payload.git_ref) {
                (Some(default), Some(git_ref)) if *git_ref != format!("refs/heads/{default}") => {
                    Err("the push is not to the default branch")
                }
                _ => Ok((true, Effect::None)),
            }
        }
        "workflow_run" if action != "completed" => Err("the run is not completed"),
        _ => Ok((true, Effect::None)),
    }
}

fn is_in_repository(issue: &Numbered, payload: &Payload) -> bool {
    let Some(repo) = &payload.repository else { return false };
    issue.repository_url.as_ref().is_none_or(|url| url.ends_with(&format!("/{}", repo.name)))
}

fn issues(action: &str, payload: &Payload) -> Meaning {
    let Some(issue) = &payload.issue else { return Err("the delivery has no issue") };
    let details = match serde_json::from_value::<RestIssue>(issue.clone()) {
        Ok(issue) => match issue.into_details() {
            Some(details) => Box::new(details),
            None => return Err("it is a pull request"),
        },
        // A shape that this program does not know. The number is enough to fetch the issue.
        Err(_) => {
            let number = issue.get("number").and_then(Value::as_i64).ok_or("the issue has no number")?;
            return Ok((true, Effect::fetch(number)));
        }
    };
    let effect = match action {
        "deleted" => Effect::Remove { details, tombstone: Tombstone::Deleted },
        "transferred" => {
            let field = |object: &str, field: &str| payload.changes.get(object)?.get(field)?.as_i64();
            let target = field("new_repository", "id").zip(field("new_issue", "number"));
            let target = target.map(|(repo_id, number)| ThreadRef { repo_id, number });
            Effect::Remove { details, tombstone: Tombstone::Transferred(target) }
        }
        _ => Effect::Store {
            label: match (action, &payload.label) {
                ("labeled", Some(label)) => Some(LabelSet { label_id: label.id, by: payload.sender.clone() }),
                _ => None,
            },
            edit: (action == "edited").then(|| content_edit(payload, &details)).flatten(),
            changes_blocked: matches!(action, "closed" | "reopened"),
            details,
        },
    };
    Ok((true, effect))
}

fn content_edit(payload: &Payload, details: &IssueDetails) -> Option<ContentEdit> {
    let (title, body) = (payload.changes_text("title"), payload.changes_text("body"));
    if title.is_none() && body.is_none() {
        return None;
    }
    let title = title.unwrap_or_else(|| details.title.clone());
    let body = body.unwrap_or_else(|| details.body.clone());
    Some(ContentEdit {
        by: payload.sender.clone(),
        from: content_hash(&title, &body),
        to: content_hash(&details.title, &details.body),
        at: details.updated_at,
    })
}
