//! Running totals of a fold, before they become rollups.

use std::collections::BTreeSet;

use gam_model::MemberKind;
use gam_model::metric::{Counter, DurationMetric};
use gam_rollup::{Distribution, Rollup, Tally, merged_span};
use rustc_hash::FxHashMap;

/// Distinct texts, numbered in order of first use.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    texts: Vec<String>,
    indexes: FxHashMap<String, u32>,
}

impl Interner {
    /// Returns the index of the text, which is added if it is new.
    pub(crate) fn intern(&mut self, text: String) -> u32 {
        *self.indexes.entry(text).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            self.texts.len() as u32 - 1
        })
    }

    /// Returns the text. Panics if no text has this index.
    pub(crate) fn text(&self, index: u32) -> &str {
        &self.texts[index as usize]
    }
}

/// Whose work an event is. A rollup has a tally for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    People,
    Bots,
    /// Releases and deployments of bots.
    BotDeliveries,
    /// Releases and deployments without an author.
    Unknown,
}

impl Side {
    /// All sides, in the order of [`Rollup::sides`].
    pub(crate) const ALL: [Side; 4] = [Side::People, Side::Bots, Side::BotDeliveries, Side::Unknown];
}

/// A value for each side.
#[derive(Debug, Default)]
pub(crate) struct BySide<T> {
    people: T,
    bots: T,
    /// Bots' deliveries and those without an author. Allocated on first use, because most days have none.
    deliveries: Option<Box<[T; 2]>>,
}

impl<T: Default> BySide<T> {
    pub(crate) fn get_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::People => &mut self.people,
            Side::Bots => &mut self.bots,
            Side::BotDeliveries => &mut self.deliveries.get_or_insert_default()[0],
            Side::Unknown => &mut self.deliveries.get_or_insert_default()[1],
        }
    }

    /// Returns the rollup of these values, without a member.
    pub(crate) fn to_rollup(&self, to_tally: impl Fn(&T) -> Tally) -> Rollup {
        let mut rollup =
            Rollup { people: to_tally(&self.people), bots: to_tally(&self.bots), ..Rollup::default() };
        if let Some(deliveries) = &self.deliveries {
            rollup.bot_deliveries = to_tally(&deliveries[0]);
            rollup.unknown = to_tally(&deliveries[1]);
        }
        rollup
    }
}

/// What the totals of the current repository and day are kept by: the member, the side, and whether they count
/// in the repository only. Packed into one number, which hashes fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TotalsKey(u64);

impl TotalsKey {
    /// `member` is the index of a member's key. `is_repeat` says that the rows are commits that another
    /// repository counts for the organization.
    pub(crate) fn new(member: u32, side: Side, is_repeat: bool) -> Self {
        TotalsKey(u64::from(member) << 3 | (side as u64) << 1 | u64::from(is_repeat))
    }

    pub(crate) fn member(self) -> u32 {
        (self.0 >> 3) as u32
    }

    pub(crate) fn side(self) -> Side {
        Side::ALL[(self.0 >> 1 & 3) as usize]
    }

    pub(crate) fn is_repeat(self) -> bool {
        self.0 & 1 == 1
    }
}

/// The running totals behind a [`Tally`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Accumulator {
    counts: [u64; Counter::COUNT],
    /// Allocated on first use, because few members merge pull requests on a given day.
    durations: Option<Box<[Distribution; DurationMetric::COUNT]>>,
    span: Option<(i64, i64)>,
}

impl Accumulator {
    pub(crate) fn add(&mut self, counter: Counter, amount: u64) {
        self.counts[counter as usize] += amount;
    }

    pub(crate) fn add_duration(&mut self, metric: DurationMetric, seconds: u64) {
        self.durations.get_or_insert_default()[metric as usize].add(seconds);
    }

    /// Extends the span to a credited event, at a time in epoch milliseconds.
    pub(crate) fn credit(&mut self, occurred_at: i64) {
        self.span = merged_span(self.span, Some((occurred_at, occurred_at)));
    }

    pub(crate) fn has_credited_events(&self) -> bool {
        self.span.is_some()
    }

    pub(crate) fn merge(&mut self, other: &Accumulator) {
        for (count, added) in self.counts.iter_mut().zip(other.counts) {
            *count += added;
        }
        if let Some(other_durations) = &other.durations {
            let durations = self.durations.get_or_insert_default();
            durations.iter_mut().zip(other_durations.iter()).for_each(|(own, added)| own.merge(added));
        }
        self.span = merged_span(self.span, other.span);
    }

    /// Returns the tally of these totals, with these members' keys and without repositories.
    pub(crate) fn to_tally(&self, members: BTreeSet<String>) -> Tally {
        Tally {
            counts: self.counts,
            durations: self.durations.as_deref().cloned().unwrap_or_default(),
            members,
            span: self.span,
            ..Tally::default()
        }
    }
}

/// The totals of one repository and day.
#[derive(Debug, Default)]
pub(crate) struct RepoDayTotals {
    pub(crate) totals: Accumulator,
    /// The members with a credited event, as indexes of their keys; each once.
    pub(crate) credited_members: Vec<u32>,
}

/// The totals of one member and day.
#[derive(Debug, Default)]
pub(crate) struct MemberDayTotals {
    pub(crate) totals: BySide<Accumulator>,
    pub(crate) display_name: Option<DisplayName>,
}

/// A member's name and kind as an event shows them.
///
/// Stored with the totals of each day and merged like them. One display name for the month would break the
/// promise that an event changes only the rollups in which it is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DisplayName {
    /// When the event occurred, in epoch milliseconds.
    pub(crate) occurred_at: i64,
    /// The index of the name among the display names.
    pub(crate) name: u32,
    pub(crate) kind: MemberKind,
}

impl DisplayName {
    /// Replaces `latest` if this event is later. At equal times the greater name wins, then the greater kind,
    /// so the order of rows does not matter.
    pub(crate) fn update(self, latest: &mut Option<DisplayName>, display_names: &Interner) {
        let is_later = match latest {
            None => true,
            Some(old) if old.occurred_at != self.occurred_at => old.occurred_at < self.occurred_at,
            Some(old) if old.name == self.name => old.kind < self.kind,
            Some(old) => display_names.text(old.name) < display_names.text(self.name),
        };
        if is_later {
            *latest = Some(self);
        }
    }
}
