//! The JSON of the routes of actions.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use gam_model::ActionKind;
use gam_work::actions::{Action, ActionRequest, FailureCode, MergeMethod, Phase};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{ACCEPTED, ActionBody};
use crate::error::ApiError;

/// An issue to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateIssue)]
pub(super) struct CreateIssueBody {
    /// The repository, as `owner/name`. A bare name belongs to the server's default owner, or to the only organization of
    /// the token.
    #[schema(example = "acme/site")]
    repository: String,
    /// The title: one line.
    #[schema(min_length = 1, max_length = 256, example = "The page is blank")]
    title: String,
    /// The description, Markdown.
    #[serde(default)]
    #[schema(max_length = 65000)]
    body: Option<String>,
    /// Names of labels. GitHub drops labels, assignees and the milestone if its token may not push; the answer says so.
    #[serde(default)]
    #[schema(max_items = 100)]
    labels: Option<Vec<String>>,
    /// Logins of assignees.
    #[serde(default)]
    #[schema(max_items = 10)]
    assignees: Option<Vec<String>>,
    /// The number of a milestone.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2147483647)]
    milestone: Option<i64>,
    /// The first comment. If it is missing, the default comment of the configuration.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 65000)]
    comment: Option<String>,
}

/// A comment to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateComment)]
pub(super) struct CreateCommentBody {
    /// The repository, as `owner/name` or a bare name.
    #[schema(example = "acme/site")]
    repository: String,
    /// The number of the issue or pull request.
    #[schema(minimum = 1, maximum = 2147483647)]
    number: i64,
    /// The comment, Markdown.
    #[schema(min_length = 1, max_length = 65000, example = "Done.")]
    body: String,
}

/// A pull request to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreatePr)]
pub(super) struct CreatePrBody {
    /// The repository, as `owner/name` or a bare name.
    #[schema(example = "acme/site")]
    repository: String,
    /// The branch to merge. If it is missing, the one with the newest commit that is ahead of the base and has no open
    /// pull request.
    #[serde(default)]
    branch: Option<String>,
    /// The branch to merge into. If it is missing, the default branch.
    #[serde(default)]
    base: Option<String>,
    /// The title. If it is missing, one that is made from the name of the branch.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    title: Option<String>,
    /// The description, Markdown.
    #[serde(default)]
    #[schema(max_length = 65000)]
    body: Option<String>,
    /// Whether it is a draft.
    #[serde(default)]
    draft: Option<bool>,
}

/// A pull request to approve and merge.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApproveMergePr)]
pub(super) struct ApproveMergePrBody {
    /// The repository, as `owner/name` or a bare name.
    #[schema(example = "acme/site")]
    repository: String,
    /// The number of the pull request. If it is missing, the newest open one that is neither a draft nor from a fork.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2147483647)]
    pr_number: Option<i64>,
    /// The head commit that you have seen. If the head is another one, nothing happens.
    #[serde(default)]
    #[schema(pattern = "^[0-9a-f]{40}$")]
    expected_sha: Option<String>,
    /// The text of the review.
    #[serde(default)]
    #[schema(max_length = 65000)]
    review_comment: Option<String>,
    /// How to merge. If it is missing, GitHub's default.
    #[serde(default)]
    merge_method: Option<MergeMethodName>,
    /// The first line of the commit message.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    commit_title: Option<String>,
    /// The rest of the commit message.
    #[serde(default)]
    #[schema(max_length = 65000)]
    commit_message: Option<String>,
    /// Whether the branch may be in another repository.
    #[serde(default)]
    allow_fork: Option<bool>,
}

/// How a pull request is merged.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = MergeMethod)]
enum MergeMethodName {
    Merge,
    Squash,
    Rebase,
}

impl ActionBody for CreateIssueBody {
    fn into_request(self) -> (String, ActionRequest) {
        let request = ActionRequest::CreateIssue {
            title: self.title,
            body: self.body.unwrap_or_default(),
            labels: self.labels.unwrap_or_default(),
            assignees: self.assignees.unwrap_or_default(),
            milestone: self.milestone,
            comment: self.comment,
        };
        (self.repository, request)
    }
}

