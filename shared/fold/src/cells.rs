//! Cells: what a member did in a repository on a day. All items of a month are sums of its cells.
//!
//! There are about as many cells as events if a member rarely does two things in one repository on one day. So
//! a finished cell stores only the counters that are not zero.

use std::num::NonZeroU32;

use gam_model::metric::DurationMetric;
use gam_model::{DayOfMonth, MemberKind, WeekOfMonth};
use gam_rollup::{Distribution, Side, SparseTotals, Totals, merged_span};

use crate::members::Interner;

/// Whose cell it is: the member, the side, and whether its commits count in the repository only. Packed into
/// one number, which is small if there are few members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CellKey(u64);

impl CellKey {
    /// `member` is the index of a member's key, or its rank. `is_repeat` says that the rows are commits that
    /// another repository counts for the organization.
    pub(crate) fn new(member: u32, side: Side, is_repeat: bool) -> Self {
        CellKey(u64::from(member) << 3 | (side as u64) << 1 | u64::from(is_repeat))
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

    /// Returns the same key for another number of the member.
    fn with_member(self, member: u32) -> Self {
        CellKey(u64::from(member) << 3 | self.0 & 7)
    }
}

/// A member's name and kind as an event shows them, and the time of the event. The greatest one of a member is
/// its display name: the latest, and of several at one time the one with the greatest name, then kind. So the
/// order of rows does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DatedName {
    /// When the event occurred, in epoch milliseconds. The earliest possible time if the member is only a
    /// co-author, so any credited event replaces the name.
    pub(crate) at: i64,
    /// The index of the name among the display names. Names only compare correctly by their ranks.
    pub(crate) name: u32,
    pub(crate) kind: MemberKind,
}

impl DatedName {
    /// Returns whether this is the greater one, by the texts of the names.
    pub(crate) fn is_later(self, other: DatedName, names: &Interner) -> bool {
        let text = |name: DatedName| (name.at, names.text(name.name), name.kind);
        // Texts are compared only if the times are equal.
        self.at > other.at || (self.at == other.at && self != other && text(self) > text(other))
    }
}

/// A finished cell. [`Cells`] has its repository, its day and its totals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) key: CellKey,
    /// The index of the repository and day.
    pub(crate) repo_day: u32,
    /// The display name, without its time, which follows from the span.
    name: u32,
    kind: MemberKind,
    /// Which counters are not zero: bit 0 is the first.
    counters: u16,
    /// The index of the first of those counters among all cells' counters.
    first_count: u32,
    /// The index of the durations among all cells' durations, plus 1: a cell is smaller without a zero.
    durations: Option<NonZeroU32>,
    /// The times of the first and the last credited event, in milliseconds since the start of the month.
    span: Option<(u32, u32)>,
}

impl Cell {
    /// Returns whether an event is credited, so that the member counts as active.
    pub(crate) fn has_credited_events(&self) -> bool {
        self.span.is_some()
    }
}

/// A repository and a day, with at least one cell.
#[derive(Debug, Clone)]
pub(crate) struct RepoDay {
    pub(crate) repo_id: i64,
    pub(crate) day: DayOfMonth,
    /// The week of the day.
    pub(crate) week: WeekOfMonth,
    /// The index of the first cell, and that after the last.
    pub(crate) cells: (u32, u32),
}

/// More counters than the mean row has: a commit has four, most other events have one.
const COUNTS_PER_ROW: usize = 3;

/// No memory is reserved for more rows, because a damaged snapshot may claim any number.
const MAX_EXPECTED_ROWS: usize = 4 << 20;

/// The finished cells of a month.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    cells: Vec<Cell>,
    /// The counters that are not zero, cell by cell.
    counts: Vec<u64>,
    durations: Vec<[Distribution; DurationMetric::COUNT]>,
    pub(crate) repo_days: Vec<RepoDay>,
    /// The start of the month, in epoch milliseconds.
    month_start: i64,
}

impl Cells {
    /// Creates cells with room for those of this number of rows, if rarely two rows share a cell. Growing would copy all
    /// cells several times. What stays unused takes no memory.
    pub(crate) fn new(month_start: i64, rows: usize) -> Self {
        let rows = rows.min(MAX_EXPECTED_ROWS);
        let (cells, counts) = (Vec::with_capacity(rows), Vec::with_capacity(COUNTS_PER_ROW * rows));
        Cells { month_start, cells, counts, ..Cells::default() }
    }

