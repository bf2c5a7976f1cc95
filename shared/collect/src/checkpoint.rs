//! What collection remembers: how far each repository has been read, and up to when the
//! organization's numbers are complete. Every time in here was told by GitHub.

#[cfg(test)]
mod format;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::{ListOrder, PageSize, RepoState};
use gam_model::CommitVersion;
use serde::{Deserialize, Serialize};

/// How far a repository has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepoCheckpoint {
    /// Commits on the default branch.
    pub commits: CommitsCheckpoint,
    /// Pull requests, in the order of their changes.
    pub pulls: ChangesCheckpoint,
    /// Issues, in the order of their changes.
    pub issues: ChangesCheckpoint,
    /// Releases.
    pub releases: ReleasesCheckpoint,
    /// Deployments.
    pub deployments: DeploymentsCheckpoint,
    /// Why nothing new may come from the repository; what was collected stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<RepoState>,
}

/// The commits that have been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommitsCheckpoint {
    /// All ancestors of a tip within a span of committer dates have been read.
    pub covered: Option<CoveredCommits>,
    /// A walk that was begun and not finished.
    pub walk: Option<CommitWalk>,
    /// A move to a new tip that was begun and not finished.
    pub moving: Option<Moving>,
    /// The version of the commits written: greater after every force-push.
    pub version: CommitVersion,
    /// Commits whose lines GitHub refused to count.
    #[serde(skip_serializing_if = "Uncounted::is_empty")]
    pub uncounted: Uncounted,
    /// How large a page GitHub could answer, where one was too much for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<PageSize>,
}

/// Commits whose lines GitHub refused to count: they are asked for again, a day later each time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Uncounted {
    /// How often each was asked for again, by object id.
    pub tries: BTreeMap<String, u32>,
    /// When they were last asked for, UTC.
    pub asked_at: Option<DateTime<Utc>>,
}

impl Uncounted {
    /// How many are remembered at most: a checkpoint has to stay small.
    const MOST: usize = 500;
    /// How often one is asked for again.
    const TRIES: u32 = 10;

    fn is_empty(&self) -> bool {
        self.tries.is_empty()
    }

    /// Remembers a commit that was not counted, and forgets one that was.
    pub(crate) fn note(&mut self, oid: &str, is_counted: bool) {
        if is_counted {
            self.tries.remove(oid);
        } else if self.tries.len() < Self::MOST {
            self.tries.entry(oid.to_owned()).or_insert(0);
        }
    }

    /// Whether it is time to ask again, at `now` of GitHub's clock.
    pub(crate) fn is_due(&self, now: Option<DateTime<Utc>>) -> bool {
        let is_late = |now| self.asked_at.is_none_or(|asked| now - asked >= TimeDelta::days(1));
        !self.is_empty() && now.is_some_and(is_late)
    }

    /// Takes note that all of them are asked for; those asked for too often are forgotten.
    pub(crate) fn ask(&mut self, now: Option<DateTime<Utc>>) -> Vec<String> {
        self.asked_at = now;
        let asked = self.tries.keys().cloned().collect();
        self.tries.values_mut().for_each(|tries| *tries += 1);
        self.tries.retain(|_, tries| *tries < Self::TRIES);
        asked
    }
}

/// All ancestors of a tip within a span of committer dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoveredCommits {
    /// The tip.
    pub tip: String,
    /// The first committer date, UTC.
    pub since: DateTime<Utc>,
    /// The last committer date, UTC; absent where the span has no end.
    pub until: Option<DateTime<Utc>>,
}

/// A move from the covered tip to another. It is finished before anything else is read, even where the
/// branch has moved on or back: some of it may be in the lake already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moving {
    /// The other tip.
    pub to: String,
    /// What is left to do.
    pub step: MoveStep,
}

/// What is left to do of a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveStep {
    /// Read what the new tip has and the old one has not; so many of these commits have been read.
    Compare {
        /// How many.
        done: usize,
    },
    /// The histories cannot be compared: when the new one has been read whole, take back the old one, page
    /// by page.
    Replace {
        /// What was covered of the old one.
        old: CoveredCommits,
        /// Where the next page of it starts.
        cursor: Option<String>,
    },
}