impl ActionBody for CreateCommentBody {
    fn into_request(self) -> (String, ActionRequest) {
        (self.repository, ActionRequest::CreateComment { number: self.number, body: self.body })
    }
}

impl ActionBody for CreatePrBody {
    fn into_request(self) -> (String, ActionRequest) {
        let request = ActionRequest::CreatePr {
            branch: self.branch,
            base: self.base,
            title: self.title,
            body: self.body.unwrap_or_default(),
            is_draft: self.draft.unwrap_or_default(),
        };
        (self.repository, request)
    }
}

impl ActionBody for ApproveMergePrBody {
    fn into_request(self) -> (String, ActionRequest) {
        let method = |method| match method {
            MergeMethodName::Merge => MergeMethod::Merge,
            MergeMethodName::Squash => MergeMethod::Squash,
            MergeMethodName::Rebase => MergeMethod::Rebase,
        };
        let request = ActionRequest::ApproveMergePr {
            number: self.pr_number,
            expected_sha: self.expected_sha,
            review_comment: self.review_comment,
            method: self.merge_method.map(method),
            commit_title: self.commit_title,
            commit_message: self.commit_message,
            allow_fork: self.allow_fork.unwrap_or_default(),
        };
        (self.repository, request)
    }
}

/// An approval.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Approval)]
pub(super) struct ApprovalBody {
    /// The `hash` of the action that you have seen.
    #[schema(example = "0f343b0931126a20f133d67c2b018a3b0f343b0931126a20f133d67c2b018a3b")]
    pub(super) hash: String,
}

/// A rejection.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rejection)]
pub(super) struct RejectionBody {
    /// The `hash` of the action that you have seen.
    #[schema(example = "0f343b0931126a20f133d67c2b018a3b0f343b0931126a20f133d67c2b018a3b")]
    pub(super) hash: String,
    /// Why, for the requester.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub(super) reason: Option<String>,
}

/// Who a link is for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApprovalLinkRequest)]
pub(super) struct LinkBody {
    /// The name of the approver's token. With the link, its holder decides as that token.
    #[schema(example = "ann")]
    pub(super) approver: String,
}

/// A link for an approver. Whoever has it can decide as the approver.
#[derive(Serialize, ToSchema)]
#[schema(as = ApprovalLink)]
pub(super) struct LinkAnswer {
    /// The address of a page with two buttons. Opening it decides nothing.
    #[schema(example = "https://metrics.example.com/approve?link=eyJhIjoi...")]
    pub(super) url: String,
    /// From when on the link is refused, UTC.
    pub(super) expires_at: DateTime<Utc>,
}

/// What a person found out about an unknown action: one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Resolution)]
pub(super) struct ResolutionBody {
    /// It was done, and this is the address of what it made.
    #[serde(default)]
    #[schema(example = "https://github.com/acme/site/issues/7")]
    pub(super) done: Option<String>,
    /// `true` if it was not done.
    #[serde(default)]
    pub(super) not_done: Option<bool>,
}

/// The answer to a request of an action.
#[derive(Serialize, ToSchema)]
pub(super) struct ActionAnswer {
    /// Whether the action is done, or is still going to be.
    success: bool,
    /// What happened, for people.
    pub(super) message: String,
    /// The id of the action as `action`, its `state`, the `repository`, and what it made, such as `number` and `url`.
    #[schema(value_type = Object)]
    pub(super) data: Value,
}

impl ActionAnswer {
    pub(super) fn new(action: &Action) -> Self {
        let mut data = Map::new();
        data.insert("action".to_owned(), action.id.to_string().into());
        data.insert("state".to_owned(), action.state().as_str().into());
        data.insert("repository".to_owned(), action.repo.to_string().into());
        data.extend(action.data.clone());
        if matches!(action.phase, Phase::Waiting { .. }) {
            data.insert("hash".to_owned(), action.content_hash().into());
            data.insert("approvals_needed".to_owned(), approvals_needed(action).into());
        }
        if let Phase::Failed { code, .. } = &action.phase {
            data.insert("code".to_owned(), code.as_str().into());
        }
        ActionAnswer {
            success: !matches!(action.phase, Phase::Failed { .. }),
            message: message(action),
            data: data.into(),
        }
    }

