//! Entries of the audit log, and positions in it. The log of an organization is a list of numbered segments, each of
//! which has rows. Rows that belong to no organization, such as those of tokens, have a log of their own.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The name of the log of rows that belong to no organization. No login of GitHub has this form.
pub const NO_ORG_LOG: &str = "_";

/// A row of the audit log, as it is read. Kinds and outcomes are texts, because newer programs may write others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Identifies the row for ever. Of two rows with one id, which only rows with a `count` can have, the later counts.
    pub event_id: String,
    /// What happened, such as `token_created`.
    pub kind: String,
    /// The storage key of the organization; `None` for rows of none.
    pub org: Option<String>,
    /// The name of the repository without the organization.
    pub repo: Option<String>,
    /// GitHub's id of the repository.
    pub repo_id: Option<i64>,
    /// The number of the issue or pull request.
    pub number: Option<i64>,
    /// Who made the change: `token:` and an id, or a word such as `local`.
    pub principal: String,
    /// To what it happened.
    pub subject: String,
    /// How it ended: `ok`, or why the change was made.
    pub outcome: String,
    /// When it happened, UTC, in milliseconds.
    pub occurred_at: DateTime<Utc>,
    /// Number of occurrences, for rows that count.
    pub count: Option<i64>,
    /// A keyed hash of the address that the request came from.
    pub origin: Option<String>,
    /// The commit that stored the row with the change. Rows of one commit have the same.
    pub commit_id: String,
    /// Further facts as a JSON object.
    pub detail: Option<String>,
}

/// A position in the log of an organization: directly after a row. It never changes its meaning, because segments do
/// not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogPosition {
    /// The number of the segment. Segments are counted from 1; 0 is before the first.
    pub segment: u64,
    /// Number of rows of the segment before the position.
    pub row: u64,
}

impl LogPosition {
    /// The beginning of a log.
    pub const START: LogPosition = LogPosition { segment: 0, row: 0 };

    /// Parses what [`fmt::Display`] writes. `None` if `text` is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        let (segment, row) = text.split_once('.')?;
        let position = LogPosition { segment: segment.parse().ok()?, row: row.parse().ok()? };
        (position.to_string() == text).then_some(position)
    }
}

/// The segment and the row, such as `12.3`.
impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.segment, self.row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_a_round_trip_and_sort() {
        let at = |segment, row| LogPosition { segment, row };
        for position in [LogPosition::START, at(12, 3), at(u64::MAX, u64::MAX)] {
            assert_eq!(LogPosition::parse(&position.to_string()), Some(position));
        }
        for invalid in ["", "1", "1.", ".1", "01.2", "1.+2", "1.2.3", "-1.0"] {
            assert_eq!(LogPosition::parse(invalid), None, "{invalid}");
        }
        assert!(at(1, 9) < at(2, 0) && at(2, 0) < at(2, 1));
    }
}
