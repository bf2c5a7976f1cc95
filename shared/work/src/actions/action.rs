//! The record of an action, and its states.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use gam_access::Scope;
use gam_model::{ActionKind, ActionPolicy};
use gam_store::RecordCommitId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::request::{ActionRequest, RepositoryName};

/// The format of the record.
pub(super) const FORMAT: u32 = 1;

/// The id of an action: `org.milliseconds.random`, where `org` is the storage key. It cannot be guessed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId {
    /// The storage key of the organization.
    pub org: String,
    /// When it was requested, in milliseconds since the Unix epoch.
    pub(super) milliseconds: u64,
    pub(super) nonce: String,
}

impl ActionId {
    pub(super) fn new(org: &str, now: DateTime<Utc>, commit: RecordCommitId) -> Self {
        let milliseconds = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        ActionId { org: org.to_owned(), milliseconds, nonce: commit.to_string()[..16].to_owned() }
    }

    /// Parses what [`fmt::Display`] writes. `None` if `text` is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, nonce) = text.rsplit_once('.')?;
        let (org, milliseconds) = rest.rsplit_once('.')?;
        let is_login =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        let is_nonce = nonce.len() == 16 && nonce.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        let is_org = (1..=100).contains(&org.len()) && org != "_" && org.bytes().all(is_login);
        let milliseconds: u64 = milliseconds.parse().ok().filter(|_| milliseconds.len() == 13)?;
        (is_nonce && is_org).then(|| ActionId { org: org.to_owned(), milliseconds, nonce: nonce.to_owned() })
    }
}

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:013}.{}", self.org, self.milliseconds, self.nonce)
    }
}

impl FromStr for ActionId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ActionId::parse(text).ok_or_else(|| format!("invalid id of an action {text:?}"))
    }
}

impl Serialize for ActionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ActionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One request of an action to GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Create the issue.
    Issue,
    /// Create the comment.
    Comment,
    /// Create the pull request.
    Pull,
    /// Approve the pull request.
    Review,
    /// Merge the pull request.
    Merge,
}

/// What an action is about, as GitHub had it when the action was prepared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The number of the issue or pull request, if it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// The branch to merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The branch to merge into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The head commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_sha: Option<String>,
    /// The title of the pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The login of the author of the pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// GitHub's node id of the pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
}

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who approved.
    pub principal: String,
    /// When, UTC.
    pub at: DateTime<Utc>,
    /// The content hash that was approved.
    pub hash: String,
}

/// Why an action failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The repository, branch, issue or pull request is not there, or the credential may not see it.
    NotFound,
    /// There is no branch or pull request that can be taken.
    NoCandidate,
    /// What it is about does not allow it: it is archived, closed, a draft, or from a fork.
    NotAllowed,
    /// The branch has another head than the one that was requested, chosen or approved.
    HeadMoved,
    /// GitHub refused it.
    Refused,
    /// GitHub did not merge: a rule, a check or a conflict is in the way.
    NotMergeable,
    /// An approver rejected it.
    Rejected,
    /// Nobody approved it in time.
    ApprovalExpired,
    /// GitHub could not be reached for a day.
    Unreachable,
    /// A person found that it was not done.
    NotDone,
}

impl FailureCode {
    /// Returns the name in answers and in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureCode::NotFound => "not_found",
            FailureCode::NoCandidate => "no_candidate",
            FailureCode::NotAllowed => "not_allowed",
            FailureCode::HeadMoved => "head_moved",
            FailureCode::Refused => "refused",
            FailureCode::NotMergeable => "not_mergeable",
            FailureCode::Rejected => "rejected",
            FailureCode::ApprovalExpired => "approval_expired",
            FailureCode::Unreachable => "unreachable",
            FailureCode::NotDone => "not_done",
        }
    }
}

/// What an action waits for, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// It is stored. What it is about must be read from GitHub.
    Requested,
    /// It waits for approvals.
    Waiting {
        /// When it fails without them, UTC.
        until: DateTime<Utc>,
    },
    /// The next request can be sent.
    Ready {
        /// Since when, UTC.
        since: DateTime<Utc>,
        /// Why it was not sent yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// A request is about to be sent, or was sent.
    Attempting {
        /// The request.
        step: Step,
        /// When a process that has not recorded the answer must be dead, UTC.
        lease_until: DateTime<Utc>,
    },
    /// The answer to a request is lost. The result is looked for.
    Checking {
        /// The request.
        step: Step,
        /// Since when, UTC.
        since: DateTime<Utc>,
        /// How often it was looked for.
        looks: u32,
        /// What happened to the answer.
        why: String,
    },
    /// GitHub is merging.
    Merging {
        /// The id of GitHub's merge request.
        uuid: String,
        /// Since when, UTC.
        since: DateTime<Utc>,
    },
    /// It is done.
    Succeeded,
    /// It is not done, or not completely.
    Failed {
        /// Why, for programs.
        code: FailureCode,
        /// Why, for people.
        reason: String,
    },
    /// Nobody knows whether a request is done.
    Unknown {
        /// The request.
        step: Step,
        /// What happened.
        why: String,
    },
}

