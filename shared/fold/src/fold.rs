//! Folds one month's rows into cells.
//!
//! The rows of a snapshot are sorted by repository and time. The folder therefore adds up the cells of one
//! repository and day at a time, and finishes them when the next repository or day begins. Unsorted rows give
//! the same result, only slower.

use std::collections::BTreeSet;

use arrow_array::RecordBatch;
use gam_model::agent::agent_by_id;
use gam_model::metric::Counter;
use gam_model::{DayOfMonth, EventKind, Identity, MemberKind, Month};
use gam_rollup::Side;
use rustc_hash::FxHashSet;

use crate::cells::{CellKey, Cells, DatedName, RunningCells};
use crate::columns::{COLUMNS, EventColumns, nullable};
use crate::count::{count_event, is_merge_commit};
use crate::members::{InternedMember, Members};
use crate::month_days::MonthDays;
use crate::month_fold::MonthFold;
use crate::row_filter::RowFilter;
use crate::rows::{BatchReader, FoldRowsError, MonthRows};
use crate::shared_commits::{RowPosition, shared_commits};

/// Rows of an older reading have a ghost as the author of a release or a deployment without one.
pub(crate) const UNKNOWN_SINCE_READING: i64 = 1;

/// Why a snapshot cannot be folded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// A column is missing, has the wrong type, or lacks a required value.
    #[error("column {0:?} is missing, has the wrong type, or lacks a value")]
    InvalidColumn(&'static str),
    /// The time of a row is outside the month.
    #[error("a row in the snapshot of {month} has a time in another month")]
    RowOutsideMonth {
        /// The month that was folded, as `YYYY-MM`.
        month: String,
    },
}

/// Folds the rows of one month. There must be at most one row per event id.
///
/// Rows may be in any order. The fold is fastest if they are sorted by repository and time, as snapshots are.
///
/// # Errors
/// If a column is missing or invalid, or if a row is outside the month.
pub fn fold(month: Month, batches: &[RecordBatch], identity: &Identity) -> Result<MonthFold, FoldError> {
    Ok(fold_rows(month, batches, identity)?)
}

/// As [`fold`], but reads the rows a batch at a time.
///
/// # Errors
/// As [`fold`], and if a batch cannot be read.
pub fn fold_rows<R: MonthRows + ?Sized>(
    month: Month,
    rows: &R,
    identity: &Identity,
) -> Result<MonthFold, FoldRowsError<R::Error>> {
    let reader = BatchReader::new(rows);
    let repeats = shared_commits(&reader, identity, &BTreeSet::new())?.repeats;
    fold_counted(month, &reader, identity, repeats, None)
}

/// Folds the rows that the filter selects, or all rows. `repeats` are the rows of commits that another row counts.
pub(crate) fn fold_counted<R: MonthRows + ?Sized>(
    month: Month,
    reader: &BatchReader<'_, R>,
    identity: &Identity,
    repeats: FxHashSet<RowPosition>,
    filter: Option<RowFilter>,
) -> Result<MonthFold, FoldRowsError<R::Error>> {
    // A filter selects few rows as a rule.
    let expected_rows = if filter.is_none() { reader.row_count() } else { 0 };
    let days = MonthDays::new(month, identity.time_zone());
    let cells = Cells::new(days.start(), expected_rows);
    let mut folder = Folder::new(days, cells, identity, repeats, filter);
    reader.for_each(COLUMNS, |batch_index, batch| {
        folder.add_batch(&EventColumns::from_batch(batch, identity)?, batch_index)
    })?;
    Ok(folder.into_month_fold())
}

/// The parsed dictionaries of a record batch. Each vector has one element per dictionary value.
struct ParsedDictionaries {
    /// `None` for a kind that only a newer version of the program knows.
    kinds: Vec<Option<EventKind>>,
    members: Vec<InternedMember>,
    member_kinds: Vec<MemberKind>,
    /// Indexes of the keys of pull requests' authors.
    pr_members: Vec<u32>,
}

struct Folder<'a> {
    days: MonthDays,
    /// Commits that count in their repositories, and elsewhere only for another repository's row.
    repeats: FxHashSet<RowPosition>,
    /// Selects the rows that are folded; `None` for all of them.
    filter: Option<RowFilter>,
    members: Members<'a>,
    /// The repository and day of the current rows.
    repo_day: Option<(i64, DayOfMonth)>,
    current: RunningCells,
    finished: Cells,
    events: u64,
}

impl<'a> Folder<'a> {
    fn new(
        days: MonthDays,
        finished: Cells,
        identity: &'a Identity,
        repeats: FxHashSet<RowPosition>,
        filter: Option<RowFilter>,
    ) -> Self {
        Folder {
            finished,
            days,
            repeats,
            filter,
            members: Members::new(identity),
            repo_day: None,
            current: RunningCells::default(),
            events: 0,
        }
    }

    fn add_batch(&mut self, columns: &EventColumns<'_>, batch_index: usize) -> Result<(), FoldError> {
        let dictionaries = self.parse_dictionaries(columns);
        for row in 0..columns.row_count() {
            if columns.counts(row) {
                self.add_row(columns, &dictionaries, (batch_index, row))?;
            }
        }
        Ok(())
    }