    /// Returns the cells of a repository and day.
    pub(crate) fn of(&self, repo_day: &RepoDay) -> &[Cell] {
        &self.cells[repo_day.cells.0 as usize..repo_day.cells.1 as usize]
    }

    /// Returns the repository and day of a cell.
    pub(crate) fn repo_day(&self, cell: &Cell) -> &RepoDay {
        &self.repo_days[cell.repo_day as usize]
    }

    /// Returns the name that the cell shows for its member.
    pub(crate) fn dated_name(&self, cell: &Cell) -> DatedName {
        let at = cell.span.map_or(i64::MIN, |(_, last)| self.month_start + i64::from(last));
        DatedName { at, name: cell.name, kind: cell.kind }
    }

    /// Returns the times of the first and the last credited event, in epoch milliseconds.
    pub(crate) fn span(&self, cell: &Cell) -> Option<(i64, i64)> {
        let time = |offset: u32| self.month_start + i64::from(offset);
        cell.span.map(|(first, last)| (time(first), time(last)))
    }

    /// Returns the cell's counters and durations.
    pub(crate) fn totals(&self, cell: &Cell) -> SparseTotals<'_> {
        SparseTotals {
            counters: cell.counters,
            counts: &self.counts[cell.first_count as usize..][..cell.counters.count_ones() as usize],
            durations: cell.durations.map(|index| &self.durations[index.get() as usize - 1]),
        }
    }

    /// Appends a cell of the repository and day that is added next.
    fn push(&mut self, cell: RunningCell) {
        let RunningCell { key, name, totals, span } = cell;
        let first_count = self.next_count();
        let mut counters = 0;
        for (bit, count) in totals.counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            counters |= 1 << bit;
            self.counts.push(count);
        }
        let durations = totals.durations.and_then(|durations| {
            self.durations.push(*durations);
            NonZeroU32::new(self.durations.len() as u32)
        });
        // A month has fewer than 2^32 milliseconds.
        let offset = |time: i64| (time - self.month_start) as u32;
        let span = span.map(|(first, last)| (offset(first), offset(last)));
        let repo_day = self.repo_days.len() as u32;
        let (name, kind) = (name.name, name.kind);
        self.cells.push(Cell { key, repo_day, name, kind, counters, first_count, durations, span });
    }

    /// Returns the index of the counter that is added next. Every cell has a counter, so its limit also bounds the
    /// numbers of cells and of days.
    fn next_count(&self) -> u32 {
        u32::try_from(self.counts.len()).expect("a month has fewer than 2^32 counters")
    }

    /// Returns copies of the cells of members, by member, then in the order of `by_day`, the indexes of the
    /// repositories' days. Also returns for each member the index of its first cell, then the number of cells.
    ///
    /// All items of a member read its cells, so they and their counters are next to each other. What has no author
    /// belongs to no member.
    pub(crate) fn group_by_member(&mut self, by_day: &[u32], member_count: usize) -> (Vec<Cell>, Vec<u32>) {
        let has_member = |cell: &Cell| cell.key.side() != Side::Unknown;
        let mut starts = vec![0; member_count + 1];
        let mut copied_counts = 0;
        let cells = self.repo_days.iter().flat_map(|repo_day| self.of(repo_day));
        for cell in cells.filter(|cell| has_member(cell)) {
            starts[cell.key.member() as usize + 1] += 1;
            copied_counts += cell.counters.count_ones() as usize;
        }
        self.counts.reserve_exact(copied_counts);
        for member in 0..member_count {
            starts[member + 1] += starts[member];
        }
        let mut next = starts.clone();
        let mut order = vec![0; starts[member_count] as usize];
        for &repo_day in by_day {
            let (first, end) = self.repo_days[repo_day as usize].cells;
            for index in first..end {
                let cell = &self.cells[index as usize];
                if has_member(cell) {
                    let position = &mut next[cell.key.member() as usize];
                    order[*position as usize] = index;
                    *position += 1;
                }
            }
        }
        let copies = order.into_iter().map(|index| {
            let cell = self.cells[index as usize];
            let first_count = self.next_count();
            let end = cell.first_count + cell.counters.count_ones();
            self.counts.extend_from_within(cell.first_count as usize..end as usize);
            Cell { first_count, ..cell }
        });
        (copies.collect(), starts)
    }

    /// Sorts the repositories' days by repository and day, and the cells of each by member, side and repeat. Merges what
    /// belongs to the same one, which occurs if rows are not sorted. Replaces the indexes of members and names by
    /// their ranks.
    pub(crate) fn sort(&mut self, member_ranks: &[u32], name_ranks: &[u32]) {
        for cell in &mut self.cells {
            cell.key = cell.key.with_member(member_ranks[cell.key.member() as usize]);
            cell.name = name_ranks[cell.name as usize];
        }
        let mut unsorted_days = std::mem::take(&mut self.repo_days);
        unsorted_days.sort_unstable_by_key(|repo_day| (repo_day.repo_id, repo_day.day));
        for days in unsorted_days.chunk_by(|a, b| (a.repo_id, a.day) == (b.repo_id, b.day)) {
            let cells = if let [only] = days { only.cells } else { self.merge_days(days) };
            let repo_day = self.repo_days.len() as u32;
            let sorted = &mut self.cells[cells.0 as usize..cells.1 as usize];
            sorted.sort_unstable_by_key(|cell| cell.key);
            sorted.iter_mut().for_each(|cell| cell.repo_day = repo_day);
            self.repo_days.push(RepoDay { cells, ..days[0].clone() });
        }
    }

    /// Appends the cells of several parts of a repository's day, merged by their keys. Returns the index of the first one,
    /// and that after the last. The cells of the parts belong to no day any more.
    fn merge_days(&mut self, parts: &[RepoDay]) -> (u32, u32) {
        let mut unmerged: Vec<Cell> = parts.iter().flat_map(|part| self.of(part)).copied().collect();
        unmerged.sort_unstable_by_key(|cell| cell.key);
        let start = self.cells.len() as u32;
        for parts in unmerged.chunk_by(|a, b| a.key == b.key) {
            if let [only] = parts {
                self.cells.push(*only);
                continue;
            }
            let mut totals = Totals::default();
            parts.iter().for_each(|part| self.totals(part).add_to(&mut totals));
            let names = parts.iter().map(|part| self.dated_name(part));
            let span = parts.iter().fold(None, |span, part| merged_span(span, self.span(part)));
            if let Some(name) = names.max() {
                self.push(RunningCell { key: parts[0].key, name, totals, span });
            }
        }
        (start, self.cells.len() as u32)
    }
}

