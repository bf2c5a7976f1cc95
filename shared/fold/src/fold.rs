//! Folds one month's rows into rollups.
//!
//! The rows of a snapshot are sorted by repository and time. The folder therefore keeps the totals of the
//! current repository and day in a small map, one entry per member, and merges them into the totals by
//! repository and by member when the next repository or day begins. Unsorted rows give the same result, only
//! slower.

use std::collections::BTreeSet;

use arrow_array::RecordBatch;
use gam_model::agent::agent_by_id;
use gam_model::identity::member_key;
use gam_model::member::GHOST;
use gam_model::metric::Counter;
use gam_model::period::midnight;
use gam_model::{EventKind, Identity, MemberKind, Month, RollupKey, Subject};
use gam_rollup::Rollup;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::accumulator::{
    Accumulator, BySide, DisplayName, Interner, MemberDayTotals, RepoDayTotals, Side, TotalsKey,
};
use crate::columns::{EventColumns, nullable};
use crate::count::{count_event, is_merge_commit};
use crate::rollup_builder::RollupBuilder;
use crate::shared_commits::{RowPosition, repeated_commits};

/// Rows of an older reading have a ghost as the author of a release or a deployment without one.
pub(crate) const UNKNOWN_SINCE_READING: i64 = 1;

const MILLISECONDS_PER_DAY: i64 = 86_400_000;

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

/// The rollups of one month that are not empty.
pub struct MonthFold {
    /// Sorted by key.
    rollups: Vec<(RollupKey, Rollup)>,
    events: u64,
}

impl MonthFold {
    /// Returns the number of events that were counted.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Returns the rollup with this key, which must belong to the folded month; an empty one if nothing is
    /// counted in it.
    pub fn get(&self, key: &RollupKey) -> Rollup {
        let position = self.rollups.binary_search_by(|(other, _)| other.cmp(key));
        position.map_or_else(|_| Rollup::default(), |index| self.rollups[index].1.clone())
    }

    /// Returns the rollups that are not empty, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&RollupKey, &Rollup)> {
        self.rollups.iter().map(|(key, rollup)| (key, rollup))
    }
}

/// Folds the rows of one month. There must be at most one row per event id.
///
/// Rows may be in any order. The fold is fastest if they are sorted by repository and time, as snapshots are.
///
/// # Errors
/// If a column is missing or invalid, or if a row is outside the month.
pub fn fold(month: Month, batches: &[RecordBatch], identity: &Identity) -> Result<MonthFold, FoldError> {
    let columns = batches
        .iter()
        .map(|batch| EventColumns::from_batch(batch, identity))
        .collect::<Result<Vec<_>, _>>()?;
    let mut folder = Folder::new(month, identity, repeated_commits(&columns));
    for (batch_index, columns) in columns.iter().enumerate() {
        folder.add_batch(columns, batch_index)?;
    }
    folder.finish_repo_day();
    Ok(folder.into_month_fold())
}

/// A repository and a day, as an offset from the start of the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct RepoDay {
    repo_id: i64,
    day: usize,
}

/// A member, as the index of its key, and a day, as an offset from the start of the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct MemberDay {
    member: u32,
    day: usize,
}

/// A member's name after aliases were applied.
#[derive(Clone, Copy)]
struct InternedMember {
    /// The index of the member's key.
    key: u32,
    /// The index of the display name.
    name: u32,
    /// Replaces the kind of the event's row if it does not apply: the name belongs to a bot, or an alias
    /// leads to another account than the row's.
    kind_override: Option<MemberKind>,
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
    month: Month,
    /// The start of the month, in epoch milliseconds.
    month_start: i64,
    day_count: i64,
    identity: &'a Identity,
    /// Whether the mailmap has entries with a name and an address.
    has_author_names: bool,
    /// Commits that count in their repositories, and elsewhere only for another repository's row.
    repeats: FxHashSet<RowPosition>,
    display_names: Interner,
    member_keys: Interner,
    /// The repository and day of the current rows.
    repo_day: Option<RepoDay>,
    /// The totals of the current repository and day.
    current: FxHashMap<TotalsKey, (Accumulator, Option<DisplayName>)>,
    by_repo_day: FxHashMap<RepoDay, BySide<RepoDayTotals>>,
    /// The totals that count in the repository only.
    repeats_by_repo_day: FxHashMap<RepoDay, BySide<RepoDayTotals>>,
    by_member_day: FxHashMap<MemberDay, MemberDayTotals>,
    events: u64,
}

impl<'a> Folder<'a> {
    fn new(month: Month, identity: &'a Identity, repeats: FxHashSet<RowPosition>) -> Self {
        Folder {
            month,
            month_start: midnight(month.first_day()).timestamp_millis(),
            day_count: month.days() as i64,
            identity,
            has_author_names: identity.mailmap().has_author_names(),
            repeats,
            display_names: Interner::default(),
            member_keys: Interner::default(),
            repo_day: None,
            current: FxHashMap::default(),
            by_repo_day: FxHashMap::default(),
            repeats_by_repo_day: FxHashMap::default(),
            by_member_day: FxHashMap::default(),
            events: 0,
        }
    }

