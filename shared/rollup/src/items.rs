//! The three kinds of stored items of a month, decoded. [`stored_form`](crate::stored_form) has their stored form.
//!
//! Members and repositories are numbered within an item: entries hold indexes into the item's dictionaries, which
//! are sorted and without duplicates. Every item is a function of the live rows that it is folded from.

use gam_model::metric::Counter;
use gam_model::{DayOfMonth, MemberKind, Month, Range, Subject, WeekOfMonth};

use crate::rollup::{Rollup, Tally, merged_span};
use crate::totals::{Side, SparseTotals, Totals};

/// A member as its latest counted event shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DisplayName {
    /// The name in GitHub's upper and lower case.
    pub name: String,
    /// The kind of the account.
    pub kind: MemberKind,
}

/// The totals of one side, with the members and repositories that are credited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideTotals {
    /// Whose work it is.
    pub side: Side,
    /// Counters and durations.
    pub totals: Totals,
    /// The credited members, as ascending indexes into the item's members. Empty if the subject is a member.
    pub members: Vec<u32>,
    /// The repositories with a credited event, as ascending indexes into the item's repositories. Only filled if
    /// the subject is the organization.
    pub repos: Vec<u32>,
    /// The times of the first and the last credited event, in epoch milliseconds; `None` without a credited
    /// event. Only filled in the days of the organization.
    pub span: Option<(i64, i64)>,
}

/// A subject's month, day by day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaysItem {
    /// The latest display name; `None` unless the subject is a member.
    pub name: Option<DisplayName>,
    /// The keys of the members that the days name, ascending.
    pub members: Vec<String>,
    /// The ids of the repositories that the days name, ascending.
    pub repos: Vec<i64>,
    /// The days with events, ascending, by the number of the [`DayOfMonth`]. Each has at least one side, in the
    /// order of the sides, and each side at most once.
    pub days: Vec<(u8, Vec<SideTotals>)>,
}

impl DaysItem {
    /// Returns the sum of the days in the range, of the month that the item belongs to.
    pub fn sum(&self, month: Month, range: Range) -> Rollup {
        self.sum_days(month, |day| range.contains(day.date(month)))
    }

    /// Returns the sum of all days, of the month that the item belongs to.
    pub fn sum_all(&self, month: Month) -> Rollup {
        self.sum_days(month, |_| true)
    }

    fn sum_days(&self, month: Month, is_in_range: impl Fn(DayOfMonth) -> bool) -> Rollup {
        let mut sum = SumOfSides::new(self.members.len(), self.repos.len());
        for (day, sides) in &self.days {
            if DayOfMonth::new(*day).is_some_and(&is_in_range) {
                sides.iter().for_each(|side| sum.add(side));
            }
        }
        sum.into_rollup(self, month)
    }
}

/// Adds up sides. Collects members and repositories as flags, so that each name is copied once.
struct SumOfSides {
    rollup: Rollup,
    members: [Vec<bool>; 4],
    repos: [Vec<bool>; 4],
}

impl SumOfSides {
    fn new(members: usize, repos: usize) -> Self {
        let flags = |count: usize| std::array::from_fn(|_| vec![false; count]);
        SumOfSides { rollup: Rollup::default(), members: flags(members), repos: flags(repos) }
    }

    fn add(&mut self, added: &SideTotals) {
        let side = added.side as usize;
        let tally: &mut Tally = self.rollup.sides_mut()[side];
        added.totals.add_to(tally);
        tally.span = merged_span(tally.span, added.span);
        added.members.iter().for_each(|&index| self.members[side][index as usize] = true);
        added.repos.iter().for_each(|&index| self.repos[side][index as usize] = true);
    }

    fn into_rollup(mut self, item: &DaysItem, month: Month) -> Rollup {
        for (side, tally) in self.rollup.sides_mut().into_iter().enumerate() {
            let named = self.members[side].iter().zip(&item.members).filter(|(is_credited, _)| **is_credited);
            tally.members = named.map(|(_, member)| member.clone()).collect();
            let named = self.repos[side].iter().zip(&item.repos).filter(|(is_credited, _)| **is_credited);
            tally.repos = named.map(|(_, repo)| *repo).collect();
        }
        if !self.rollup.is_empty() {
            self.rollup.member = item.name.as_ref().map(|name| (name.name.clone(), name.kind));
        }
        self.rollup.latest_item = item_with_credit(&self.rollup, month, WeekOfMonth::FIRST);
        self.rollup
    }
}

/// Returns the month and the week if the rollup, which is of one item, has credited events.
fn item_with_credit(rollup: &Rollup, month: Month, week: WeekOfMonth) -> Option<(Month, WeekOfMonth)> {
    rollup.sides().into_iter().any(Tally::has_credited_events).then_some((month, week))
}

/// All repositories, or all members, that did something in a month, with their totals of the month.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListItem {
    /// The keys of the members that are credited in repositories, ascending. Empty in a list of members.
    pub members: Vec<String>,
    /// The subjects, ascending by [`Subject`].
    pub entries: Vec<ListEntry>,
}

/// A subject of a [`ListItem`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEntry {
    /// The repository or the member.
    pub subject: ListedSubject,
    /// Which weeks of the month have a breakdown of the subject: bit 0 is the first week.
    pub weeks: u8,
    /// The totals of the month, at most one of a side, in the order of the sides.
    pub sides: Vec<SideTotals>,
}

