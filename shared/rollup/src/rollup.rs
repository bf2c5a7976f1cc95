//! A rollup: what a subject did in a bucket, with separate tallies for people, for bots, and for what has no
//! author.

use std::collections::{BTreeMap, BTreeSet};

use gam_model::MemberKind;
use gam_model::metric::{Counter, DurationMetric};
use serde::{Deserialize, Serialize};

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

    /// Encodes the rollup as JSON, the stored form. Counters and durations are keyed by name; zeros and empty
    /// fields are left out.
    pub fn to_json(&self) -> String {
        let json = RollupJson {
            people: TallyJson::from_tally(&self.people),
            bots: TallyJson::from_tally(&self.bots),
            bot_deliveries: TallyJson::from_tally(&self.bot_deliveries),
            unknown: TallyJson::from_tally(&self.unknown),
            member: self.member.clone(),
        };
        serde_json::to_string(&json).expect("all keys of a rollup are text or integers")
    }

    /// Decodes what [`Rollup::to_json`] returned. Ignores unknown counters and durations.
    ///
    /// # Errors
    /// If the text is not a rollup in JSON.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let json: RollupJson = serde_json::from_str(text)?;
        let tally = |side: Option<TallyJson>| side.map(TallyJson::into_tally).unwrap_or_default();
        Ok(Rollup {
            people: tally(json.people),
            bots: tally(json.bots),
            bot_deliveries: tally(json.bot_deliveries),
            unknown: tally(json.unknown),
            member: json.member,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct RollupJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    people: Option<TallyJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bots: Option<TallyJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bot_deliveries: Option<TallyJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<TallyJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<(String, MemberKind)>,
}

#[derive(Serialize, Deserialize)]
struct TallyJson {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    counts: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    durations: BTreeMap<String, Distribution>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    members: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    repos: BTreeSet<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    span: Option<(i64, i64)>,
}

impl TallyJson {
    /// Returns `None` if the tally is empty.
    fn from_tally(tally: &Tally) -> Option<Self> {
        if tally.is_empty() {
            return None;
        }
        let counts = Counter::ALL
            .into_iter()
            .filter(|&counter| tally.counts[counter as usize] > 0)
            .map(|counter| (counter.as_str().to_owned(), tally.counts[counter as usize]))
            .collect();
        let durations = DurationMetric::ALL
            .into_iter()
            .filter(|&duration| !tally.durations[duration as usize].is_empty())
            .map(|duration| (duration.as_str().to_owned(), tally.durations[duration as usize].clone()))
            .collect();
        Some(TallyJson {
            counts,
            durations,
            members: tally.members.clone(),
            repos: tally.repos.clone(),
            span: tally.span,
        })
    }

    fn into_tally(mut self) -> Tally {
        Tally {
            counts: Counter::ALL.map(|counter| self.counts.get(counter.as_str()).copied().unwrap_or(0)),
            durations: DurationMetric::ALL
                .map(|duration| self.durations.remove(duration.as_str()).unwrap_or_default()),
            members: self.members,
            repos: self.repos,
            span: self.span,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollups_decode_from_their_json() {
        let mut rollup = Rollup::default();
        rollup.people.counts[Counter::Commits as usize] = 3;
        rollup.people.durations[DurationMetric::CycleTime as usize].add(4_000);
        rollup.people.members.insert("ann".into());
        rollup.people.repos.insert(7);
        rollup.people.span = Some((1, 2));
        rollup.member = Some(("Ann".into(), MemberKind::User));
        assert_eq!(Rollup::from_json(&rollup.to_json()).unwrap(), rollup);
        assert_eq!(Rollup::default().to_json(), "{}");
        assert_eq!(Rollup::from_json("{}").unwrap(), Rollup::default());
        assert!(Rollup::from_json("[1]").is_err());
    }

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

    /// Stores hold these texts: another form takes a greater `LOGIC_VERSION`.
    #[test]
    fn the_stored_form_never_changes() {
        let mut rollup = Rollup { member: Some(("Ann".into(), MemberKind::User)), ..Rollup::default() };
        for counter in Counter::ALL {
            rollup.people.counts[counter as usize] = counter as u64 + 1;
        }
        for duration in DurationMetric::ALL {
            // One value with a bucket of its own, and one that shares its bucket.
            for seconds in [60, 86_400 + duration as u64] {
                rollup.people.durations[duration as usize].add(seconds);
            }
        }
        rollup.people.members = ["ann".into(), "bob".into()].into();
        rollup.people.repos = [7, 8].into();
        rollup.people.span = Some((1_700_000_000_000, 1_700_086_400_000));
        rollup.bots.counts[Counter::Commits as usize] = 1;
        rollup.bots.span = Some((1_700_000_000_000, 1_700_000_000_000));
        // More values than are stored one by one, in two buckets.
        for seconds in (0..65).map(|number| 60 + number % 2) {
            rollup.bots.durations[DurationMetric::CycleTime as usize].add(seconds);
        }
        rollup.bot_deliveries.counts[Counter::Deploys as usize] = 2;
        rollup.unknown.counts[Counter::Releases as usize] = 3;
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("rollup_body", rollup.to_json());
        });
    }
}