/// A walk through the history of a pinned tip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitWalk {
    /// What is covered when the walk is done.
    pub covers: CoveredCommits,
    /// What is left to be read: a long history is cut into windows that are read side by side.
    pub windows: Vec<CommitWindow>,
}

/// A span of committer dates of a walk; both ends belong to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitWindow {
    /// The first committer date, UTC; absent where the whole history is looked at, and what is covered is
    /// taken from it.
    pub since: Option<DateTime<Utc>>,
    /// The last committer date, UTC; absent where the span has no end.
    pub until: Option<DateTime<Utc>>,
    /// Where the next page starts.
    pub cursor: Option<String>,
}

impl CommitWalk {
    /// A walk through one span, from its newest commit on.
    pub fn new(covers: CoveredCommits, since: DateTime<Utc>, until: Option<DateTime<Utc>>) -> Self {
        CommitWalk { covers, windows: vec![CommitWindow { since: Some(since), until, cursor: None }] }
    }
}

/// The entries of a list ordered by change that have been read: all that changed since a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangesCheckpoint {
    /// All changes from here on have been read, UTC.
    pub since: Option<DateTime<Utc>>,
    /// Up to here, UTC: the newest change when the last finished walk began.
    pub watermark: Option<DateTime<Utc>>,
    /// How many entries the list had then.
    pub total: i64,
    /// A walk that was begun and not finished.
    pub walk: Option<ChangesWalk>,
    /// How large a page GitHub could answer, where one was too much for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<PageSize>,
}

/// A walk through all entries that changed since a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesWalk {
    /// The newest change when the walk began, UTC; absent where the list was empty.
    pub watermark: Option<DateTime<Utc>>,
    /// That moment, UTC.
    pub floor: DateTime<Utc>,
    /// How many entries the list had when the walk began.
    pub total: i64,
    /// From the newest change down; or, where all of the list is to be read, from both ends of it until
    /// they meet.
    #[serde(default = "ChangesWalk::down")]
    pub ways: Vec<Way>,
}

impl ChangesWalk {
    /// From the newest change down.
    pub fn down() -> Vec<Way> {
        vec![Way::new(ListOrder::LastChanged)]
    }

    /// From both ends, by when entries were opened: no entry ever changes its place in that order.
    pub fn from_both_ends() -> Vec<Way> {
        vec![Way::new(ListOrder::Newest), Way::new(ListOrder::Oldest)]
    }

    /// Whether two ways have met, so that every entry was read. Of those opened at the moment that one has
    /// reached some may be left, so they have to go past each other.
    pub(crate) fn has_met(&self) -> bool {
        let reached = |order| self.ways.iter().find(|way| way.order == order)?.reached;
        let (newest, oldest) = (reached(ListOrder::Newest), reached(ListOrder::Oldest));
        newest.zip(oldest).is_some_and(|(newest, oldest)| oldest > newest)
    }
}

/// One way through a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// In which order.
    pub order: ListOrder,
    /// Where the next page starts.
    pub cursor: Option<String>,
    /// When the entry that was read last was opened, UTC.
    pub reached: Option<DateTime<Utc>>,
    /// How many entries were read.
    pub read: i64,
}

impl Way {
    /// A way from the first entry on.
    pub fn new(order: ListOrder) -> Self {
        Way { order, cursor: None, reached: None, read: 0 }
    }
}

/// The releases that have been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReleasesCheckpoint {
    /// What the probe showed when they were read; absent where they never were.
    pub seen: Option<SeenReleases>,
    /// When each known release was published, by id, UTC: a release can be taken back and published again.
    pub published: BTreeMap<i64, DateTime<Utc>>,
    /// The node ids of known drafts, by id: they may be published at any time.
    pub drafts: BTreeMap<i64, String>,
    /// The repository's latest activity when they were read, UTC.
    pub active_at: Option<DateTime<Utc>>,
    /// How large a page GitHub could answer, where one was too much for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<PageSize>,
}

/// What the probe shows of a repository's releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenReleases {
    /// How many there are.
    pub total: i64,
    /// The newest one's id.
    pub newest: Option<i64>,
    /// When the newest one was last changed, UTC.
    pub updated_at: Option<DateTime<Utc>>,
}