/// The state of an action, without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionState {
    /// It is stored.
    Requested,
    /// It waits for approvals.
    Waiting,
    /// It waits for its turn.
    Ready,
    /// It is being done.
    Attempting,
    /// Its result is looked for.
    Checking,
    /// It is done.
    Succeeded,
    /// It is not done.
    Failed,
    /// Nobody knows whether it is done.
    Unknown,
}

impl ActionState {
    /// All states.
    pub const ALL: [ActionState; 8] = [
        ActionState::Requested,
        ActionState::Waiting,
        ActionState::Ready,
        ActionState::Attempting,
        ActionState::Checking,
        ActionState::Succeeded,
        ActionState::Failed,
        ActionState::Unknown,
    ];

    /// Returns the name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            ActionState::Requested => "requested",
            ActionState::Waiting => "waiting",
            ActionState::Ready => "ready",
            ActionState::Attempting => "attempting",
            ActionState::Checking => "checking",
            ActionState::Succeeded => "succeeded",
            ActionState::Failed => "failed",
            ActionState::Unknown => "unknown",
        }
    }

    /// Returns the state with the name, or `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        ActionState::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// An action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    pub(super) format: u32,
    /// The id.
    pub id: ActionId,
    /// The repository.
    pub repo: RepositoryName,
    /// Who requested it: the id of a principal.
    pub principal: String,
    /// What was requested.
    pub request: ActionRequest,
    /// The policy that applies.
    pub policy: ActionPolicy,
    /// The revision of the configuration that the policy is from.
    pub policy_revision: u32,
    /// When it was requested, UTC.
    pub created_at: DateTime<Utc>,
    /// When it changed last, UTC.
    pub changed_at: DateTime<Utc>,
    /// What it is about. `None` until it is prepared.
    pub choice: Option<Choice>,
    /// The approvals of the present content.
    pub approvals: Vec<Approval>,
    /// Its state.
    pub phase: Phase,
    /// The requests that are done.
    pub done: Vec<Step>,
    /// How many requests were sent.
    pub attempts: u32,
    /// How often the present state was put off in a row.
    pub delays: u32,
    /// Whether GitHub has no endpoint for merges that can be repeated.
    #[serde(default)]
    pub(super) uses_plain_merge: bool,
    /// Whether the base branch needs the merge queue.
    #[serde(default)]
    pub(super) uses_queue: bool,
    /// How often a merge was sent again.
    #[serde(default)]
    pub(super) merge_retries: u32,
    /// When it was retried last after it had failed, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retried_at: Option<DateTime<Utc>>,
    /// Since when the request that was sent last had been ready, UTC.
    #[serde(default)]
    pub(super) ready_since: Option<DateTime<Utc>>,
    /// What it made, for the answer.
    pub data: Map<String, Value>,
    /// When there is something to do about it, UTC. `None` if there is nothing.
    pub due: Option<DateTime<Utc>>,
}

/// A request of a client that becomes an action.
pub(super) struct ActionSeed {
    pub(super) repo: RepositoryName,
    pub(super) principal: String,
    pub(super) request: ActionRequest,
    pub(super) policy: ActionPolicy,
    pub(super) policy_revision: u32,
}

impl Action {
    pub(super) fn new(id: ActionId, seed: ActionSeed, now: DateTime<Utc>) -> Self {
        let ActionSeed { repo, principal, request, policy, policy_revision } = seed;
        Action {
            format: FORMAT,
            id,
            repo,
            principal,
            request,
            policy,
            policy_revision,
            created_at: now,
            changed_at: now,
            choice: None,
            approvals: Vec::new(),
            phase: Phase::Requested,
            done: Vec::new(),
            attempts: 0,
            delays: 0,
            uses_plain_merge: false,
            uses_queue: false,
            merge_retries: 0,
            retried_at: None,
            ready_since: None,
            data: Map::new(),
            due: Some(now),
        }
    }

    /// Returns what it is.
    pub fn kind(&self) -> ActionKind {
        self.request.kind()
    }

    /// Returns the state.
    pub fn state(&self) -> ActionState {
        match self.phase {
            Phase::Requested => ActionState::Requested,
            Phase::Waiting { .. } => ActionState::Waiting,
            Phase::Ready { .. } => ActionState::Ready,
            Phase::Attempting { .. } | Phase::Merging { .. } => ActionState::Attempting,
            Phase::Checking { .. } => ActionState::Checking,
            Phase::Succeeded => ActionState::Succeeded,
            Phase::Failed { .. } => ActionState::Failed,
            Phase::Unknown { .. } => ActionState::Unknown,
        }
    }

