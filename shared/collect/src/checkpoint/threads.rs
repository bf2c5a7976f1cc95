//! How far the pull requests or the issues of a repository have been read.

use std::collections::BTreeSet;

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
    /// Number of threads that the list had, plus those that were opened since. If GitHub shows fewer, some are
    /// gone. `None` before the first walk has finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted: Option<i64>,
    /// The greatest number of a thread that was read. Threads with a greater number are new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_number: Option<i64>,
    /// Whether GitHub showed fewer threads than were counted, and those that are gone are yet to be found.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_short: bool,
    /// An unfinished walk.
    pub walk: Option<ThreadsWalk>,
    /// Entries that GitHub lists but fails to return.
    #[serde(skip_serializing_if = "UnansweredEntries::is_empty")]
    pub unanswered: UnansweredEntries,
    /// The page size that GitHub could answer; `None` if no page was too large for it.
    #[serde(rename = "size", skip_serializing_if = "Option::is_none")]
    pub page_size: Option<PageSize>,
}

impl ThreadsCheckpoint {
    /// Number of threads that GitHub should show if none was opened since the last finished walk.
    fn expected(&self) -> i64 {
        self.counted.unwrap_or(self.total)
    }

    /// Returns whether a list that was read before has fewer threads now, so that it must be looked at.
    pub(crate) fn has_shrunk_to(&self, total: i64) -> bool {
        self.covered_from.is_some() && (self.is_short || total < self.expected())
    }

    /// Compares the number of threads with the expected one. `total` is GitHub's number, `opened` is how many
    /// were opened since the last comparison. If some of them may have been opened after GitHub counted
    /// (`is_uncertain`), the next comparison decides.
    pub(crate) fn count_threads(&mut self, total: i64, opened: i64, is_uncertain: bool) {
        let expected = self.expected() + opened;
        let is_first = self.covered_from.is_none();
        // If there are more, a server was ahead of the list and the next walk finds them. Those that it does not
        // find were hidden for a while.
        let are_back = total > expected && total == self.total;
        self.is_short |= !is_first && total < expected && !is_uncertain;
        self.counted = Some(if is_first || are_back { total } else { expected });
        self.total = total;
    }

    /// Records that the threads that are gone were found. `total` is GitHub's number of the others.
    pub(crate) fn settle_count(&mut self, total: i64) {
        (self.is_short, self.counted, self.total) = (false, Some(total), total);
    }
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
    /// Numbers of the threads that the walk has read and that were opened since the last finished walk. Not
    /// gathered by the first walk.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub opened: BTreeSet<i64>,
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
            let opened = BTreeSet::new();
            ThreadsWalk { watermark: None, lower_bound, total: 9, directions, opened }.have_crossed()
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

    #[test]
    fn a_list_is_short_if_it_lost_more_than_it_gained() {
        let read = |total| ThreadsCheckpoint {
            covered_from: Some(DateTime::UNIX_EPOCH),
            total,
            ..Default::default()
        };
        let after = |total, opened, is_uncertain| {
            let mut checkpoint = read(9);
            checkpoint.count_threads(total, opened, is_uncertain);
            (checkpoint.is_short, checkpoint.counted)
        };
        assert_eq!(after(9, 0, false), (false, Some(9)));
        assert_eq!(after(10, 1, false), (false, Some(10)));
        assert_eq!(after(9, 1, false), (true, Some(10)), "one came and one went");
        assert_eq!(after(9, 1, true), (false, Some(10)), "perhaps GitHub counted before it came");
        assert_eq!(after(10, 0, false), (false, Some(9)), "the list lags behind the count");
        let mut lagging = read(9);
        lagging.count_threads(10, 0, false);
        assert!(!lagging.has_shrunk_to(10) && lagging.has_shrunk_to(8));
        lagging.count_threads(10, 1, false);
        assert_eq!((lagging.is_short, lagging.counted), (false, Some(10)));
        let mut short = read(9);
        short.count_threads(7, 0, false);
        assert!(short.has_shrunk_to(7));
        short.settle_count(7);
        assert!(!short.has_shrunk_to(7));
    }
}
