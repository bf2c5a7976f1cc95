//! Rows of the audit log. A row is committed together with the change that it reports.

use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound, Utc};
use gam_store::{Expectation, KeyPart, RecordCommit, RecordKey, RecordKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The greatest length of [`AuditRow::detail`] as JSON, in bytes.
pub const MAX_DETAIL_BYTES: usize = 4_096;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditKind {
    /// A token was created.
    TokenCreated,
    /// A token was revoked.
    TokenRevoked,
    /// Requests were refused: [`crate::RefusalRow`].
    RequestsRefused,
    /// An issue became assignable to workers.
    TaskQueued,
    /// An issue is no longer assignable. The outcome says why.
    TaskWithdrawn,
    /// What is known of a task changed otherwise. The detail `changed` says what: `repo`, `title`, `state`, `waits_for`,
    /// `order`, or `created` for a new task that workers cannot get yet. The outcome says why they cannot, or is `ok`.
    TaskChanged,
    /// A worker claimed an issue.
    TaskClaimed,
    /// A claim was cancelled while its worker holds it. The outcome says why.
    TaskCancelled,
    /// A worker completed its claim.
    TaskCompleted,
    /// A worker reported that it failed.
    TaskFailed,
    /// A worker gave its claim back.
    TaskReleased,
    /// The lease of a claim expired, and the claim ended.
    TaskExpired,
    /// Somebody made an issue assignable again that had failed too often or was completed.
    TaskRequeued,
    /// Somebody requested an action on GitHub.
    ActionRequested,
    /// An action waits for approvals.
    ApprovalRequested,
    /// Somebody made a link with which an approver decides about an action.
    ApprovalLinkCreated,
    /// Somebody approved an action.
    ActionApproved,
    /// Somebody rejected an action.
    ActionRejected,
    /// The approvals of an action became void, because what it is about changed.
    ApprovalVoided,
    /// An action waited too long for approvals.
    ApprovalExpired,
    /// A request of an action was about to be sent to GitHub.
    ActionAttempted,
    /// An action is done.
    ActionSucceeded,
    /// An action failed. The outcome says why.
    ActionFailed,
    /// Nobody knows whether an action is done.
    ActionUnknown,
    /// Somebody said whether an action is done.
    ActionResolved,
    /// Somebody had an action that failed attempted again.
    ActionRetried,
    /// GitHub failed so often that nothing is written to it for a while.
    BreakerOpened,
    /// GitHub works again.
    BreakerClosed,
    /// Deliveries of a webhook did not arrive.
    WebhookGap,
    /// A revision of an organization's configuration was set.
    ConfigSet,
    /// An organization got another name.
    OrgRenamed,
    /// Somebody began to remove the data of an organization.
    OrgForgotten,
    /// Somebody erased a session of a coding agent. The subject is the hash of its id.
    SessionErased,
    /// Somebody read the audit log. One row for each principal and hour.
    LogRead,
}

/// A row of the audit log. It contains no secret and no address.
///
/// Readers of the log take the kind as text and put fields that they do not know into the column `detail`, so a field or
/// a kind can be added at any time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Identifies the row for ever. A row that is written twice has one id.
    pub id: String,
    /// The storage key of the organization. `None` for rows of none, such as those of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// The name of the repository without the organization, if it happened to something of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// GitHub's id of the repository. Names change, ids do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_id: Option<i64>,
    /// The number of the issue or pull request within the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// When the change was made, UTC.
    pub time: DateTime<Utc>,
    /// Who made it: [`crate::Principal::id`].
    pub principal: String,
    /// A keyed hash of the address that the request came from. `None` if the change came from no request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What happened.
    pub kind: AuditKind,
    /// To what it happened.
    pub subject: String,
    /// How it ended: `ok`, or why the change was made. A change that failed changes nothing, so it has no row.
    pub outcome: String,
    /// Further facts by name, such as the fence of a claim. No bodies of issues, no tokens, no addresses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<String, Value>,
}