/// What a list contains.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListedSubject {
    /// A repository, by GitHub's numeric id.
    Repo(i64),
    /// A member, by its key, with its display name in the month.
    Member(String, DisplayName),
}

/// A [`ListedSubject`] whose texts are somewhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectRef<'a> {
    /// The repository with GitHub's numeric id.
    Repo(i64),
    /// The member with this key, and its display name.
    Member {
        /// The key.
        key: &'a str,
        /// The display name, in GitHub's upper and lower case.
        name: &'a str,
        /// The kind of the account.
        kind: MemberKind,
    },
}

impl ListedSubject {
    /// Returns the subject without copies of its texts.
    pub fn as_subject_ref(&self) -> SubjectRef<'_> {
        match self {
            ListedSubject::Repo(id) => SubjectRef::Repo(*id),
            ListedSubject::Member(key, name) => SubjectRef::Member { key, name: &name.name, kind: name.kind },
        }
    }

    /// Returns the subject.
    pub fn subject(&self) -> Subject {
        match self {
            ListedSubject::Repo(id) => Subject::Repo(*id),
            ListedSubject::Member(key, _) => Subject::Member(key.clone()),
        }
    }

    fn display_name(&self) -> Option<&DisplayName> {
        match self {
            ListedSubject::Repo(_) => None,
            ListedSubject::Member(_, name) => Some(name),
        }
    }
}

impl ListEntry {
    /// Returns the weeks of the month that have a breakdown of the subject, in order.
    pub fn breakdown_weeks(&self) -> impl Iterator<Item = WeekOfMonth> {
        let weeks = self.weeks;
        WeekOfMonth::all().filter(move |week| weeks & (1 << week.number()) != 0)
    }
}

impl ListItem {
    /// Returns the totals of an entry of this list, with its credited members and its display name. `month` is
    /// the month that the list belongs to.
    pub fn rollup(&self, month: Month, entry: &ListEntry) -> Rollup {
        let mut rollup = Rollup::default();
        for side in &entry.sides {
            let tally: &mut Tally = rollup.sides_mut()[side.side as usize];
            side.totals.add_to(tally);
            tally.members.extend(side.members.iter().map(|&index| self.members[index as usize].clone()));
        }
        rollup.member = entry.subject.display_name().map(|name| (name.name.clone(), name.kind));
        rollup.latest_item = item_with_credit(&rollup, month, WeekOfMonth::FIRST);
        rollup
    }
}

/// A repository's week by member, or a member's week by repository.
///
/// Both count what a member did in a repository alike: a commit that lies in several repositories is in the
/// cells of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BreakdownItem {
    /// The members or repositories that the cells name, ascending. A member's display name is that of its latest
    /// event in the cells.
    pub others: Vec<ListedSubject>,
    /// What was done, ascending by day, other and side, each at most once.
    pub cells: Vec<Cell>,
}

/// What a member did in a repository on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The number of the [`DayOfMonth`].
    pub day: u8,
    /// The index of the member or the repository among the item's others.
    pub other: u32,
    /// Whose work it is; never [`Side::Unknown`], which belongs to no member.
    pub side: Side,
    /// Counters and durations.
    pub totals: Totals,
}

impl Cell {
    /// Returns the cell without copies of its durations. `counts` gets the counters that are not zero.
    pub(crate) fn to_sparse<'a>(&'a self, counts: &'a mut [u64; Counter::COUNT]) -> SparseCell<'a> {
        SparseCell {
            day: self.day,
            other: self.other,
            side: self.side,
            totals: self.totals.to_sparse(counts),
        }
    }
}

/// A [`Cell`] whose totals are somewhere else.
#[derive(Debug, Clone, Copy)]
pub struct SparseCell<'a> {
    /// The number of the [`DayOfMonth`].
    pub day: u8,
    /// The index of the member or the repository among the item's others.
    pub other: u32,
    /// Whose work it is; never [`Side::Unknown`], which belongs to no member.
    pub side: Side,
    /// Counters and durations.
    pub totals: SparseTotals<'a>,
}

impl BreakdownItem {
    /// Returns the sum of each other's cells whose days are in the range, of the month that the item belongs to;
    /// only those with cells, ascending by [`Subject`]. Members and repositories in them are empty.
    pub fn sum_by_other(&self, month: Month, range: Range) -> Vec<(Subject, Rollup)> {
        let mut sums: Vec<Option<Rollup>> = vec![None; self.others.len()];
        for cell in &self.cells {
            let day = DayOfMonth::new(cell.day).filter(|day| range.contains(day.date(month)));
            let Some(day) = day else { continue };
            let sum = sums[cell.other as usize].get_or_insert_default();
            cell.totals.add_to(sum.sides_mut()[cell.side as usize]);
            sum.latest_item = item_with_credit(sum, month, day.week());
        }
        let sums = self.others.iter().zip(sums);
        sums.filter_map(|(other, sum)| {
            let mut sum = sum?;
            sum.member = other.display_name().map(|name| (name.name.clone(), name.kind));
            Some((other.subject(), sum))
        })
        .collect()
    }
}
