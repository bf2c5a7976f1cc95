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

/// Totals whose counters that are zero are left out. Most cells have one to four.
#[derive(Debug, Clone, Copy)]
pub struct SparseTotals<'a> {
    /// Which counters are not zero: bit 0 is the first.
    pub counters: u16,
    /// Their values, in the order of the counters.
    pub counts: &'a [u64],
    /// The durations, as in [`Totals`].
    pub durations: Option<&'a [Distribution; DurationMetric::COUNT]>,
}

const _: () = assert!(Counter::COUNT <= u16::BITS as usize, "a bit for each counter");

impl SparseTotals<'_> {
    /// Returns the value of a counter.
    pub fn count(&self, counter: Counter) -> u64 {
        let bit = 1 << counter as u16;
        if self.counters & bit == 0 {
            return 0;
        }
        self.counts[(self.counters & (bit - 1)).count_ones() as usize]
    }

    /// Adds these totals to others.
    pub fn add_to(&self, totals: &mut Totals) {
        let mut counters = self.counters;
        for count in self.counts {
            let own = &mut totals.counts[counters.trailing_zeros() as usize];
            *own = own.saturating_add(*count);
            counters &= counters - 1;
        }
        match (self.durations, &mut totals.durations) {
            (None, _) => {}
            (Some(added), Some(own)) => own.iter_mut().zip(added).for_each(|(own, added)| own.merge(added)),
            (Some(added), None) => totals.durations = Some(Box::new(added.clone())),
        }
    }
}

impl Totals {
    /// Returns the counters that are not zero. `counts` gets their values.
    pub fn to_sparse<'a>(&'a self, counts: &'a mut [u64; Counter::COUNT]) -> SparseTotals<'a> {
        let (mut counters, mut length) = (0, 0);
        for (index, count) in self.counts.into_iter().enumerate() {
            counts[length] = count;
            let is_counted = count > 0;
            counters |= u16::from(is_counted) << index;
            length += usize::from(is_counted);
        }
        SparseTotals { counters, counts: &counts[..length], durations: self.durations.as_deref() }
    }

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
