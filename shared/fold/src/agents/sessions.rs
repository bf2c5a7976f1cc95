//! The sessions of a month, put together from their days.

use rustc_hash::FxHashMap;

use super::RowOwner;

/// What the rows of a month say about a session.
pub(super) struct FoldedSession {
    /// Who it belongs to in its first row.
    pub(super) owner: RowOwner,
    /// The first own line, in epoch milliseconds.
    pub(super) started_at: i64,
    /// Active milliseconds in the month.
    pub(super) active_ms: u64,
    /// What decides which row is the first one: its time, then its repository and member.
    first_row: (i64, i64, u32),
}

/// The sessions, by agent and id. A session has a row for each UTC day.
#[derive(Default)]
pub(super) struct SessionParts(FxHashMap<String, FoldedSession>);

impl SessionParts {
    /// Adds a row. `times` are the first own line of the session and of the row, in epoch milliseconds.
    pub(super) fn add(
        &mut self,
        agent: &str,
        session: &str,
        owner: RowOwner,
        (started_at, occurred_at): (i64, i64),
        active_ms: u64,
    ) {
        // A copy of the log that lacks the beginning takes its own first line for the start.
        let started_at = started_at.min(occurred_at);
        let first_row = (occurred_at, owner.repo_id, owner.member);
        let key = format!("{agent}:{session}");
        let folded =
            self.0.entry(key).or_insert(FoldedSession { owner, started_at, active_ms: 0, first_row });
        folded.started_at = folded.started_at.min(started_at);
        folded.active_ms = folded.active_ms.saturating_add(active_ms);
        if first_row < folded.first_row {
            (folded.first_row, folded.owner) = (first_row, owner);
        }
    }

    pub(super) fn into_sessions(self) -> impl Iterator<Item = FoldedSession> {
        self.0.into_values()
    }
}
