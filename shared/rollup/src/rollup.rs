//! A rollup: what a subject did in a bucket, with separate tallies for people, for bots, and for what has no
//! author.

use std::collections::BTreeSet;

use gam_model::MemberKind;
use gam_model::metric::{Counter, DurationMetric};

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
    /// event.
    ///
    /// Co-authored commits are counted but not credited, so a tally can have counts and no span.
    pub span: Option<(i64, i64)>,
}

impl Tally {
    /// Returns whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        !self.has_credited_events()
            && self.counts.iter().all(|count| *count == 0)
            && self.members.is_empty()
            && self.repos.is_empty()
    }

    /// Returns whether an event is credited. Co-authored commits are not credited to the co-author.
    pub fn has_credited_events(&self) -> bool {
        self.span.is_some()
    }

    /// Adds a tally of other events.
    pub fn merge(&mut self, other: &Tally) {
        for (count, added) in self.counts.iter_mut().zip(other.counts) {
            *count += added;
        }
        for (durations, added) in self.durations.iter_mut().zip(&other.durations) {
            durations.merge(added);
        }
        self.members.extend(other.members.iter().cloned());
        self.repos.extend(other.repos.iter().copied());
        self.span = merged_span(self.span, other.span);
    }
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

    /// Adds a rollup of other events. Keeps the display name of the rollup whose last event is later.
    pub fn merge(&mut self, other: &Rollup) {
        let is_other_later = (self.last_event_at(), &self.member) < (other.last_event_at(), &other.member);
        // Usually both names are equal; then there is no need to copy one.
        if is_other_later && other.member.is_some() && self.member != other.member {
            self.member.clone_from(&other.member);
        }
        for (side, added) in self.sides_mut().into_iter().zip(other.sides()) {
            side.merge(added);
        }
    }

    /// Returns the time of the last credited event, in epoch milliseconds.
    fn last_event_at(&self) -> Option<i64> {
        self.sides().into_iter().filter_map(|side| side.span).map(|span| span.1).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_the_later_name_in_either_order() {
        let rollup_of = |name: &str, last_event_at: i64| {
            let mut rollup = Rollup { member: Some((name.into(), MemberKind::User)), ..Rollup::default() };
            rollup.people.span = Some((0, last_event_at));
            rollup
        };
        let (old, new) = (rollup_of("ann-old", 5), rollup_of("Ann", 9));
        let (mut old_first, mut new_first) = (old.clone(), new.clone());
        old_first.merge(&new);
        new_first.merge(&old);
        assert_eq!(old_first, new_first);
        assert_eq!(old_first.member.unwrap().0, "Ann");
    }
}
