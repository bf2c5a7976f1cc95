//! How far the pull requests or the issues of a repository have been read.

use chrono::{DateTime, Utc};
use gam_github::{ListOrder, PageSize};
use serde::{Deserialize, Serialize};

use super::UnansweredEntries;

/// The threads of one list (pull requests or issues) that have been read: all that changed since a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThreadsCheckpoint {
    /// All changes from this moment on have been read, UTC; `None` before the first walk has finished.
    #[serde(rename = "since")]
    pub covered_from: Option<DateTime<Utc>>,
    /// The newest change when the last finished walk began, UTC. The next walk reads down to it.
    pub watermark: Option<DateTime<Utc>>,
    /// Number of threads in the list when the last finished walk began.
    pub total: i64,
    /// An unfinished walk.
    pub walk: Option<ThreadsWalk>,
    /// Entries that GitHub lists but fails to return.
    #[serde(skip_serializing_if = "UnansweredEntries::is_empty")]
    pub unanswered: UnansweredEntries,
    /// The page size that GitHub could answer; `None` if no page was too large for it.
    #[serde(rename = "size", skip_serializing_if = "Option::is_none")]
    pub page_size: Option<PageSize>,
}

/// An unfinished walk through all threads that changed since a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadsWalk {
    /// The newest change when the walk began, UTC; `None` if the list was empty.
    pub watermark: Option<DateTime<Utc>>,
    /// The walk reads every change from this moment on, UTC.
    #[serde(rename = "floor")]
    pub lower_bound: DateTime<Utc>,
    /// Number of threads in the list when the walk began.
    pub total: i64,
    /// One direction: from the newest change down. Or two, if the entire list is read: from both ends until
    /// they cross.
    #[serde(rename = "ways", default = "ThreadsWalk::from_newest_change")]
    pub directions: Vec<WalkDirection>,
}

impl ThreadsWalk {
    /// The directions of a walk from the newest change down.
    pub fn from_newest_change() -> Vec<WalkDirection> {
        vec![WalkDirection::new(ListOrder::LastChanged)]
    }

    /// The directions of a walk from both ends, by creation: no thread ever changes its position in that
    /// order.
    pub fn from_both_ends() -> Vec<WalkDirection> {
        vec![WalkDirection::new(ListOrder::Newest), WalkDirection::new(ListOrder::Oldest)]
    }

    /// Returns whether two directions have passed each other, so that every thread was read. It does not
    /// suffice that both have reached the same second: more threads of that second may be left.
    pub(crate) fn have_crossed(&self) -> bool {
        let reached = |order| {
            let mut directions = self.directions.iter();
            directions.find(|direction| direction.order == order)?.reached
        };
        let (newest, oldest) = (reached(ListOrder::Newest), reached(ListOrder::Oldest));
        newest.zip(oldest).is_some_and(|(newest, oldest)| oldest > newest)
    }
}

/// One direction in which a walk reads a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkDirection {
    /// The order of the list.
    pub order: ListOrder,
    /// The cursor of the next page; `None` for the first.
    pub cursor: Option<String>,
    /// When the thread that was read last was opened, UTC.
    pub reached: Option<DateTime<Utc>>,
    /// Number of threads read in this direction.
    #[serde(rename = "read")]
    pub threads_read: i64,
}

impl WalkDirection {
    /// A direction that starts at the first thread.
    pub fn new(order: ListOrder) -> Self {
        WalkDirection { order, cursor: None, reached: None, threads_read: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_have_crossed_when_they_are_past_each_other() {
        let have_crossed = |newest: Option<i64>, oldest: Option<i64>| {
            let mut directions = ThreadsWalk::from_both_ends();
            let at = |s: Option<i64>| s.and_then(|s| DateTime::from_timestamp(s, 0));
            (directions[0].reached, directions[1].reached) = (at(newest), at(oldest));
            let lower_bound = DateTime::UNIX_EPOCH;
            ThreadsWalk { watermark: None, lower_bound, total: 9, directions }.have_crossed()
        };
        assert!(have_crossed(Some(5), Some(6)));
        assert!(!have_crossed(Some(5), Some(5)), "more may have been opened in that very second");
        assert!(!have_crossed(Some(5), Some(4)) && !have_crossed(None, Some(4)));
        assert!(!have_crossed(Some(5), None));
    }

    #[test]
    fn a_walk_stored_by_an_earlier_version_starts_over() {
        let old = r#"{"watermark":null,"floor":"2024-01-01T00:00:00Z","total":9,"cursor":"Y3Vyc29y"}"#;
        let walk: ThreadsWalk = serde_json::from_str(old).expect("the walk can be read");
        assert_eq!(walk.directions, ThreadsWalk::from_newest_change());
    }
}