    /// Describes an action that was not stored.
    pub(super) fn of_preview(action: &Action) -> Self {
        let policy = json!({
            "approvals": action.policy.approvals,
            "hours": action.policy.hours,
            "allow_newest": action.policy.allow_newest,
            "allow_fork": action.policy.allow_fork,
            "revision": action.policy_revision,
        });
        let mut data = json!({
            "dry_run": true,
            "repository": action.repo.to_string(),
            "would": action.state().as_str(),
            "content": action.choice,
            "request": action.request,
            "policy": policy,
        });
        if let Phase::Failed { code, .. } = &action.phase {
            data["code"] = code.as_str().into();
        }
        let message = match &action.phase {
            Phase::Failed { reason, .. } => format!("nothing was done; it would fail: {reason}"),
            Phase::Waiting { .. } => {
                format!(
                    "nothing was done; it would wait for {}",
                    approvals_text(action.policy.approvals.into())
                )
            }
            Phase::Succeeded => "nothing was done; there is nothing to do".to_owned(),
            _ => "nothing was done; it would be done at once".to_owned(),
        };
        ActionAnswer { success: !matches!(action.phase, Phase::Failed { .. }), message, data }
    }
}

fn approvals_needed(action: &Action) -> usize {
    usize::from(action.policy.approvals).saturating_sub(action.approvals.len())
}

fn approvals_text(count: usize) -> String {
    format!("{count} {}", if count == 1 { "approval" } else { "approvals" })
}

fn message(action: &Action) -> String {
    let number = action.data.get("number").and_then(Value::as_i64);
    let subject =
        number.map_or_else(|| action.repo.to_string(), |number| format!("{}#{number}", action.repo));
    let is = |name: &str| action.data.get(name).and_then(Value::as_bool).unwrap_or_default();
    let text = match &action.phase {
        Phase::Succeeded => match action.kind() {
            ActionKind::CreateIssue => format!("created issue {subject}"),
            ActionKind::CreateComment => "created the comment".to_owned(),
            ActionKind::CreatePr if is("created") => format!("created pull request {subject}"),
            ActionKind::CreatePr => format!("pull request {subject} was already open"),
            ActionKind::ApproveMergePr if is("queued") => format!("added {subject} to the merge queue"),
            ActionKind::ApproveMergePr => format!("merged {subject}"),
        },
        Phase::Failed { reason, .. } => reason.clone(),
        Phase::Unknown { why, .. } => {
            format!("nobody knows whether it is done: {why}; look at GitHub, then resolve the action")
        }
        Phase::Waiting { .. } => format!("waiting for {}", approvals_text(approvals_needed(action))),
        Phase::Checking { why, .. } => format!("looking for the result on GitHub: {why}"),
        Phase::Ready { why: Some(why), .. } => format!("waiting: {why}"),
        Phase::Requested | Phase::Ready { .. } => "waiting for its turn".to_owned(),
        Phase::Attempting { .. } | Phase::Merging { .. } => "GitHub is working on it".to_owned(),
    };
    let dropped = ["dropped_labels", "dropped_assignees"].into_iter().filter_map(|name| {
        let names: Vec<&str> = action.data.get(name)?.as_array()?.iter().filter_map(Value::as_str).collect();
        (!names.is_empty()).then(|| format!("{}: {}", name.replace('_', " "), names.join(", ")))
    });
    let milestone = is("dropped_milestone").then(|| "dropped milestone".to_owned());
    let dropped: Vec<String> = dropped.chain(milestone).collect();
    if dropped.is_empty() { text } else { format!("{text}; GitHub {}", dropped.join("; ")) }
}

