//! The JSON of the audit log.

use chrono::{DateTime, Utc};
use gam_model::{AuditEntry, LogPosition};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::VisibleLog;

/// Rows of the audit log.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditLogPage {
    /// The rows, log by log in the order of each log. With `tail=true`, rows follow that no segment has yet.
    pub(super) rows: Vec<AuditLogRow>,
    /// The `after` of the next page. It is never null: later, new rows are after it.
    pub(super) next: String,
    /// Whether there are more rows now. A page can have fewer rows than `limit`, or none, and still have more.
    pub(super) has_more: bool,
    /// How long to wait before asking for new rows, if there are no more now.
    pub(super) poll_after_seconds: u64,
}

/// A row of the audit log.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditLogRow {
    /// The name of the log in cursors.
    #[serde(skip)]
    #[schema(ignore)]
    log: String,
    /// The number of the segment. `null` if no segment has the row yet: then it comes again.
    #[schema(required)]
    segment: Option<u64>,
    /// The number of the row in the segment, from 1.
    #[schema(required)]
    row: Option<u64>,
    /// Identifies the row for ever.
    event_id: String,
    /// What happened, such as `token_created`.
    kind: String,
    /// The organization, or `null`.
    #[schema(required)]
    org: Option<String>,
    /// The name of the repository, or `null`.
    #[schema(required)]
    repo: Option<String>,
    /// GitHub's id of the repository, or `null`.
    #[schema(required)]
    repo_id: Option<i64>,
    /// The number of the issue or pull request, or `null`.
    #[schema(required)]
    number: Option<i64>,
    /// Who made the change: `token:` and the id of a token, or a word such as `local`.
    principal: String,
    /// To what it happened.
    subject: String,
    /// How it ended: `ok`, or why the change was made.
    outcome: String,
    /// When it happened, UTC.
    occurred_at: DateTime<Utc>,
    /// Number of occurrences, for rows that count, or `null`.
    #[schema(required)]
    count: Option<i64>,
    /// A keyed hash of the address that the request came from, or `null`.
    #[schema(required)]
    origin: Option<String>,
    /// The commit that stored the row with the change. Rows of one commit have the same.
    commit_id: String,
    /// Further facts, or `null`.
    #[schema(required, value_type = Option<BTreeMap<String, Value>>)]
    detail: Option<Map<String, Value>>,
}

impl AuditLogRow {
    /// Creates the row of an entry. `position` is directly after it; `None` if no segment has it yet.
    pub(super) fn new(entry: AuditEntry, log: &VisibleLog, position: Option<LogPosition>) -> Self {
        AuditLogRow {
            log: log.log().to_owned(),
            segment: position.map(|position| position.segment),
            row: position.map(|position| position.row),
            event_id: entry.event_id,
            kind: entry.kind,
            org: log.name.clone(),
            repo: entry.repo,
            repo_id: entry.repo_id,
            number: entry.number,
            principal: entry.principal,
            subject: entry.subject,
            outcome: entry.outcome,
            occurred_at: entry.occurred_at,
            count: entry.count,
            origin: entry.origin,
            commit_id: entry.commit_id,
            detail: entry.detail.and_then(|detail| serde_json::from_str(&detail).ok()),
        }
    }

    pub(super) fn occurred_at(&self) -> DateTime<Utc> {
        self.occurred_at
    }

    /// Returns whether this is the same row, in a segment or not.
    pub(super) fn is_same(&self, other: &AuditLogRow) -> bool {
        self.identity() == other.identity()
    }

    /// Returns what identifies the row.
    pub(super) fn identity(&self) -> (&str, &str) {
        (&self.event_id, &self.commit_id)
    }

    /// Returns the name of the log in cursors.
    pub(super) fn log(&self) -> &str {
        &self.log
    }

    /// Returns the position directly after the row; `None` if no segment has it yet.
    pub(super) fn position(&self) -> Option<LogPosition> {
        Some(LogPosition { segment: self.segment?, row: self.row? })
    }
}
