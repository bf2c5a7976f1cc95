//! Recognizes the copy of a parent's history at the beginning of a forked log.

use chrono::{DateTime, Utc};

/// How long the copy of a history takes at most, in seconds, if the log does not say when turns began.
const MAX_COPY_SECONDS: i64 = 10;
/// How the turns of sessions begin that were imported from another agent. They were no use of Codex.
const IMPORTED_TURN: &str = "external-import-turn-";

/// Whether the records that are read are copies.
///
/// Copies have the time of the fork. But a turn says when it began: before the file did, if it is a copy.
#[derive(Debug, Default)]
pub(super) struct Replay {
    started_at: Option<DateTime<Utc>>,
    is_fork: bool,
    /// What the last turn with a time says.
    is_turn_copied: Option<bool>,
}

impl Replay {
    /// Records when the session of this file began.
    pub(super) fn set_start(&mut self, at: DateTime<Utc>) {
        self.started_at.get_or_insert(at);
    }

    /// Records that the file can begin with a copy.
    pub(super) fn set_fork(&mut self) {
        self.is_fork = true;
    }

    /// Records that a turn began. `started_at` is in epoch seconds.
    pub(super) fn start_turn(&mut self, turn_id: Option<&str>, started_at: Option<i64>) {
        if turn_id.is_some_and(|id| id.starts_with(IMPORTED_TURN)) {
            self.is_turn_copied = Some(true);
            return;
        }
        let start = self.started_at.map(|at| at.timestamp());
        if let (Some(turn), Some(start)) = (started_at, start) {
            self.is_turn_copied = Some(turn < start);
        } else if self.is_turn_copied.is_some() {
            // After turns with times, one without is not imported. Whether it is a copy is judged by its time.
            self.is_turn_copied = None;
        }
    }

    /// Records that another agent ordered the work that follows.
    pub(super) fn start_own_work(&mut self) {
        self.is_turn_copied = Some(false);
    }

    /// Returns whether a record with this time is a copy.
    pub(super) fn is_copy(&self, at: DateTime<Utc>) -> bool {
        if let Some(is_copied) = self.is_turn_copied {
            return is_copied;
        }
        let Some(started_at) = self.started_at.filter(|_| self.is_fork) else { return false };
        (at - started_at).num_seconds() <= MAX_COPY_SECONDS
    }
}
