//! Entries of a list that GitHub lists but fails to return.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::KnownUnanswered;
use serde::{Deserialize, Serialize};

/// Entries of one list that GitHub lists but fails to return. They count as far as a basic query shows them.
/// They are requested again a day apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnansweredEntries {
    /// The entries, by GraphQL node id.
    pub entries: BTreeMap<String, UnansweredItem>,
    /// When they were last requested, by GitHub's clock, UTC.
    pub requested_at: Option<DateTime<Utc>>,
    /// How many entries are not remembered because there are too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: u64,
}

/// An entry that GitHub lists but fails to return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnansweredItem {
    /// The number of the issue or pull request; the numeric id of another entry.
    pub number: Option<i64>,
    /// When it was created, UTC.
    pub created_at: DateTime<Utc>,
    /// When it last changed, as far as GitHub shows it, UTC.
    pub changed_at: DateTime<Utc>,
    /// How often it was requested again.
    pub retries: u32,
    /// What GitHub answered, for people.
    pub why: String,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl UnansweredEntries {
    /// How many entries are remembered at most, so that the checkpoint stays small.
    const MAX_ENTRIES: usize = 100;
    /// The most characters of an answer that are remembered.
    const MAX_WHY_CHARS: usize = 300;
    /// How often an entry is requested again. After that it is read only if GitHub lists it as changed.
    const MAX_RETRIES: u32 = 30;
    const RETRY_INTERVAL: TimeDelta = TimeDelta::days(1);

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.omitted == 0
    }

    /// Adds an entry that GitHub did not return at `now`, by GitHub's clock.
    pub(crate) fn add(&mut self, node_id: &str, item: UnansweredItem, now: Option<DateTime<Utc>>) {
        let retries = self.entries.get(node_id).map_or(item.retries, |before| before.retries);
        if self.entries.len() >= Self::MAX_ENTRIES && !self.entries.contains_key(node_id) {
            self.omitted += 1;
            return;
        }
        self.requested_at = self.requested_at.or(now);
        let why = item.why.chars().take(Self::MAX_WHY_CHARS).collect();
        self.entries.insert(node_id.to_owned(), UnansweredItem { retries, why, ..item });
    }

    /// Removes an entry that GitHub has returned.
    pub(crate) fn remove(&mut self, node_id: &str) {
        self.entries.remove(node_id);
        if self.entries.is_empty() {
            self.requested_at = None;
        }
    }

    /// Returns the entries by node id, with what GitHub answered.
    pub(crate) fn known(&self) -> KnownUnanswered {
        self.entries.iter().map(|(id, item)| (id.clone(), item.why.clone())).collect()
    }

    /// Returns whether it is time to request entries again. `now` is the time of GitHub's clock; if it is
    /// unknown, nothing is due.
    pub(crate) fn is_due(&self, now: Option<DateTime<Utc>>) -> bool {
        let has_waited = |now| self.requested_at.is_none_or(|at| now - at >= Self::RETRY_INTERVAL);
        self.entries.values().any(|item| item.retries < Self::MAX_RETRIES) && now.is_some_and(has_waited)
    }

    /// Returns the node ids to request again, and counts the attempt.
    pub(crate) fn start_retry(&mut self, now: Option<DateTime<Utc>>) -> Vec<String> {
        self.requested_at = now;
        let due = self.entries.iter_mut().filter(|(_, item)| item.retries < Self::MAX_RETRIES);
        due.map(|(id, item)| {
            item.retries += 1;
            id.clone()
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(hours * 3600, 0)
    }

    fn item() -> UnansweredItem {
        let time = DateTime::UNIX_EPOCH;
        UnansweredItem { number: Some(7), created_at: time, changed_at: time, retries: 0, why: "x".into() }
    }

    #[test]
    fn entries_are_requested_daily_up_to_the_limit() {
        let mut unanswered = UnansweredEntries::default();
        assert!(!unanswered.is_due(at(0)) && unanswered.is_empty());
        unanswered.add("a", item(), at(0));
        assert!(!unanswered.is_due(at(23)) && unanswered.is_due(at(24)) && !unanswered.is_due(None));
        for day in 1..=i64::from(UnansweredEntries::MAX_RETRIES) {
            assert!(unanswered.is_due(at(24 * day)));
            assert_eq!(unanswered.start_retry(at(24 * day)), ["a"]);
            // The list may show it meanwhile.
            unanswered.add("a", item(), at(24 * day));
        }
        assert!(!unanswered.is_due(at(24_000)), "it stays known, but costs nothing any more");
        assert_eq!(unanswered.known().len(), 1);
        unanswered.remove("a");
        assert!(unanswered.is_empty());
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let mut unanswered = UnansweredEntries::default();
        (0..150).for_each(|n| unanswered.add(&n.to_string(), item(), at(0)));
        assert_eq!((unanswered.entries.len(), unanswered.omitted), (UnansweredEntries::MAX_ENTRIES, 50));
    }
}