    /// Parses each distinct kind and name once, instead of once per row.
    fn parse_dictionaries(&mut self, columns: &EventColumns<'_>) -> ParsedDictionaries {
        let kinds = columns.kind.values.iter().map(|name| name.and_then(EventKind::parse)).collect();
        let member_kinds = columns.member_kind.values.iter();
        let member_kinds =
            member_kinds.map(|name| name.and_then(MemberKind::parse).unwrap_or(MemberKind::User)).collect();
        let members = columns.member.values.iter();
        let members = members.map(|name| self.members.member(name.unwrap_or_default())).collect();
        let pr_members = columns.pr_member.values.iter();
        let pr_members = pr_members.map(|name| self.members.member(name.unwrap_or_default()).key).collect();
        ParsedDictionaries { kinds, members, member_kinds, pr_members }
    }

    fn add_row(
        &mut self,
        columns: &EventColumns<'_>,
        dictionaries: &ParsedDictionaries,
        position: RowPosition,
    ) -> Result<(), FoldError> {
        let (_, row) = position;
        let (Some(kind), Some(member), Some(member_kind)) =
            (columns.kind.index(row), columns.member.index(row), columns.member_kind.index(row))
        else {
            return Err(FoldError::InvalidColumn("kind, member or member_kind"));
        };
        let Some(kind) = dictionaries.kinds[kind] else { return Ok(()) };
        let member_kind = dictionaries.member_kinds[member_kind];
        let member = self.credited_member(columns, row, dictionaries.members[member]);
        let occurred_at = columns.occurred_at.value(row);
        let Some(day) = self.days.day(occurred_at) else {
            return Err(FoldError::RowOutsideMonth { month: self.days.month().to_string() });
        };
        if let Some(filter) = &mut self.filter
            && !filter.selects(columns, row, day, member, &mut self.members)
        {
            return Ok(());
        }
        self.start_repo_day(columns.repo_id.value(row), day);
        let is_own_review = kind == EventKind::Review
            && columns
                .pr_member
                .index(row)
                .is_some_and(|author| dictionaries.pr_members[author] == member.key);
        if is_own_review {
            return Ok(());
        }
        let name = DatedName { at: occurred_at, name: member.name, kind: member.kind(member_kind) };
        let side = match name.kind {
            _ if is_unknown(kind, member_kind, columns, row) => Side::Unknown,
            MemberKind::Bot if kind.is_delivery() => Side::BotDeliveries,
            MemberKind::Bot => Side::Bots,
            _ => Side::People,
        };
        let is_repeat = kind == EventKind::Commit && self.repeats.contains(&position);
        let key = CellKey::new(member.key, side, is_repeat);
        let cell = self.current.cell(key, name, &self.members.display_names);
        count_event(&mut cell.totals, kind, columns, row, member.key, &mut self.members);
        cell.credit(occurred_at);
        self.events += 1;
        if kind == EventKind::Commit && !is_merge_commit(columns, row) {
            self.count_co_authors(member.key, columns.co_authors.names(row), is_repeat);
        }
        Ok(())
    }

    /// Returns the member that the row is credited to. `by_name` is the one that has the row's name.
    fn credited_member(
        &mut self,
        columns: &EventColumns<'_>,
        row: usize,
        by_name: InternedMember,
    ) -> InternedMember {
        if let Some(agent) = nullable(columns.member_id, row).and_then(agent_by_id) {
            return self.members.member(agent);
        }
        let author_name_hash =
            if self.members.has_author_names { columns.author_name_hash.text(row) } else { None };
        match author_name_hash {
            Some(hash) => self.members.author(columns.member.text(row).unwrap_or_default(), Some(hash)),
            None => by_name,
        }
    }

    /// Counts a commit once for each co-author other than the author.
    ///
    /// The commit is not credited to a co-author.
    fn count_co_authors<'n>(&mut self, author: u32, names: impl Iterator<Item = &'n str>, is_repeat: bool) {
        let mut counted_members = Vec::new();
        for name in names {
            let member = self.members.member(name);
            if member.key == author || counted_members.contains(&member.key) {
                continue;
            }
            counted_members.push(member.key);
            let kind = self.members.kind_by_name(member);
            let side = if kind == MemberKind::Bot { Side::Bots } else { Side::People };
            let name = DatedName { at: i64::MIN, name: member.name, kind };
            let key = CellKey::new(member.key, side, is_repeat);
            let cell = self.current.cell(key, name, &self.members.display_names);
            cell.totals.add(Counter::CoAuthoredCommits, 1);
        }
    }

    /// Finishes the cells of the current repository and day unless it is this one.
    fn start_repo_day(&mut self, repo_id: i64, day: DayOfMonth) {
        if self.repo_day != Some((repo_id, day)) {
            self.finish_repo_day();
            self.repo_day = Some((repo_id, day));
        }
    }

    fn finish_repo_day(&mut self) {
        if let Some((repo_id, day)) = self.repo_day.take() {
            self.current.finish(repo_id, day, &mut self.finished);
        }
    }

    fn into_month_fold(mut self) -> MonthFold {
        self.finish_repo_day();
        let (members, member_ranks) = self.members.keys.into_sorted();
        let (names, name_ranks) = self.members.display_names.into_sorted();
        self.finished.sort(&member_ranks, &name_ranks);
        MonthFold::new(self.days.month(), self.events, members, names, self.finished)
    }
}

/// Returns whether the row is a release or a deployment without an author.
fn is_unknown(kind: EventKind, member_kind: MemberKind, columns: &EventColumns<'_>, row: usize) -> bool {
    match member_kind {
        MemberKind::Unknown => true,
        MemberKind::Ghost => {
            kind.is_delivery() && nullable(columns.reading, row).unwrap_or_default() < UNKNOWN_SINCE_READING
        }
        _ => false,
    }
}
