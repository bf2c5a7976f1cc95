//! Versions of commits.
//!
//! All commits of a repository's current history share one [`CommitVersion`]. GitHub says of no commit when
//! it joined or left the branch, so a version cannot follow from the commit alone: a force-push starts a
//! greater one, and the collector stores it in the repository's checkpoint.
//!
//! An event's version is twice the commit version, plus one if GitHub counted the commit's changed lines. So
//! a commit that is counted later replaces the uncounted one, and nothing else changes. From one force-push
//! to the next the commit version grows by at least two, which leaves room for the retractions in between:
//!
//! ```text
//! before the force-push   v        events 2v      (uncounted)  and 2v + 1  (counted)
//! retractions             n - 1    events 2n - 2               and 2n - 1
//! after the force-push    n        events 2n      (uncounted)  and 2n + 1  (counted)     n >= v + 2
//! ```

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The version that all commits of a repository's current history carry. It grows with every force-push.
///
/// It starts as the epoch second of the last push, so that a collection whose checkpoints were lost begins
/// with a version that is not less than those it wrote before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommitVersion(i64);

impl CommitVersion {
    /// How much a force-push adds at least: one step for the retractions, and one for the new history.
    const FORCE_PUSH_STEP: i64 = 2;

    /// The version of a history that is read for the first time. `pushed_at` is when the repository was last
    /// pushed to, by GitHub's clock; `None` if GitHub does not say.
    pub fn initial(pushed_at: Option<DateTime<Utc>>) -> Self {
        CommitVersion(epoch_seconds(pushed_at).max(1))
    }

    /// The version of the history that a force-push left behind. `pushed_at` is as for
    /// [`CommitVersion::initial`].
    #[must_use]
    pub fn after_force_push(self, pushed_at: Option<DateTime<Utc>>) -> Self {
        CommitVersion((self.0 + Self::FORCE_PUSH_STEP).max(epoch_seconds(pushed_at)))
    }

    /// The version of the retractions that the force-push to this version caused. It is greater than every
    /// version before the force-push, and less than this one.
    #[must_use]
    pub fn retraction(self) -> Self {
        CommitVersion(self.0 - 1)
    }

    /// Returns whether the version has been chosen. The default version has not: no commit was read yet.
    pub fn is_set(self) -> bool {
        self.0 != 0
    }

    /// The version of a commit's event. `is_counted` says whether GitHub counted the commit's changed lines.
    pub fn event_version(self, is_counted: bool) -> i64 {
        2 * self.0 + i64::from(is_counted)
    }
}

fn epoch_seconds(at: Option<DateTime<Utc>>) -> i64 {
    at.map_or(0, |at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(second, 0)
    }

    #[test]
    fn the_first_version_is_the_second_of_the_last_push() {
        assert_eq!(CommitVersion::initial(at(1_700_000_000)), CommitVersion(1_700_000_000));
        assert_eq!(CommitVersion::initial(None), CommitVersion(1));
        assert_eq!(CommitVersion::initial(at(-5)), CommitVersion(1));
    }

    #[test]
    fn a_force_push_takes_the_time_of_the_push_or_two_steps() {
        let version = CommitVersion(100);
        assert_eq!(version.after_force_push(at(500)), CommitVersion(500));
        assert_eq!(version.after_force_push(at(101)), CommitVersion(102));
        assert_eq!(version.after_force_push(None), CommitVersion(102));
        assert_eq!(CommitVersion(500).retraction(), CommitVersion(499));
    }

    #[test]
    fn counted_lines_add_one_to_the_version_of_an_event() {
        assert_eq!(CommitVersion(4).event_version(false), 8);
        assert_eq!(CommitVersion(4).event_version(true), 9);
    }

    #[test]
    fn it_is_stored_as_a_number_and_zero_means_unset() {
        let version: CommitVersion = serde_json::from_str("17").unwrap();
        assert_eq!((version, version.is_set()), (CommitVersion(17), true));
        assert_eq!(serde_json::to_string(&version).unwrap(), "17");
        assert_eq!(serde_json::to_string(&CommitVersion::default()).unwrap(), "0");
        assert!(!CommitVersion::default().is_set());
    }

    proptest! {
        #[test]
        fn events_are_ordered_before_retractions_before_later_events(
            first_push in proptest::option::of(0_i64..4_000_000_000),
            pushes in proptest::collection::vec(proptest::option::of(0_i64..4_000_000_000), 1..8),
        ) {
            let mut version = CommitVersion::initial(first_push.and_then(at));
            for pushed_at in pushes {
                let next = version.after_force_push(pushed_at.and_then(at));
                let in_order = [
                    version.event_version(false),
                    version.event_version(true),
                    next.retraction().event_version(false),
                    next.retraction().event_version(true),
                    next.event_version(false),
                    next.event_version(true),
                ];
                prop_assert!(in_order.is_sorted_by(|a, b| a < b), "{in_order:?}");
                version = next;
            }
        }
    }
}
