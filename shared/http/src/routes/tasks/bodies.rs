//! The JSON of the routes of tasks.

use chrono::{DateTime, Utc};
use gam_work::issue::CachedIssue;
use gam_work::tasks::{
    Assignment, Cancellation, ClaimId, EndedClaim, LiveClaim, LogPage, ReportOutcome, TaskState, TaskSummary,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a worker can do.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskRequest {
    /// The name of the worker: a login, with `/` and a suffix if it does several tasks at once. A worker has one claim.
    #[schema(min_length = 1, max_length = 100, example = "ann/1")]
    pub(super) worker: String,
    /// What the worker can do. An issue with a label `skill:NAME` needs the skill NAME.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub(super) skills: Vec<String>,
    /// The repositories that the worker works on, as `org/repo`. All that the token includes if it is empty.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub(super) repos: Vec<String>,
}

/// A report about a claim.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimReport {
    /// The fence of the claim.
    #[schema(minimum = 1)]
    pub(super) fence: u64,
    /// What the worker says about it, for people.
    #[schema(max_length = 4000)]
    pub(super) note: Option<String>,
    /// What the worker made, such as the address of a pull request.
    #[schema(max_length = 4000)]
    pub(super) result: Option<String>,
}

/// Lines to append to the log of a claim.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogLines {
    /// The fence of the claim.
    #[schema(minimum = 1)]
    pub(super) fence: u64,
    /// The lines. What looks like a secret is removed from them.
    #[schema(max_items = 1000)]
    pub(super) lines: Vec<String>,
    /// The number of this request among those of the claim, from 0. A number that was received is not appended again.
    pub(super) sequence: Option<u64>,
}

/// Lines were appended.
#[derive(Serialize, ToSchema)]
pub(super) struct LogAppended {
    /// Number of lines.
    pub(super) lines: usize,
}

/// A task for a worker.
#[derive(Serialize, ToSchema)]
pub(super) struct AssignedTask {
    task: TaskAssignment,
}

/// A claim, and the issue that it is about.
#[derive(Serialize, ToSchema)]
struct TaskAssignment {
    /// The id of the claim.
    claim_id: String,
    /// The fence: a number that grows with each claim of the issue. Send it with each report.
    fence: u64,
    /// How long the lease lasts, from the moment at which the request was sent.
    lease_seconds: i64,
    /// When the lease ends, UTC, by the server's clock.
    lease_until: DateTime<Utc>,
    /// The number of this attempt, from 1.
    attempt: u32,
    issue: TaskIssue,
}

/// An issue, as the server knows it.
#[derive(Serialize, ToSchema)]
struct TaskIssue {
    /// The organization.
    org: String,
    /// The name of the repository.
    repo: String,
    /// GitHub's id of the repository.
    repo_id: i64,
    /// The number of the issue.
    number: i64,
    /// The title.
    title: String,
    /// The description, Markdown.
    body: String,
    /// Whether the end of a very long body is missing.
    is_body_cut: bool,
    /// The names of the labels.
    labels: Vec<String>,
    /// The logins of the assignees.
    assignees: Vec<String>,
    /// The login of the author. `null` for a deleted account.
    #[schema(required)]
    author: Option<String>,
    /// When the issue was created, UTC.
    created_at: DateTime<Utc>,
    /// When the issue was changed last, UTC.
    updated_at: DateTime<Utc>,
}

impl AssignedTask {
    /// `org` is the name of the organization.
    pub(super) fn new(assignment: Assignment, org: String) -> Self {
        let Assignment { claim_id, lease_until, lease, attempt, issue, .. } = assignment;
        AssignedTask {
            task: TaskAssignment {
                fence: claim_id.fence,
                claim_id: claim_id.to_string(),
                lease_seconds: lease.num_seconds(),
                lease_until,
                attempt,
                issue: TaskIssue::new(issue, org),
            },
        }
    }
}

impl TaskIssue {
    fn new(issue: CachedIssue, org: String) -> Self {
        let details = issue.details;
        TaskIssue {
            org,
            repo: issue.repo,
            repo_id: issue.repo_id,
            number: details.number,
            title: details.title,
            body: details.body,
            is_body_cut: issue.is_body_cut,
            labels: details.labels.into_iter().map(|label| label.name).collect(),
            assignees: details.assignees.into_iter().map(|user| user.login).collect(),
            author: details.author.map(|user| user.login),
            created_at: details.created_at,
            updated_at: details.updated_at,
        }
    }
}

/// The state of a claim after a report.
#[derive(Serialize, ToSchema)]
pub(super) struct ClaimStatus {
    /// How long the lease lasts, from the moment at which the request was sent. 0 after the end of the claim.
    lease_seconds: i64,
    /// When the lease ends, UTC, by the server's clock, or when the claim ended.
    lease_until: DateTime<Utc>,
    /// Why the worker must stop: `closed`, `unlabelled`, `edited`, `gone`, `token_revoked` or `suspended`. Missing if it can go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel: Option<&'static str>,
}

