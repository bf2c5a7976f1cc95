//! A rollup: what a subject did in a bucket, people and bots apart.

use std::collections::{BTreeMap, BTreeSet};

use gam_model::MemberKind;
use gam_model::metric::{Counter, DurationMetric};
use serde::{Deserialize, Serialize};

use crate::distribution::Distribution;

/// One side of a rollup: what people did, or what bots did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The counters, by [`Counter`].
    pub counts: [u64; Counter::COUNT],
    /// The durations, by [`DurationMetric`].
    pub durations: [Distribution; DurationMetric::COUNT],
    /// Who is credited with anything, by lower-cased name; kept for organizations and repositories.
    pub members: BTreeSet<String>,
    /// The repositories anything was credited in, by id; kept for organizations.
    pub repos: BTreeSet<i64>,
    /// The time of the first and the last event credited, in epoch milliseconds. A co-author is named by
    /// an event that somebody else is credited with, so there are counts without it.
    pub span: Option<(i64, i64)>,
}

impl Tally {
    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        !self.is_credited() && self.counts.iter().all(|count| *count == 0)
    }

    /// Whether anything is credited; being named as a co-author is not enough.
    pub fn is_credited(&self) -> bool {
        self.span.is_some()
    }

    /// Adds a disjoint part.
    pub fn merge(&mut self, other: &Tally) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        for (durations, more) in self.durations.iter_mut().zip(&other.durations) {
            durations.merge(more);
        }
        self.members.extend(other.members.iter().cloned());
        self.repos.extend(other.repos.iter().copied());
        self.span = merged_span(self.span, other.span);
    }
}

/// The span that covers both, each as first and last time in epoch milliseconds.
pub fn merged_span(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

/// What a subject did in a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollup {
    /// What people did.
    pub people: Tally,
    /// What bots did.
    pub bots: Tally,
    /// How the last event counted spells the member's name, and what sort of actor it shows; members'
    /// rollups only.
    pub member: Option<(String, MemberKind)>,
}

impl Rollup {
    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty() && self.bots.is_empty()
    }

    /// Adds a disjoint rollup; the member is named as in the one whose last event is later.
    pub fn merge(&mut self, other: &Rollup) {
        let is_later = (self.last(), &self.member) < (other.last(), &other.member);
        // Most are named alike, and a name is a text to copy.
        if is_later && other.member.is_some() && self.member != other.member {
            self.member.clone_from(&other.member);
        }
        self.people.merge(&other.people);
        self.bots.merge(&other.bots);
    }

    /// The time of the last event counted, in epoch milliseconds.
    fn last(&self) -> Option<i64> {
        merged_span(self.people.span, self.bots.span).map(|span| span.1)
    }

    /// The rollup as JSON text: names as keys, zeros and empty parts left out.
    pub fn to_json(&self) -> String {
        let wire = Wire {
            people: WireTally::of(&self.people),
            bots: WireTally::of(&self.bots),
            member: self.member.clone(),
        };
        serde_json::to_string(&wire).expect("a rollup's keys are text or integers")
    }

    /// The rollup that [`Rollup::to_json`] wrote.
    ///
    /// # Errors
    /// Where the text is none.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let wire: Wire = serde_json::from_str(text)?;
        Ok(Rollup {
            people: wire.people.map(WireTally::into_tally).unwrap_or_default(),
            bots: wire.bots.map(WireTally::into_tally).unwrap_or_default(),
            member: wire.member,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none")]
    people: Option<WireTally>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bots: Option<WireTally>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<(String, MemberKind)>,
}

#[derive(Serialize, Deserialize)]
struct WireTally {
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

impl WireTally {
    fn of(part: &Tally) -> Option<Self> {
        if part.is_empty() {
            return None;
        }
        let counts = Counter::ALL
            .into_iter()
            .filter(|&counter| part.counts[counter as usize] > 0)
            .map(|counter| (counter.as_str().to_owned(), part.counts[counter as usize]))
            .collect();
        let durations = DurationMetric::ALL
            .into_iter()
            .filter(|&duration| !part.durations[duration as usize].is_empty())
            .map(|duration| (duration.as_str().to_owned(), part.durations[duration as usize].clone()))
            .collect();
        Some(WireTally {
            counts,
            durations,
            members: part.members.clone(),
            repos: part.repos.clone(),
            span: part.span,
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
    fn a_rollup_survives_being_stored() {
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
    fn merging_takes_the_later_name_whichever_comes_first() {
        let named = |name: &str, last: i64| {
            let mut rollup = Rollup { member: Some((name.into(), MemberKind::User)), ..Rollup::default() };
            rollup.people.span = Some((0, last));
            rollup
        };
        let (old, new) = (named("ann-old", 5), named("Ann", 9));
        let (mut a, mut b) = (old.clone(), new.clone());
        a.merge(&new);
        b.merge(&old);
        assert_eq!(a, b);
        assert_eq!(a.member.unwrap().0, "Ann");
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
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("rollup_body", rollup.to_json());
        });
    }
}
