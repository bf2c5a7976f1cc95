//! The fold: one month's snapshot to every rollup that derives from it.

use arrow_array::RecordBatch;
use chrono::{Days, NaiveDate};
use gam_model::identity::member_key;
use gam_model::member::GHOST;
use gam_model::metric::{Counter, DurationMetric};
use gam_model::period::midnight;
use gam_model::{EventKind, Grain, Identity, MemberKind, Month, RollupKey, Subject};
use rustc_hash::FxHashMap;

use crate::columns::{Columns, number};
use gam_rollup::{Distribution, Rollup, Tally, merged_span};

const DAY_MS: i64 = 86_400_000;

/// Why a snapshot cannot be folded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// A column is missing or of another type.
    #[error("the column {0:?} is missing or of another type")]
    Column(&'static str),
    /// A row lies outside the month.
    #[error("a row of {month} has its time in another month")]
    Month {
        /// The month that was folded, as `YYYY-MM`.
        month: String,
    },
}

/// What one member, as a person or as a bot, did in one span.
#[derive(Debug, Clone, Default)]
struct Cell {
    counts: [u64; Counter::COUNT],
    durations: Option<Box<[Distribution; DurationMetric::COUNT]>>,
    span: Option<(i64, i64)>,
}

impl Cell {
    fn add(&mut self, counter: Counter, by: u64) {
        self.counts[counter as usize] += by;
    }

    fn add_duration(&mut self, duration: DurationMetric, seconds: u64) {
        self.durations.get_or_insert_default()[duration as usize].add(seconds);
    }

    fn merge(&mut self, other: &Cell) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        if let Some(more) = &other.durations {
            let durations = self.durations.get_or_insert_default();
            durations.iter_mut().zip(more.iter()).for_each(|(durations, more)| durations.merge(more));
        }
        self.span = merged_span(self.span, other.span);
    }

    fn part(&self) -> Tally {
        Tally {
            counts: self.counts,
            durations: self.durations.as_deref().cloned().unwrap_or_default(),
            span: self.span,
            ..Tally::default()
        }
    }
}

/// A day's cell of all people or all bots, and which of them were active.
type Side = (Cell, Vec<u32>);

/// How an event shows the member it is about. It is kept beside each cell and merged as cells are: were
/// it kept once for the month, an event would change rollups that it is not counted in, and that nobody
/// writes anew for it.
#[derive(Debug, Clone, Copy)]
struct Shown {
    at: i64,
    name: u32,
    kind: MemberKind,
}

impl Shown {
    /// Takes the place of what is kept where that is earlier; of two at one time the greater stays.
    fn keep_in(self, kept: &mut Option<Shown>, names: &[String]) {
        let later = match kept {
            None => true,
            Some(old) if old.at != self.at => old.at < self.at,
            Some(old) if old.name == self.name => old.kind < self.kind,
            Some(old) => names[old.name as usize] < names[self.name as usize],
        };
        if later {
            *kept = Some(self);
        }
    }
}

/// What one member did in one span: people's cell and bots' cell, and how the member is shown.
#[derive(Debug, Default)]
struct Work {
    cells: [Cell; 2],
    shown: Option<Shown>,
}

/// A text value of a batch's member dictionary, resolved once.
#[derive(Clone, Copy)]
struct MemberCode {
    member: u32,
    name: u32,
    /// What the member is, where the row's kind does not tell: it is a bot by its name, or an alias leads
    /// to another account than the row's.
    kind: Option<MemberKind>,
}

/// Every rollup of one month that is not empty, in key order.
pub struct MonthFold {
    rollups: Vec<(RollupKey, Rollup)>,
    events: u64,
}

impl MonthFold {
    /// How many events were counted.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The rollup of that key, which is of the fold's month; empty where nothing is counted in it.
    pub fn get(&self, key: &RollupKey) -> Rollup {
        let found = self.rollups.binary_search_by(|(other, _)| other.cmp(key));
        found.map_or_else(|_| Rollup::default(), |at| self.rollups[at].1.clone())
    }

    /// Every rollup that is not empty, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&RollupKey, &Rollup)> {
        self.rollups.iter().map(|(key, rollup)| (key, rollup))
    }
}