/// The deployments that have been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeploymentsCheckpoint {
    /// All that were created from here on have been read, UTC.
    pub since: Option<DateTime<Utc>>,
    /// The newest one's time of creation when the last finished walk began, UTC.
    pub watermark: Option<DateTime<Utc>>,
    /// The repository's latest activity when the last finished walk began, UTC.
    pub active_at: Option<DateTime<Utc>>,
    /// How many there were.
    pub total: i64,
    /// Those that may still succeed, by numeric id.
    pub unsettled: BTreeMap<i64, Unsettled>,
    /// A walk that was begun and not finished.
    pub walk: Option<DeploymentsWalk>,
    /// How large a page GitHub could answer, where one was too much for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<PageSize>,
}

/// A deployment that may still succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    /// The GraphQL node id.
    pub node_id: String,
    /// When it was created, UTC.
    pub created_at: DateTime<Utc>,
    /// When it first failed, if it has, UTC.
    #[serde(default)]
    pub failed_at: Option<DateTime<Utc>>,
}

/// A walk from the newest deployment down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentsWalk {
    /// The newest one's time of creation when the walk began, UTC.
    pub watermark: Option<DateTime<Utc>>,
    /// The repository's latest activity when the walk began, UTC.
    pub active_at: Option<DateTime<Utc>>,
    /// Where the walk ends, UTC.
    pub floor: DateTime<Utc>,
    /// How many there were when the walk began.
    pub total: i64,
    /// Where the next page starts.
    pub cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_counted_is_asked_for_again_some_times_a_day_apart() {
        let at = |hours: i64| DateTime::from_timestamp(hours * 3600, 0);
        let mut uncounted = Uncounted::default();
        assert!(!uncounted.is_due(at(0)));
        uncounted.note("a", false);
        uncounted.note("b", false);
        assert!(uncounted.is_due(at(0)) && !uncounted.is_due(None));
        assert_eq!(uncounted.ask(at(0)), ["a", "b"]);
        uncounted.note("a", true);
        uncounted.note("b", false);
        assert!(!uncounted.is_due(at(23)) && uncounted.is_due(at(24)));
        for _ in 1..Uncounted::TRIES {
            assert_eq!(uncounted.ask(at(24)), ["b"]);
        }
        assert!(!uncounted.is_due(at(100)));
        (0..1000).for_each(|n| uncounted.note(&n.to_string(), false));
        assert_eq!(uncounted.tries.len(), Uncounted::MOST);
    }

    #[test]
    fn ways_have_met_when_they_are_past_each_other() {
        let met = |newest: Option<i64>, oldest: Option<i64>| {
            let mut ways = ChangesWalk::from_both_ends();
            let at = |s: Option<i64>| s.and_then(|s| DateTime::from_timestamp(s, 0));
            (ways[0].reached, ways[1].reached) = (at(newest), at(oldest));
            ChangesWalk { watermark: None, floor: DateTime::UNIX_EPOCH, total: 9, ways }.has_met()
        };
        assert!(met(Some(5), Some(6)));
        assert!(!met(Some(5), Some(5)), "more may have been opened at that very second");
        assert!(!met(Some(5), Some(4)) && !met(None, Some(4)) && !met(Some(5), None));
    }

    #[test]
    fn a_walk_of_an_earlier_version_begins_anew() {
        let old = r#"{"watermark":null,"floor":"2024-01-01T00:00:00Z","total":9,"cursor":"Y3Vyc29y"}"#;
        let walk: ChangesWalk = serde_json::from_str(old).expect("it is understood");
        assert_eq!(walk.ways, ChangesWalk::down());
    }

    #[test]
    fn the_stored_format_is_stable() {
        let stored = include_str!("../testdata/checkpoint.json");
        let checkpoint: RepoCheckpoint = serde_json::from_str(stored).unwrap();
        let written: serde_json::Value = serde_json::to_value(&checkpoint).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(stored).unwrap());
        let empty = serde_json::to_string(&RepoCheckpoint::default()).unwrap();
        assert_eq!(empty, include_str!("../testdata/checkpoint-empty.json").trim_end());
    }
}