impl From<ReportOutcome> for ClaimStatus {
    fn from(outcome: ReportOutcome) -> Self {
        ClaimStatus {
            lease_seconds: outcome.lease.num_seconds(),
            lease_until: outcome.lease_until,
            cancel: outcome.cancel.map(Cancellation::as_str),
        }
    }
}

/// A page of the list of tasks.
#[derive(Serialize, ToSchema)]
pub(super) struct TaskList {
    /// The tasks, in order of organization, repository id and number.
    pub(super) tasks: Vec<ListedTask>,
    /// The `cursor` of the next page, or `null` if there is none.
    #[schema(required)]
    pub(super) next: Option<String>,
}

/// An issue that has or had a task label.
#[derive(Serialize, ToSchema)]
pub(super) struct ListedTask {
    /// The organization.
    org: String,
    /// The name of the repository.
    repo: String,
    /// GitHub's id of the repository.
    repo_id: i64,
    /// The number of the issue.
    number: i64,
    /// The title of the issue.
    title: String,
    /// `ready`: workers can get it. `waiting`: none can now, see `waits_for`. `claimed`: a worker has it. `completed`: a
    /// worker has completed it. `failed`: too many claims of it failed or expired.
    #[schema(value_type = String)]
    state: &'static str,
    /// Why no worker can get it: `gone`, `closed`, `unlabelled`, `excluded`, `edited`, `locked`, `blocked`,
    /// `unfetched`, `has_pull_request`, `too_many_attempts` or `completed`. `null` if one can, or one has it.
    #[schema(required)]
    waits_for: Option<&'static str>,
    /// Number of claims that failed or expired since the issue was labelled or requeued last.
    failures: u32,
    /// When the task was changed last, UTC. Heartbeats do not count.
    changed_at: DateTime<Utc>,
    /// The claim that a worker holds, or `null`.
    #[schema(required)]
    claim: Option<ListedClaim>,
    /// The last claim that ended, or `null`.
    #[schema(required)]
    last_claim: Option<ListedEndedClaim>,
}

/// A claim that a worker holds.
#[derive(Serialize, ToSchema)]
struct ListedClaim {
    /// The id of the claim.
    claim_id: String,
    /// The name of the worker.
    worker: String,
    /// When it was claimed, UTC.
    claimed_at: DateTime<Utc>,
    /// When the lease ends, UTC.
    lease_until: DateTime<Utc>,
    /// Whether the lease is over. A minute later another worker can get the issue.
    is_expired: bool,
    /// Why the claim was cancelled, or `null`.
    #[schema(required)]
    cancel: Option<&'static str>,
}

/// A claim that ended.
#[derive(Serialize, ToSchema)]
struct ListedEndedClaim {
    /// The id of the claim.
    claim_id: String,
    /// The name of the worker.
    worker: String,
    /// How it ended: `completed`, `failed`, `released` or `expired`.
    outcome: &'static str,
    /// Why it had been cancelled, or `null`.
    #[schema(required)]
    cancel: Option<&'static str>,
    /// What the worker said about it, or `null`.
    #[schema(required)]
    note: Option<String>,
    /// What the worker made, or `null`.
    #[schema(required)]
    result: Option<String>,
    /// When it ended, UTC.
    ended_at: DateTime<Utc>,
}

impl ListedTask {
    /// `org` is the name of the organization.
    pub(super) fn new(summary: TaskSummary, org: String) -> Self {
        let TaskSummary { task, state, is_lease_expired } = summary;
        let id = |id: Option<ClaimId>| id.map(|id| id.to_string()).unwrap_or_default();
        let claim = task.live_claim().cloned().map(|claim: LiveClaim| ListedClaim {
            claim_id: id(task.claim_id()),
            worker: claim.worker,
            claimed_at: claim.claimed_at,
            lease_until: claim.lease_until,
            is_expired: is_lease_expired,
            cancel: claim.cancelled.map(Cancellation::as_str),
        });
        let last_claim = task.last.clone().map(|last: EndedClaim| ListedEndedClaim {
            claim_id: id(task.last_claim_id()),
            worker: last.worker,
            outcome: last.outcome.as_str(),
            cancel: last.cancelled.map(Cancellation::as_str),
            note: last.note,
            result: last.result,
            ended_at: last.at,
        });
        ListedTask {
            org,
            repo: task.repo,
            repo_id: task.repo_id,
            number: task.number,
            title: task.title,
            state: TaskState::as_str(state),
            waits_for: task.waits_for.map(|reason| reason.as_str()),
            failures: task.failures,
            changed_at: task.changed_at,
            claim,
            last_claim,
        }
    }
}

/// A page of the log of a claim.
#[derive(Serialize, ToSchema)]
pub(super) struct TaskLog {
    /// The lines.
    lines: Vec<String>,
    /// The `from` of the next page, or `null` if there is none.
    #[schema(required)]
    next: Option<u64>,
    /// Whether lines are missing because the log was too long.
    is_cut: bool,
}

impl From<LogPage> for TaskLog {
    fn from(page: LogPage) -> Self {
        TaskLog { lines: page.lines, next: page.next, is_cut: page.is_cut }
    }
}