/// Folds one month's rows, of which each event id has one. Rows may come in any order; sorted by
/// repository and time, as snapshots are, they fold fastest.
///
/// # Errors
/// Where a column is missing or of another type, or a row lies outside the month.
pub fn fold(month: Month, batches: &[RecordBatch], identity: &Identity) -> Result<MonthFold, FoldError> {
    let mut folder = Folder::new(month, identity);
    for batch in batches {
        folder.add(&Columns::of(batch)?, batch.num_rows())?;
    }
    folder.flush();
    Ok(folder.finish())
}

struct Folder<'a> {
    month: Month,
    start_ms: i64,
    identity: &'a Identity,
    names: Vec<String>,
    name_codes: FxHashMap<String, u32>,
    members: Vec<String>,
    member_codes: FxHashMap<String, u32>,
    /// The repository and day being read, with the cells of the members met in it.
    open: Option<(i64, usize)>,
    open_cells: FxHashMap<(u32, bool), (Cell, Option<Shown>)>,
    by_repo_day: FxHashMap<(i64, usize), [Side; 2]>,
    by_member_day: FxHashMap<(u32, usize), Work>,
    events: u64,
}

impl<'a> Folder<'a> {
    fn new(month: Month, identity: &'a Identity) -> Self {
        Folder {
            month,
            start_ms: midnight(month.first_day()).timestamp_millis(),
            identity,
            names: Vec::new(),
            name_codes: FxHashMap::default(),
            members: Vec::new(),
            member_codes: FxHashMap::default(),
            open: None,
            open_cells: FxHashMap::default(),
            by_repo_day: FxHashMap::default(),
            by_member_day: FxHashMap::default(),
            events: 0,
        }
    }

    fn member_code(&mut self, name: &str) -> MemberCode {
        let resolved = self.identity.resolve(name, MemberKind::User);
        let target: &str = &resolved.name;
        let key = member_key(target);
        let member = *self.member_codes.entry(key).or_insert_with_key(|key| {
            self.members.push(key.clone());
            self.members.len() as u32 - 1
        });
        let code = *self.name_codes.entry(target.to_owned()).or_insert_with_key(|name| {
            self.names.push(name.clone());
            self.names.len() as u32 - 1
        });
        let kind =
            if resolved.bot { Some(MemberKind::Bot) } else { (target != name).then(|| kind_of_name(target)) };
        MemberCode { member, name: code, kind }
    }

    fn add(&mut self, columns: &Columns<'_>, rows: usize) -> Result<(), FoldError> {
        let kinds: Vec<Option<EventKind>> =
            columns.kind.values.iter().map(|name| name.and_then(EventKind::parse)).collect();
        let member_kinds: Vec<MemberKind> = columns
            .member_kind
            .values
            .iter()
            .map(|name| name.and_then(MemberKind::parse).unwrap_or(MemberKind::User))
            .collect();
        let members: Vec<MemberCode> =
            columns.member.values.iter().map(|name| self.member_code(name.unwrap_or_default())).collect();
        let pr_members: Vec<u32> = columns
            .pr_member
            .values
            .iter()
            .map(|name| self.member_code(name.unwrap_or_default()).member)
            .collect();
        let days = self.month.days() as i64;
        for row in 0..rows {
            if columns.retracted.value(row) {
                continue;
            }
            let (Some(kind), Some(member), Some(member_kind)) =
                (columns.kind.get(row), columns.member.get(row), columns.member_kind.get(row))
            else {
                return Err(FoldError::Column("kind, member or member_kind"));
            };
            // A kind that a newer version writes is not ours to count.
            let Some(kind) = kinds[kind] else { continue };
            let at = columns.occurred_at.value(row);
            let day = (at - self.start_ms).div_euclid(DAY_MS);
            if !(0..days).contains(&day) {
                return Err(FoldError::Month { month: self.month.to_string() });
            }
            let (member, member_kind) = (members[member], member_kinds[member_kind]);
            let place = (columns.repo_id.value(row), day as usize);
            if self.open != Some(place) {
                self.flush();
                self.open = Some(place);
            }
            if kind == EventKind::Review
                && columns.pr_member.get(row).is_some_and(|author| pr_members[author] == member.member)
            {
                continue;
            }
            let shown = Shown { at, name: member.name, kind: member.kind.unwrap_or(member_kind) };
            let is_bot = shown.kind == MemberKind::Bot;
            let (cell, kept) = self.open_cells.entry((member.member, is_bot)).or_default();
            count(cell, kind, columns, row, &self.members[member.member as usize], self.identity);
            cell.span = merged_span(cell.span, Some((at, at)));
            shown.keep_in(kept, &self.names);
            self.events += 1;
            if kind == EventKind::Commit && number(columns.parents, row).unwrap_or(0) <= 1 {
                self.co_authored(member.member, columns.co_authors.get(row));
            }
        }
        Ok(())
    }