/// Returns the HTTP status of the answer about an action, or the error that it is.
pub(super) fn status(action: &Action) -> Result<StatusCode, ApiError> {
    let is_new = |name: &str| action.data.get(name).and_then(Value::as_bool).unwrap_or_default();
    match &action.phase {
        Phase::Succeeded => Ok(match action.kind() {
            ActionKind::CreateIssue | ActionKind::CreateComment => StatusCode::CREATED,
            ActionKind::CreatePr if is_new("created") => StatusCode::CREATED,
            ActionKind::CreatePr | ActionKind::ApproveMergePr => StatusCode::OK,
        }),
        Phase::Failed { code, reason } => Err(ApiError::action_failed(
            match code {
                FailureCode::NotFound => StatusCode::NOT_FOUND,
                FailureCode::HeadMoved => StatusCode::CONFLICT,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            },
            reason,
        )),
        _ => Ok(ACCEPTED),
    }
}

/// A page of the list of actions.
#[derive(Serialize, ToSchema)]
pub(super) struct ActionList {
    /// The actions, the newest first.
    pub(super) actions: Vec<ActionView>,
    /// The `cursor` of the next page, or `null` if there is none.
    #[schema(required)]
    pub(super) next: Option<String>,
}

/// An action.
#[derive(Serialize, ToSchema)]
#[schema(as = Action)]
pub(super) struct ActionView {
    /// The id.
    action: String,
    /// What it is: `create-issue`, `create-comment`, `create-pr` or `approve-merge-pr`.
    kind: &'static str,
    /// The repository, as `owner/name`.
    repository: String,
    /// `requested`, `waiting` (for approvals), `ready`, `attempting`, `checking` (the result is looked for), `succeeded`,
    /// `failed` or `unknown`.
    #[schema(value_type = String)]
    state: &'static str,
    /// What happened last, for people.
    message: String,
    /// Why it failed, for programs, or `null`.
    #[schema(required)]
    code: Option<&'static str>,
    /// Who requested it.
    requested_by: String,
    /// When it was requested, UTC.
    created_at: DateTime<Utc>,
    /// When it changed last, UTC.
    changed_at: DateTime<Utc>,
    /// What was requested.
    #[schema(value_type = Object)]
    request: Value,
    /// What it is about: the branch, the number, the head commit. `null` until it is read from GitHub.
    #[schema(required, value_type = Option<Object>)]
    content: Option<Value>,
    /// The hash of request and content. An approval is about this hash.
    hash: String,
    /// Number of approvals that the policy requires.
    approvals_required: u8,
    /// The approvals of the present content.
    approvals: Vec<ApprovalView>,
    /// When it fails without the approvals, UTC, or `null` if it does not wait for any.
    #[schema(required)]
    waits_until: Option<DateTime<Utc>>,
    /// How many requests were sent to GitHub.
    attempts: u32,
    /// What it made.
    #[schema(value_type = Object)]
    result: Value,
}

/// An approval of an action.
#[derive(Serialize, ToSchema)]
#[schema(as = ActionApproval)]
struct ApprovalView {
    /// Who approved.
    principal: String,
    /// When, UTC.
    at: DateTime<Utc>,
}

impl ActionView {
    pub(super) fn new(action: &Action) -> Self {
        ActionView {
            action: action.id.to_string(),
            kind: action.kind().as_str(),
            repository: action.repo.to_string(),
            state: action.state().as_str(),
            message: message(action),
            code: match &action.phase {
                Phase::Failed { code, .. } => Some(code.as_str()),
                _ => None,
            },
            requested_by: action.principal.clone(),
            created_at: action.created_at,
            changed_at: action.changed_at,
            request: json!(action.request),
            content: action.choice.as_ref().map(|choice| json!(choice)),
            hash: action.content_hash(),
            approvals_required: action.policy.approvals,
            approvals: action
                .approvals
                .iter()
                .map(|approval| ApprovalView { principal: approval.principal.clone(), at: approval.at })
                .collect(),
            waits_until: match action.phase {
                Phase::Waiting { until } => Some(until),
                _ => None,
            },
            attempts: action.attempts,
            result: Value::Object(action.data.clone()),
        }
    }
}