/// A cell of the current repository and day.
#[derive(Debug)]
pub(crate) struct RunningCell {
    key: CellKey,
    name: DatedName,
    pub(crate) totals: Totals,
    /// The times of the first and the last credited event, in epoch milliseconds.
    span: Option<(i64, i64)>,
}

impl RunningCell {
    /// Extends the span to a credited event, at a time in epoch milliseconds.
    pub(crate) fn credit(&mut self, at: i64) {
        self.span = merged_span(self.span, Some((at, at)));
    }
}

/// The cells of the current repository and day, to which rows are still added.
#[derive(Debug, Default)]
pub(crate) struct RunningCells {
    cells: Vec<RunningCell>,
    /// For each key, the index of its cell plus 1; 0 if it has none.
    slots: Vec<u32>,
}

impl RunningCells {
    /// Returns the cell with this key, which is created if it is missing. Updates its name.
    pub(crate) fn cell(&mut self, key: CellKey, name: DatedName, names: &Interner) -> &mut RunningCell {
        let position = key.0 as usize;
        if position >= self.slots.len() {
            self.slots.resize(position + 1, 0);
        }
        let slot = &mut self.slots[position];
        if *slot == 0 {
            self.cells.push(RunningCell { key, name, totals: Totals::default(), span: None });
            *slot = self.cells.len() as u32;
        }
        let cell = &mut self.cells[*slot as usize - 1];
        if name.is_later(cell.name, names) {
            cell.name = name;
        }
        cell
    }

    /// Moves the cells, which are those of this repository and day, to the finished ones.
    pub(crate) fn finish(&mut self, repo_id: i64, day: DayOfMonth, finished: &mut Cells) {
        if self.cells.is_empty() {
            return;
        }
        let start = finished.cells.len() as u32;
        for cell in self.cells.drain(..) {
            self.slots[cell.key.0 as usize] = 0;
            finished.push(cell);
        }
        let cells = (start, finished.cells.len() as u32);
        finished.repo_days.push(RepoDay { repo_id, day, week: day.week(), cells });
    }
}
