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
}

/// A row of the audit log. It contains no secret and no address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Identifies the row. A row that is written twice has one id.
    pub id: String,
    /// When the change was made, UTC.
    pub time: DateTime<Utc>,
    /// Who made it: [`crate::Principal::id`].
    pub principal: String,
    /// What happened.
    pub kind: AuditKind,
    /// To what it happened.
    pub subject: String,
    /// How it ended: `ok`. A change that failed changes nothing, so it has no row.
    pub outcome: String,
}

impl AuditRow {
    /// Adds the row to a commit. Rows of no organization are in order of time, then of id.
    ///
    /// # Errors
    /// If the id is too long for a key.
    pub fn add_to(&self, commit: RecordCommit) -> Result<RecordCommit> {
        let milliseconds = u64::try_from(self.time.timestamp_millis()).unwrap_or_default();
        let parts = [KeyPart::Number(milliseconds), KeyPart::Text(&self.id)];
        let key = RecordKey::new(None, RecordKind::AuditRow, &parts)?;
        let body = serde_json::to_string(self).expect("a row has only text keys");
        Ok(commit.put(key, body, Expectation::Absent))
    }
}
