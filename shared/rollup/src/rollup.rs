//! A rollup: what a subject did in a bucket, with separate tallies for people, for bots, and for what has no
//! author.

use std::collections::BTreeSet;

use gam_model::metric::{Counter, DurationMetric};
use gam_model::{MemberKind, Month, WeekOfMonth};

use crate::distribution::Distribution;

/// What people did, or one of the other sides of a rollup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The counters, indexed by [`Counter`].
    pub counts: [u64; Counter::COUNT],
    /// The durations, indexed by [`DurationMetric`].
    pub durations: [Distribution; DurationMetric::COUNT],
    /// The lower-cased names of the members credited with an event. Empty in members' rollups.
    pub members: BTreeSet<String>,
    /// The ids of the repositories with a credited event. Only filled in organizations' rollups.
    pub repos: BTreeSet<i64>,
    /// The times of the first and the last credited event, in epoch milliseconds; `None` without a credited
    /// event. Only filled in organizations' rollups.
    pub span: Option<(i64, i64)>,
}

impl Tally {
    /// Returns whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0) && self.members.is_empty() && self.repos.is_empty()
    }

    /// Returns whether an event is credited. Co-authored commits are not credited to the co-author.
    pub fn has_credited_events(&self) -> bool {
        has_credited_events(&self.counts)
    }

    /// Adds a tally of other events.
    pub fn merge(&mut self, other: &Tally) {
        for (count, added) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(added);
        }
        for (durations, added) in self.durations.iter_mut().zip(&other.durations) {
            durations.merge(added);
        }
        self.members.extend(other.members.iter().cloned());
        self.repos.extend(other.repos.iter().copied());
        self.span = merged_span(self.span, other.span);
    }
}

/// Returns whether an event is credited: every credited event adds to a counter, and only co-authored commits are
/// counted without being credited.
pub(crate) fn has_credited_events(counts: &[u64; Counter::COUNT]) -> bool {
    let is_credited =
        |counter: Counter| counter != Counter::CoAuthoredCommits && counts[counter as usize] > 0;
    Counter::ALL.into_iter().any(is_credited)
}

/// Returns the smallest span that covers both. A span is a first and a last time, in epoch milliseconds.
pub fn merged_span(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

/// What a subject did in a bucket, or in several merged buckets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollup {
    /// What people did.
    pub people: Tally,
    /// What bots did, without their deliveries.
    pub bots: Tally,
    /// The releases and deployments of bots. Apart from the rest, because `bots=auto` counts them.
    pub bot_deliveries: Tally,
    /// The releases and deployments without an author. Empty in members' rollups.
    pub unknown: Tally,
    /// The member's display name and kind in the last counted event; `None` unless the subject is a member.
    pub member: Option<(String, MemberKind)>,
    /// The month, and of breakdowns the week, of the latest item with a credited event; `None` without one. Items
    /// of a subject and a class have no time in common, so this decides which display name is the latest.
    pub latest_item: Option<(Month, WeekOfMonth)>,
}

impl Rollup {
    /// Returns whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.sides().into_iter().all(Tally::is_empty)
    }

    /// Returns the four tallies.
    pub fn sides(&self) -> [&Tally; 4] {
        [&self.people, &self.bots, &self.bot_deliveries, &self.unknown]
    }

    /// Returns the four tallies, in the order of [`Rollup::sides`].
    pub fn sides_mut(&mut self) -> [&mut Tally; 4] {
        [&mut self.people, &mut self.bots, &mut self.bot_deliveries, &mut self.unknown]
    }

    /// Adds a rollup of other events. Keeps the display name of the rollup with the later item.
    pub fn merge(&mut self, other: &Rollup) {
        let is_other_later = (self.latest_item, &self.member) < (other.latest_item, &other.member);
        // Usually both names are equal; then there is no need to copy one.
        if is_other_later && other.member.is_some() && self.member != other.member {
            self.member.clone_from(&other.member);
        }
        self.latest_item = self.latest_item.max(other.latest_item);
        for (side, added) in self.sides_mut().into_iter().zip(other.sides()) {
            side.merge(added);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_the_later_name_in_either_order() {
        let rollup_of = |name: &str, month: &str| Rollup {
            member: Some((name.into(), MemberKind::User)),
            latest_item: Some((Month::parse(month).unwrap(), WeekOfMonth::FIRST)),
            ..Rollup::default()
        };
        let (old, new) = (rollup_of("ann-old", "2024-05"), rollup_of("Ann", "2024-09"));
        let (mut old_first, mut new_first) = (old.clone(), new.clone());
        old_first.merge(&new);
        new_first.merge(&old);
        assert_eq!(old_first, new_first);
        assert_eq!(old_first.member.unwrap().0, "Ann");
    }

    #[test]
    fn co_authored_commits_are_not_credited() {
        let mut tally = Tally::default();
        tally.counts[Counter::CoAuthoredCommits as usize] = 1;
        assert!(!tally.has_credited_events() && !tally.is_empty());
        tally.counts[Counter::Reviews as usize] = 1;
        assert!(tally.has_credited_events());
    }
}
