//! Totals of one side of a rollup, without names.

use gam_model::metric::{Counter, DurationMetric};

use crate::distribution::Distribution;
use crate::rollup::{Tally, has_credited_events};

/// Whose work an event is. A rollup has a tally for each side.
///
/// The variants' numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Side {
    /// What people did.
    People,
    /// What bots did, without their deliveries.
    Bots,
    /// Releases and deployments of bots.
    BotDeliveries,
    /// Releases and deployments without an author.
    Unknown,
}

impl Side {
    /// All sides, in the order of [`Rollup::sides`](crate::Rollup::sides).
    pub const ALL: [Side; 4] = [Side::People, Side::Bots, Side::BotDeliveries, Side::Unknown];
}

/// The counters and durations of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// The counters, indexed by [`Counter`].
    pub counts: [u64; Counter::COUNT],
    /// The durations, indexed by [`DurationMetric`]; `None` if there are none of either. In a box, because few
    /// members merge pull requests on a given day.
    pub durations: Option<Box<[Distribution; DurationMetric::COUNT]>>,
}

impl Totals {
    /// Adds to a counter.
    pub fn add(&mut self, counter: Counter, amount: u64) {
        let count = &mut self.counts[counter as usize];
        *count = count.saturating_add(amount);
    }

    /// Adds a duration, in seconds.
    pub fn add_duration(&mut self, metric: DurationMetric, seconds: u64) {
        self.durations.get_or_insert_default()[metric as usize].add(seconds);
    }

    /// Returns whether an event is credited. Co-authored commits are not credited to the co-author.
    pub fn has_credited_events(&self) -> bool {
        has_credited_events(&self.counts)
    }

    /// Adds the totals of other events.
    pub fn merge(&mut self, other: &Totals) {
        for (count, added) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(added);
        }
        if let Some(other_durations) = &other.durations {
            let durations = self.durations.get_or_insert_default();
            durations.iter_mut().zip(other_durations.iter()).for_each(|(own, added)| own.merge(added));
        }
    }

    /// Adds these totals to a tally. Leaves its span, members and repositories as they are.
    pub fn add_to(&self, tally: &mut Tally) {
        for (count, added) in tally.counts.iter_mut().zip(self.counts) {
            *count = count.saturating_add(added);
        }
        if let Some(durations) = &self.durations {
            tally.durations.iter_mut().zip(durations.iter()).for_each(|(own, added)| own.merge(added));
        }
    }
}