    /// Counts a commit for those whom it names as co-authors, each of them once. They are credited with
    /// nothing, so an event of their own says better how they are spelled and what they are.
    fn co_authored<'n>(&mut self, author: u32, names: impl Iterator<Item = &'n str>) {
        let mut counted = vec![author];
        for name in names {
            let code = self.member_code(name);
            if counted.contains(&code.member) {
                continue;
            }
            counted.push(code.member);
            let kind = code.kind.unwrap_or_else(|| kind_of_name(&self.names[code.name as usize]));
            let is_bot = kind == MemberKind::Bot;
            let (cell, kept) = self.open_cells.entry((code.member, is_bot)).or_default();
            cell.add(Counter::CoAuthoredCommits, 1);
            Shown { at: i64::MIN, name: code.name, kind }.keep_in(kept, &self.names);
        }
    }

    /// Adds the open repository and day to everything they are part of.
    fn flush(&mut self) {
        let Some((repo, day)) = self.open.take() else { return };
        if self.open_cells.is_empty() {
            return;
        }
        let by_day = self.by_repo_day.entry((repo, day)).or_default();
        for ((member, is_bot), (cell, shown)) in self.open_cells.drain() {
            let side = usize::from(is_bot);
            let work = self.by_member_day.entry((member, day)).or_default();
            work.cells[side].merge(&cell);
            if let Some(shown) = shown {
                shown.keep_in(&mut work.shown, &self.names);
            }
            by_day[side].0.merge(&cell);
            if cell.span.is_some() {
                by_day[side].1.push(member);
            }
        }
    }

    /// Makes the rollups, subject by subject in key order.
    fn finish(self) -> MonthFold {
        let mut out = Out { month: self.month, rollups: Vec::new() };
        let mut by_repo_day: Vec<_> = self.by_repo_day.iter().collect();
        by_repo_day.sort_unstable_by_key(|(place, _)| **place);
        let mut org: Vec<Option<Rollup>> = vec![None; self.month.days()];
        let mut repos = Vec::with_capacity(by_repo_day.len());
        for (&(repo, day), sides) in by_repo_day {
            let mut rollup =
                Rollup { people: self.side(&sides[0]), bots: self.side(&sides[1]), member: None };
            repos.push((repo, day, rollup.clone()));
            for part in [&mut rollup.people, &mut rollup.bots] {
                if part.is_credited() {
                    part.repos.insert(repo);
                }
            }
            org[day].get_or_insert_default().merge(&rollup);
        }
        let org = org.into_iter().enumerate().filter_map(|(day, rollup)| Some((day, rollup?)));
        out.add(&Subject::Org, org);
        for days in repos.chunk_by(|a, b| a.0 == b.0) {
            out.add(&Subject::Repo(days[0].0), days.iter().map(|(_, day, rollup)| (*day, rollup.clone())));
        }
        self.finish_members(&mut out);
        debug_assert!(out.rollups.is_sorted_by(|a, b| a.0 < b.0), "subjects come in key order");
        MonthFold { rollups: out.rollups, events: self.events }
    }

    fn finish_members(&self, out: &mut Out) {
        let name = |member: u32| self.members[member as usize].as_str();
        let mut by_day: Vec<_> = self.by_member_day.iter().collect();
        by_day.sort_unstable_by(|((a, a_day), _), ((b, b_day), _)| (name(*a), a_day).cmp(&(name(*b), b_day)));
        for days in by_day.chunk_by(|a, b| a.0.0 == b.0.0) {
            let member = days[0].0.0;
            let subject = Subject::Member(name(member).to_owned());
            out.add(&subject, days.iter().map(|((_, day), work)| (*day, self.of_member(work))));
        }
    }

    fn side(&self, (cell, members): &Side) -> Tally {
        let mut part = cell.part();
        part.members = members.iter().map(|&member| self.members[member as usize].clone()).collect();
        part
    }

    fn of_member(&self, work: &Work) -> Rollup {
        let member = work.shown.map(|shown| (self.names[shown.name as usize].clone(), shown.kind));
        Rollup { people: work.cells[0].part(), bots: work.cells[1].part(), member }
    }
}

