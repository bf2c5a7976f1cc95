//! Rows of the audit log. A row is committed together with the change that it reports.

use chrono::{DateTime, Utc};
use gam_store::{Expectation, KeyPart, RecordCommit, RecordKey, RecordKind, Result};
use serde::{Deserialize, Serialize};

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
}

/// A row of the audit log. It contains no secret and no address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Identifies the row. A row that is written twice has one id.
    pub id: String,
    /// The storage key of the organization. `None` for rows of none, such as those of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// When the change was made, UTC.
    pub time: DateTime<Utc>,
    /// Who made it: [`crate::Principal::id`].
    pub principal: String,
    /// What happened.
    pub kind: AuditKind,
    /// To what it happened.
    pub subject: String,
    /// How it ended: `ok`, or why the change was made. A change that failed changes nothing, so it has no row.
    pub outcome: String,
}

impl AuditRow {
    /// Adds the row to a commit. The rows of an organization are in order of time, then of id.
    ///
    /// # Errors
    /// If the id is too long for a key.
    pub fn add_to(&self, commit: RecordCommit) -> Result<RecordCommit> {
        let milliseconds = u64::try_from(self.time.timestamp_millis()).unwrap_or_default();
        let parts = [KeyPart::Number(milliseconds), KeyPart::Text(&self.id)];
        let key = RecordKey::new(self.org.as_deref(), RecordKind::AuditRow, &parts)?;
        let body = serde_json::to_string(self).expect("a row has only text keys");
        Ok(commit.put(key, body, Expectation::Absent))
    }
}
