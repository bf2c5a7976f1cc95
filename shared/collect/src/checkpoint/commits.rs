//! How far the commits of a repository have been read.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::PageSize;
use gam_model::CommitVersion;
use serde::{Deserialize, Serialize};

use super::UnansweredEntries;

/// The commits of a repository that have been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommitsCheckpoint {
    /// The commits that have been read completely; `None` before the first walk has finished.
    pub covered: Option<CoveredCommits>,
    /// An unfinished walk.
    pub walk: Option<CommitWalk>,
    /// An unfinished move to another tip.
    #[serde(rename = "moving")]
    pub tip_move: Option<TipMove>,
    /// The version of the commits that are written now.
    pub version: CommitVersion,
    /// Commits whose changed lines GitHub refused to count.
    #[serde(rename = "uncounted", skip_serializing_if = "PendingLineCounts::is_empty")]
    pub pending_line_counts: PendingLineCounts,
    /// Commits whose changed lines GitHub fails to return, by object id. They are pending too.
    #[serde(skip_serializing_if = "UnansweredEntries::is_empty")]
    pub unanswered: UnansweredEntries,
    /// The page size that GitHub could answer; `None` if no page was too large for it.
    #[serde(rename = "size", skip_serializing_if = "Option::is_none")]
    pub page_size: Option<PageSize>,
}

impl CommitsCheckpoint {
    /// Returns whether a walk or a move to another tip is unfinished.
    pub(crate) fn is_in_progress(&self) -> bool {
        self.walk.is_some() || self.tip_move.is_some()
    }
}

/// Commits whose changed lines GitHub refused to count. They are requested again, a day apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PendingLineCounts {
    /// How often each commit was requested again, by object id.
    #[serde(rename = "tries")]
    pub retries: BTreeMap<String, u32>,
    /// When the commits were last requested again, UTC.
    #[serde(rename = "asked_at")]
    pub requested_at: Option<DateTime<Utc>>,
}

impl PendingLineCounts {
    /// How many commits are remembered at most, so that the checkpoint stays small.
    const MAX_COMMITS: usize = 500;
    /// How often a commit is requested again at most.
    const MAX_RETRIES: u32 = 10;
    const RETRY_INTERVAL: TimeDelta = TimeDelta::days(1);

    fn is_empty(&self) -> bool {
        self.retries.is_empty()
    }

    /// Adds a commit without line counts, unless too many are remembered already. Commits that are no longer
    /// requested make room.
    pub(crate) fn add(&mut self, oid: &str) {
        if self.retries.len() >= Self::MAX_COMMITS {
            self.retries.retain(|_, retries| *retries < Self::MAX_RETRIES);
        }
        if self.retries.len() < Self::MAX_COMMITS {
            self.retries.entry(oid.to_owned()).or_insert(0);
        }
    }

    /// Removes a commit: its lines were counted, or it is no longer on the branch.
    pub(crate) fn remove(&mut self, oid: &str) {
        self.retries.remove(oid);
    }

    /// Returns whether it is time to request the commits again. `now` is the time of GitHub's clock; if it
    /// is unknown, nothing is due.
    pub(crate) fn is_due(&self, now: Option<DateTime<Utc>>) -> bool {
        let has_waited = |now| self.requested_at.is_none_or(|at| now - at >= Self::RETRY_INTERVAL);
        self.retries.values().any(|retries| *retries < Self::MAX_RETRIES) && now.is_some_and(has_waited)
    }

    /// Returns the object ids to request again and counts the attempt. Commits that have reached the limit stay
    /// remembered, and are not requested.
    pub(crate) fn start_retry(&mut self, now: Option<DateTime<Utc>>) -> Vec<String> {
        self.requested_at = now;
        let due = self.retries.iter_mut().filter(|(_, retries)| **retries < Self::MAX_RETRIES);
        due.map(|(oid, retries)| {
            *retries += 1;
            oid.clone()
        })
        .collect()
    }
}

/// All ancestors of a tip within a span of committer dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoveredCommits {
    /// The object id of the tip.
    pub tip: String,
    /// The first committer date, UTC.
    pub since: DateTime<Utc>,
    /// The last committer date, UTC; `None` if the span has no end.
    pub until: Option<DateTime<Utc>>,
}

/// An unfinished move from the covered tip to another. It is finished before anything else is read, even if
/// the branch has moved on or back since: some of its events may be in the lake already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TipMove {
    /// The object id of the other tip.
    pub to: String,
    /// What is left to do.
    pub step: MoveStep,
}

/// What is left to do of a move to another tip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveStep {
    /// Read the commits that are reachable from the new tip only.
    Compare {
        /// How many of these commits have been read.
        #[serde(rename = "done")]
        commits_read: usize,
    },
    /// The histories cannot be compared. Read the new history completely, then retract the old one page by
    /// page.
    Replace {
        /// What was covered of the old history.
        old: CoveredCommits,
        /// The cursor of the next page of the old history.
        cursor: Option<String>,
    },
}

/// An unfinished walk through the history of a tip. The walk stays with that tip, even if the branch moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitWalk {
    /// What is covered once the walk has finished.
    pub covers: CoveredCommits,
    /// The windows that are left to read. A long history has several, which are read in parallel.
    pub windows: Vec<HistoryWindow>,
    /// The commits that the complete history is searched for; `None` if the list of the span has them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<HistorySearch>,
}

/// A search of the complete history for the commits of a span. It ends when all of them are found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistorySearch {
    /// Number of commits in the span, as GitHub counts them.
    pub expected: i64,
    /// Number of them that were found.
    pub found: i64,
}

/// A span of committer dates of a walk. Both ends belong to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryWindow {
    /// The first committer date, UTC; `None` if the walk looks at the complete history and picks the covered
    /// commits from it.
    pub since: Option<DateTime<Utc>>,
    /// The last committer date, UTC; `None` if the span has no end.
    pub until: Option<DateTime<Utc>>,
    /// The cursor of the next page; `None` for the first.
    pub cursor: Option<String>,
}

impl CommitWalk {
    /// A walk through one window, from its newest commit to its oldest.
    pub fn new(covers: CoveredCommits, since: DateTime<Utc>, until: Option<DateTime<Utc>>) -> Self {
        let windows = vec![HistoryWindow { since: Some(since), until, cursor: None }];
        CommitWalk { covers, windows, search: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_counts_are_requested_daily_up_to_the_limit() {
        let at = |hours: i64| DateTime::from_timestamp(hours * 3600, 0);
        let mut pending = PendingLineCounts::default();
        assert!(!pending.is_due(at(0)));
        pending.add("a");
        pending.add("b");
        assert!(pending.is_due(at(0)) && !pending.is_due(None));
        assert_eq!(pending.start_retry(at(0)), ["a", "b"]);
        pending.remove("a");
        pending.add("b");
        assert!(!pending.is_due(at(23)) && pending.is_due(at(24)));
        for _ in 1..PendingLineCounts::MAX_RETRIES {
            assert_eq!(pending.start_retry(at(24)), ["b"]);
        }
        assert!(!pending.is_due(at(100)));
        (0..1000).for_each(|n| pending.add(&n.to_string()));
        assert_eq!(pending.retries.len(), PendingLineCounts::MAX_COMMITS);
    }
}