    fn add_batch(&mut self, columns: &EventColumns<'_>, batch_index: usize) -> Result<(), FoldError> {
        let dictionaries = self.parse_dictionaries(columns);
        for row in 0..columns.row_count() {
            if columns.counts(row) {
                let is_repeat = !self.repeats.is_empty() && self.repeats.contains(&(batch_index, row));
                self.add_row(columns, &dictionaries, row, is_repeat)?;
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
        let members = members.map(|name| self.intern_member(name.unwrap_or_default())).collect();
        let pr_members = columns.pr_member.values.iter();
        let pr_members = pr_members.map(|name| self.intern_member(name.unwrap_or_default()).key).collect();
        ParsedDictionaries { kinds, members, member_kinds, pr_members }
    }

    fn intern_member(&mut self, name: &str) -> InternedMember {
        self.intern_author(name, None)
    }

    fn intern_author(&mut self, name: &str, author_name_hash: Option<&str>) -> InternedMember {
        let resolved = self.identity.resolve_author(name, author_name_hash, MemberKind::User);
        let credited: &str = &resolved.name;
        let kind_override = if resolved.is_bot {
            Some(MemberKind::Bot)
        } else {
            (credited != name).then(|| kind_from_name(credited))
        };
        InternedMember {
            key: self.member_keys.intern(member_key(credited)),
            name: self.display_names.intern(credited.to_owned()),
            kind_override,
        }
    }

    fn add_row(
        &mut self,
        columns: &EventColumns<'_>,
        dictionaries: &ParsedDictionaries,
        row: usize,
        is_repeat: bool,
    ) -> Result<(), FoldError> {
        let (Some(kind), Some(member), Some(member_kind)) =
            (columns.kind.index(row), columns.member.index(row), columns.member_kind.index(row))
        else {
            return Err(FoldError::InvalidColumn("kind, member or member_kind"));
        };
        let Some(kind) = dictionaries.kinds[kind] else { return Ok(()) };
        let member_kind = dictionaries.member_kinds[member_kind];
        let reading = nullable(columns.reading, row).unwrap_or_default();
        let is_unknown = member_kind == MemberKind::Unknown
            || (kind.is_delivery() && member_kind == MemberKind::Ghost && reading < UNKNOWN_SINCE_READING);
        let author_name_hash = if self.has_author_names { columns.author_name_hash.text(row) } else { None };
        let member = match (nullable(columns.member_id, row).and_then(agent_by_id), author_name_hash) {
            (Some(agent), _) => self.intern_member(agent),
            (None, Some(author)) => {
                self.intern_author(columns.member.text(row).unwrap_or_default(), Some(author))
            }
            (None, None) => dictionaries.members[member],
        };
        let occurred_at = columns.occurred_at.value(row);
        let day = self.day_of_month(occurred_at)?;
        self.start_repo_day(RepoDay { repo_id: columns.repo_id.value(row), day });
        let is_own_review = kind == EventKind::Review
            && columns
                .pr_member
                .index(row)
                .is_some_and(|author| dictionaries.pr_members[author] == member.key);
        if is_own_review {
            return Ok(());
        }
        let display_name =
            DisplayName { occurred_at, name: member.name, kind: member.kind_override.unwrap_or(member_kind) };
        let side = match display_name.kind {
            _ if is_unknown => Side::Unknown,
            MemberKind::Bot if kind.is_delivery() => Side::BotDeliveries,
            MemberKind::Bot => Side::Bots,
            _ => Side::People,
        };
        let (totals, latest_name) =
            self.current.entry(TotalsKey::new(member.key, side, is_repeat)).or_default();
        count_event(totals, kind, columns, row, self.member_keys.text(member.key), self.identity);
        totals.credit(occurred_at);
        display_name.update(latest_name, &self.display_names);
        self.events += 1;
        if kind == EventKind::Commit && !is_merge_commit(columns, row) {
            self.count_co_authors(member.key, columns.co_authors.names(row), is_repeat);
        }
        Ok(())
    }

    /// Returns the offset of the day from the start of the month.
    fn day_of_month(&self, occurred_at: i64) -> Result<usize, FoldError> {
        let day = (occurred_at - self.month_start).div_euclid(MILLISECONDS_PER_DAY);
        if (0..self.day_count).contains(&day) {
            Ok(day as usize)
        } else {
            Err(FoldError::RowOutsideMonth { month: self.month.to_string() })
        }
    }

    /// Counts a commit once for each co-author other than the author.
    ///
    /// The commit is not credited to a co-author. Its display name therefore has the earliest possible time,
    /// so any event credited to the co-author replaces it.
    fn count_co_authors<'n>(&mut self, author: u32, names: impl Iterator<Item = &'n str>, is_repeat: bool) {
        let mut counted_members = vec![author];
        for name in names {
            let member = self.intern_member(name);
            if counted_members.contains(&member.key) {
                continue;
            }
            counted_members.push(member.key);
            let kind =
                member.kind_override.unwrap_or_else(|| kind_from_name(self.display_names.text(member.name)));
            let side = if kind == MemberKind::Bot { Side::Bots } else { Side::People };
            let (totals, latest_name) =
                self.current.entry(TotalsKey::new(member.key, side, is_repeat)).or_default();
            totals.add(Counter::CoAuthoredCommits, 1);
            let display_name = DisplayName { occurred_at: i64::MIN, name: member.name, kind };
            display_name.update(latest_name, &self.display_names);
        }
    }

    fn start_repo_day(&mut self, repo_day: RepoDay) {
        if self.repo_day != Some(repo_day) {
            self.finish_repo_day();
            self.repo_day = Some(repo_day);
        }
    }

    /// Merges the totals of the current repository and day into those by repository and by member.
    fn finish_repo_day(&mut self) {
        let Some(repo_day) = self.repo_day.take() else { return };
        if self.current.is_empty() {
            return;
        }
        for (key, (totals, display_name)) in self.current.drain() {
            let (member, side) = (key.member(), key.side());
            let by_repo_day =
                if key.is_repeat() { &mut self.repeats_by_repo_day } else { &mut self.by_repo_day };
            let repo = by_repo_day.entry(repo_day).or_default().get_mut(side);
            repo.totals.merge(&totals);
            // What has no author is credited to nobody.
            if side == Side::Unknown {
                continue;
            }
            if totals.has_credited_events() {
                repo.credited_members.push(member);
            }
            if key.is_repeat() {
                continue;
            }
            let member_day = self.by_member_day.entry(MemberDay { member, day: repo_day.day }).or_default();
            member_day.totals.get_mut(side).merge(&totals);
            if let Some(display_name) = display_name {
                display_name.update(&mut member_day.display_name, &self.display_names);
            }
        }
    }

    fn into_month_fold(self) -> MonthFold {
        let mut builder = RollupBuilder::new(self.month);
        self.build_org_and_repos(&mut builder);
        self.build_members(&mut builder);
        MonthFold { rollups: builder.build(), events: self.events }
    }

    fn build_org_and_repos(&self, builder: &mut RollupBuilder) {
        let mut keys: Vec<RepoDay> =
            self.by_repo_day.keys().chain(self.repeats_by_repo_day.keys()).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        let mut org_days: Vec<Option<Rollup>> = vec![None; self.month.days()];
        let mut repo_days = Vec::with_capacity(keys.len());
        for key in keys {
            let mut of_org =
                self.by_repo_day.get(&key).map_or_else(Rollup::default, |totals| self.repo_rollup(totals));
            let mut of_repo = of_org.clone();
            if let Some(repeats) = self.repeats_by_repo_day.get(&key) {
                of_repo.merge(&self.repo_rollup(repeats));
            }
            for (of_org, of_repo) in of_org.sides_mut().into_iter().zip(of_repo.sides()) {
                if of_repo.has_credited_events() {
                    of_org.repos.insert(key.repo_id);
                }
            }
            org_days[key.day].get_or_insert_default().merge(&of_org);
            repo_days.push((key.repo_id, key.day, of_repo));
        }
        let org_days = org_days.into_iter().enumerate().filter_map(|(day, rollup)| Some((day, rollup?)));
        builder.add_subject(&Subject::Org, org_days);
        for days in repo_days.chunk_by(|a, b| a.0 == b.0) {
            let subject = Subject::Repo(days[0].0);
            builder.add_subject(&subject, days.iter().map(|(_, day, rollup)| (*day, rollup.clone())));
        }
    }

    fn repo_rollup(&self, totals: &BySide<RepoDayTotals>) -> Rollup {
        totals.to_rollup(|repo: &RepoDayTotals| {
            let members =
                repo.credited_members.iter().map(|&member| self.member_keys.text(member).to_owned());
            repo.totals.to_tally(members.collect())
        })
    }

    fn build_members(&self, builder: &mut RollupBuilder) {
        let key = |member: u32| self.member_keys.text(member);
        let mut by_member_day: Vec<_> = self.by_member_day.iter().collect();
        by_member_day.sort_unstable_by(|(a, _), (b, _)| (key(a.member), a.day).cmp(&(key(b.member), b.day)));
        for days in by_member_day.chunk_by(|(a, _), (b, _)| a.member == b.member) {
            let subject = Subject::Member(key(days[0].0.member).to_owned());
            let rollups =
                days.iter().map(|(member_day, totals)| (member_day.day, self.member_rollup(totals)));
            builder.add_subject(&subject, rollups);
        }
    }

    fn member_rollup(&self, totals: &MemberDayTotals) -> Rollup {
        let display_name =
            |latest: DisplayName| (self.display_names.text(latest.name).to_owned(), latest.kind);
        let rollup = totals.totals.to_rollup(|totals| totals.to_tally(BTreeSet::new()));
        Rollup { member: totals.display_name.map(display_name), ..rollup }
    }
}

/// Returns the kind of a member that is not a bot, judged only by its name.
fn kind_from_name(name: &str) -> MemberKind {
    match name {
        GHOST => MemberKind::Ghost,
        name if name.starts_with('~') => MemberKind::Unlinked,
        _ => MemberKind::User,
    }
}