impl AuditRow {
    /// Creates a row of a change that ended `ok`. `org` is a storage key, `principal` who made the change, and `subject`
    /// to what it happened.
    pub fn new(
        id: impl Into<String>,
        org: Option<&str>,
        time: DateTime<Utc>,
        principal: impl Into<String>,
        kind: AuditKind,
        subject: impl Into<String>,
    ) -> Self {
        AuditRow {
            id: id.into(),
            org: org.map(str::to_owned),
            repo: None,
            repo_id: None,
            number: None,
            time,
            principal: principal.into(),
            origin: None,
            kind,
            subject: subject.into(),
            outcome: "ok".to_owned(),
            detail: BTreeMap::new(),
        }
    }

    /// Sets how the change ended, or why it was made.
    #[must_use]
    pub fn with_outcome(self, outcome: impl Into<String>) -> Self {
        AuditRow { outcome: outcome.into(), ..self }
    }

    /// Sets the repository, and the issue or pull request if it happened to one.
    #[must_use]
    pub fn about(self, repo_id: Option<i64>, repo: impl Into<String>, number: Option<i64>) -> Self {
        AuditRow { repo_id, repo: Some(repo.into()), number, ..self }
    }

    /// Adds a further fact.
    #[must_use]
    pub fn with_detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the keyed hash of the sender's address.
    #[must_use]
    pub fn with_origin(self, origin: Option<String>) -> Self {
        AuditRow { origin, ..self }
    }

    /// Adds the row to a commit. The rows of an organization are in order of time, then of id.
    ///
    /// A detail of more than [`MAX_DETAIL_BYTES`] is left out: the change is worth more than its details.
    ///
    /// # Errors
    /// If the id is too long for a key.
    pub fn add_to(&self, commit: RecordCommit) -> Result<RecordCommit> {
        let milliseconds = u64::try_from(self.time.timestamp_millis()).unwrap_or_default();
        let parts = [KeyPart::Number(milliseconds), KeyPart::Text(&self.id)];
        let key = RecordKey::new(self.org.as_deref(), RecordKind::AuditRow, &parts)?;
        Ok(commit.put(key, self.to_json(), Expectation::Absent))
    }

    fn to_json(&self) -> String {
        let to_json = |row: &AuditRow| serde_json::to_string(row).expect("a row has only text keys");
        let detail_bytes = serde_json::to_string(&self.detail).map_or(0, |detail| detail.len());
        let mut row = AuditRow { time: self.time.trunc_subsecs(3), ..self.clone() };
        if detail_bytes > MAX_DETAIL_BYTES {
            row.detail = BTreeMap::from([("omitted_bytes".to_owned(), Value::from(detail_bytes))]);
        }
        to_json(&row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_older_versions_are_read() {
        let old = r#"{"id":"token:1:created","time":"2026-03-01T00:00:00Z","principal":"local","kind":"token_created","subject":"token:1 a viewer","outcome":"ok"}"#;
        let row: AuditRow = serde_json::from_str(old).unwrap();
        let time = "2026-03-01T00:00:00Z".parse().unwrap();
        let new = AuditRow::new(
            "token:1:created",
            None,
            time,
            "local",
            AuditKind::TokenCreated,
            "token:1 a viewer",
        );
        assert_eq!(row, new);
        assert_eq!(new.to_json(), old);
    }

    #[test]
    fn too_large_a_detail_is_left_out() {
        let time = "2026-03-01T00:00:00.123456Z".parse().unwrap();
        let row = AuditRow::new("x", Some("acme"), time, "local", AuditKind::ConfigSet, "")
            .about(Some(7), "site", Some(3))
            .with_detail("text", "x".repeat(MAX_DETAIL_BYTES));
        let stored: AuditRow = serde_json::from_str(&row.to_json()).unwrap();
        assert_eq!(stored.detail, BTreeMap::from([("omitted_bytes".to_owned(), Value::from(4_107))]));
        assert_eq!((stored.repo_id, stored.number), (Some(7), Some(3)));
        assert_eq!(stored.time.to_rfc3339(), "2026-03-01T00:00:00.123+00:00", "as its key");
    }
}