    /// Returns whether nothing happens any more by itself.
    pub fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed { .. } | Phase::Unknown { .. })
    }

    /// Returns since when the service tries to do it: since it was requested, or retried.
    pub(super) fn tried_since(&self) -> DateTime<Utc> {
        self.retried_at.unwrap_or(self.created_at)
    }

    /// Returns the hash of what approvals are about: the request, the repository and the choice.
    pub fn content_hash(&self) -> String {
        let text = serde_json::to_string(&(self.request.hash(&self.repo), &self.choice));
        hex::encode(Sha256::digest(text.expect("the fields have only text keys")))
    }

    /// Returns the hidden comment that ends each text that the action writes.
    pub(super) fn marker(&self) -> String {
        format!("<!-- github-metrics:action:{} -->", self.id)
    }

    /// Returns a text with the marker at its end.
    pub(super) fn with_marker(&self, text: &str) -> String {
        let text = text.trim_end();
        let gap = if text.is_empty() { "" } else { "\n\n" };
        format!("{text}{gap}{}", self.marker())
    }

    /// Returns whether a text on GitHub ends with the marker. A text that only quotes it does not count.
    pub(super) fn is_marked(&self, text: &str) -> bool {
        text.trim_end().ends_with(&self.marker())
    }

    /// Returns the requests of the action, in order.
    fn steps(&self) -> &'static [Step] {
        match &self.request {
            ActionRequest::CreateIssue { comment: None, .. } => &[Step::Issue],
            ActionRequest::CreateIssue { comment: Some(_), .. } => &[Step::Issue, Step::Comment],
            ActionRequest::CreateComment { .. } => &[Step::Comment],
            ActionRequest::CreatePr { .. } => &[Step::Pull],
            ActionRequest::ApproveMergePr { .. } => &[Step::Review, Step::Merge],
        }
    }

    /// Returns the next request. `None` if all are done.
    pub(super) fn next_step(&self) -> Option<Step> {
        self.steps().iter().copied().find(|step| !self.done.contains(step))
    }

    /// The head commit of the choice. Empty if there is none.
    pub(super) fn head_sha(&self) -> &str {
        self.choice.as_ref().and_then(|choice| choice.head_sha.as_deref()).unwrap_or_default()
    }

    /// Returns the number of the issue or pull request that it is about or has made; `None` if there is none yet.
    pub fn number(&self) -> Option<i64> {
        let chosen = self.choice.as_ref().and_then(|choice| choice.number);
        chosen.or_else(|| self.data.get("number").and_then(Value::as_i64))
    }

    /// Returns whether its repository is in the scope.
    pub fn is_in(&self, scope: &Scope) -> bool {
        scope.includes_repo(&self.id.org, &self.repo.name)
    }

    pub(super) fn set_phase(&mut self, phase: Phase, due: Option<DateTime<Utc>>) {
        (self.phase, self.due, self.delays) = (phase, due, 0);
    }

    /// Puts the present state off.
    pub(super) fn delay(&mut self, until: DateTime<Utc>) {
        self.due = Some(until);
        self.delays += 1;
    }

    pub(super) fn fail(&mut self, code: FailureCode, reason: impl Into<String>) {
        self.set_phase(Phase::Failed { code, reason: reason.into() }, None);
    }

    pub(super) fn make_ready(&mut self, now: DateTime<Utc>) {
        self.ready_since = None;
        self.set_phase(Phase::Ready { since: now, why: None }, Some(now));
    }

    /// Has the action wait for approvals, or makes it ready if it has enough.
    pub(super) fn wait_or_make_ready(&mut self, until: DateTime<Utc>, now: DateTime<Utc>) {
        if self.approvals.len() >= usize::from(self.policy.approvals) {
            self.make_ready(now);
        } else {
            self.set_phase(Phase::Waiting { until }, Some(until.min(now + HEAD_CHECK_EVERY)));
        }
    }

    /// Records that a request is done.
    pub(super) fn finish_step(&mut self, step: Step, now: DateTime<Utc>) {
        self.done.push(step);
        match self.next_step() {
            Some(_) => self.make_ready(now),
            None => self.set_phase(Phase::Succeeded, None),
        }
    }
}

/// How often the head of a pull request is read while its merge waits for approvals.
pub(super) const HEAD_CHECK_EVERY: TimeDelta = TimeDelta::minutes(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_a_round_trip() {
        let id =
            ActionId::new("acme-1", DateTime::UNIX_EPOCH + TimeDelta::days(20_000), RecordCommitId::random());
        assert_eq!(ActionId::parse(&id.to_string()), Some(id.clone()));
        assert_eq!(serde_json::from_value::<ActionId>(serde_json::to_value(&id).unwrap()).unwrap(), id);
        for invalid in
            ["", "acme", "acme.1.2", "_.1728000000000.0123456789abcdef", "A.1728000000000.0123456789abcdef"]
        {
            assert_eq!(ActionId::parse(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn states_have_names() {
        for state in ActionState::ALL {
            assert_eq!(ActionState::parse(state.as_str()), Some(state));
        }
        assert_eq!(ActionState::parse("done"), None);
    }
}