struct Out {
    month: Month,
    rollups: Vec<(RollupKey, Rollup)>,
}

impl Out {
    fn push(&mut self, subject: Subject, grain: Grain, start: NaiveDate, rollup: Rollup) {
        self.rollups.push((RollupKey { subject, grain, start, month: self.month }, rollup));
    }

    /// Adds a subject's days, in order, and the weeks and the month they make up.
    fn add(&mut self, subject: &Subject, days: impl Iterator<Item = (usize, Rollup)>) {
        let mut weeks: Vec<(NaiveDate, Rollup)> = Vec::new();
        let mut month: Option<Rollup> = None;
        for (day, rollup) in days {
            let date = self.month.first_day() + Days::new(day as u64);
            let week = Grain::Week.bucket(date).start();
            match weeks.last_mut() {
                Some((start, whole)) if *start == week => whole.merge(&rollup),
                _ => weeks.push((week, rollup.clone())),
            }
            self.push(subject.clone(), Grain::Day, date, rollup);
        }
        for (start, rollup) in weeks {
            match &mut month {
                Some(whole) => whole.merge(&rollup),
                None => month = Some(rollup.clone()),
            }
            self.push(subject.clone(), Grain::Week, start, rollup);
        }
        if let Some(rollup) = month {
            self.push(subject.clone(), Grain::Month, self.month.first_day(), rollup);
        }
    }
}

/// Adds what the row says to the cell of the member it is credited to.
fn count(
    cell: &mut Cell,
    kind: EventKind,
    columns: &Columns<'_>,
    row: usize,
    author: &str,
    identity: &Identity,
) {
    match kind {
        EventKind::Commit if number(columns.parents, row).unwrap_or(0) > 1 => {
            cell.add(Counter::MergeCommits, 1)
        }
        EventKind::Commit => {
            let lines = |array| number(array, row).map_or(0, |n: i64| n.max(0) as u64);
            cell.add(Counter::Commits, 1);
            cell.add(Counter::Additions, lines(columns.additions));
            cell.add(Counter::Deletions, lines(columns.deletions));
            cell.add(Counter::FilesChanged, lines(columns.files_changed));
        }
        EventKind::PrOpened => cell.add(Counter::PrsOpened, 1),
        EventKind::PrMerged => {
            cell.add(Counter::PrsMerged, 1);
            count_merge(cell, columns, row, author, identity);
        }
        EventKind::PrClosed => cell.add(Counter::PrsClosed, 1),
        EventKind::Review => cell.add(Counter::Reviews, 1),
        EventKind::IssueOpened => cell.add(Counter::IssuesOpened, 1),
        EventKind::IssueClosed => cell.add(Counter::IssuesClosed, 1),
        EventKind::Release => cell.add(Counter::Releases, 1),
        EventKind::DeploymentSuccess => cell.add(Counter::Deploys, 1),
        EventKind::DeploymentFailure => cell.add(Counter::DeployFailures, 1),
    }
}

/// Adds a merged pull request's durations: created to merged, and created to the first review by
/// another person up to the merge.
fn count_merge(cell: &mut Cell, columns: &Columns<'_>, row: usize, author: &str, identity: &Identity) {
    let Some(created) = number(columns.created_at, row) else { return };
    let merged = columns.occurred_at.value(row);
    let seconds = |until: i64| ((until - created) / 1000).max(0) as u64;
    cell.add_duration(DurationMetric::CycleTime, seconds(merged));
    let first = columns
        .first_reviews
        .get(row)
        .filter(|&(name, kind, at)| {
            let kind = MemberKind::parse(kind).unwrap_or(MemberKind::User);
            let reviewer = identity.resolve(name, kind);
            at <= merged && !reviewer.bot && !is_member(&reviewer.name, author)
        })
        .map(|(_, _, at)| at)
        .min();
    if let Some(first) = first {
        cell.add_duration(DurationMetric::FirstReview, seconds(first));
    }
}

/// What a member is of whom nothing but the name is known, which is no bot's.
fn kind_of_name(name: &str) -> MemberKind {
    match name {
        GHOST => MemberKind::Ghost,
        name if name.starts_with('~') => MemberKind::Unlinked,
        _ => MemberKind::User,
    }
}

/// Whether a name is that of the member with the key, which is in lower case.
fn is_member(name: &str, key: &str) -> bool {
    name.eq_ignore_ascii_case(key) || (!name.is_ascii() && member_key(name) == key)
}
