//! The items of a month of cells.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use gam_model::metric::Counter;
use gam_model::period::midnight;
use gam_model::{DayOfMonth, ItemClass, ItemKey, Month, Subject, SubjectKind, WeekOfMonth};
use gam_rollup::{
    BreakdownItem, Cell as BreakdownCell, DaysItem, DisplayName, ListEntry, ListItem, ListedSubject, Side,
    SideTotals, StoredForm, Totals, merged_span,
};

use super::{Cell, MEMBERS, REPOS};

/// Returns all items of a month.
pub(crate) fn items_of(month: Month, cells: &[Cell]) -> Vec<(ItemKey, Vec<u8>)> {
    let cells: Vec<&Cell> = cells.iter().filter(|cell| cell.month == month).collect();
    let subjects: BTreeSet<Subject> =
        cells.iter().flat_map(|cell| [Subject::Org, repo_of(cell), member_of(cell)]).collect();
    let mut items = Vec::new();
    for subject in &subjects {
        let days = days_item(subject, month, &cells).encode();
        items.push((ItemKey::new(ItemClass::Days(subject.clone()), month), days));
        for week in WeekOfMonth::all().filter(|_| *subject != Subject::Org) {
            let breakdown = breakdown_item(subject, month, week, &cells);
            if !breakdown.cells.is_empty() {
                items.push((ItemKey::breakdown(subject.clone(), month, week), breakdown.encode()));
            }
        }
    }
    for kind in [SubjectKind::Repo, SubjectKind::Member] {
        let listed = subjects.iter().filter(|subject| subject.kind() == kind);
        let list = list_item(listed, month, &cells).encode();
        items.push((ItemKey::new(ItemClass::List(kind), month), list));
    }
    items
}

fn repo_of(cell: &Cell) -> Subject {
    Subject::Repo(REPOS[cell.repo].0)
}

fn member_of(cell: &Cell) -> Subject {
    Subject::Member(MEMBERS[cell.member].0.to_owned())
}

fn side_of(cell: &Cell) -> Side {
    if cell.is_bot() { Side::Bots } else { Side::People }
}

fn display_name(key: &str) -> DisplayName {
    let (_, name, kind) = MEMBERS.iter().find(|(member, ..)| *member == key).expect("a member");
    DisplayName { name: (*name).to_owned(), kind: *kind }
}

fn is_of(subject: &Subject, cell: &Cell) -> bool {
    *subject == Subject::Org || *subject == repo_of(cell) || *subject == member_of(cell)
}

/// Returns the totals of cells of one side, with their members and repositories.
fn side_totals<'a>(
    subject: &Subject,
    side: Side,
    cells: impl Iterator<Item = &'a Cell>,
    members: &[String],
    repos: &[i64],
) -> SideTotals {
    let mut totals = Totals::default();
    let (mut of_side, mut in_repos, mut span) = (BTreeSet::new(), BTreeSet::new(), None);
    for cell in cells {
        totals.add(Counter::Commits, cell.commits);
        let at = midnight(cell.date).timestamp_millis();
        span = merged_span(span, Some((at, at)));
        of_side.extend(members.iter().position(|key| key == MEMBERS[cell.member].0));
        in_repos.extend(repos.iter().position(|id| *id == REPOS[cell.repo].0));
    }
    let indexes = |set: BTreeSet<usize>| set.into_iter().map(|index| index as u32).collect();
    let no_members = matches!(subject, Subject::Member(_));
    SideTotals {
        side,
        totals,
        members: if no_members { Vec::new() } else { indexes(of_side) },
        repos: if *subject == Subject::Org { indexes(in_repos) } else { Vec::new() },
        span: span.filter(|_| *subject == Subject::Org),
    }
}

/// Returns the totals of cells, one a side.
fn sides_of(subject: &Subject, cells: &[&Cell], members: &[String], repos: &[i64]) -> Vec<SideTotals> {
    let sides: BTreeSet<Side> = cells.iter().map(|cell| side_of(cell)).collect();
    let of_side = |side| cells.iter().copied().filter(move |cell| side_of(cell) == side);
    sides.into_iter().map(|side| side_totals(subject, side, of_side(side), members, repos)).collect()
}

fn member_keys(cells: &[&Cell]) -> Vec<String> {
    let keys: BTreeSet<&str> = cells.iter().map(|cell| MEMBERS[cell.member].0).collect();
    keys.into_iter().map(str::to_owned).collect()
}

fn days_item(subject: &Subject, month: Month, cells: &[&Cell]) -> DaysItem {
    let cells: Vec<&Cell> = cells.iter().copied().filter(|cell| is_of(subject, cell)).collect();
    let (name, members) = match subject {
        Subject::Member(key) => (Some(display_name(key)), Vec::new()),
        _ => (None, member_keys(&cells)),
    };
    let repos: BTreeSet<i64> = match subject {
        Subject::Org => cells.iter().map(|cell| REPOS[cell.repo].0).collect(),
        _ => BTreeSet::new(),
    };
    let repos: Vec<i64> = repos.into_iter().collect();
    let mut by_date: BTreeMap<NaiveDate, Vec<&Cell>> = BTreeMap::new();
    cells.iter().for_each(|cell| by_date.entry(cell.date).or_default().push(cell));
    let days = by_date
        .into_iter()
        .map(|(date, cells)| (number(date, month), sides_of(subject, &cells, &members, &repos)));
    DaysItem { days: days.collect(), name, members, repos }
}

fn number(date: NaiveDate, month: Month) -> u8 {
    DayOfMonth::from_date(date, month).expect("the day is in the month or next to it").number()
}

fn listed(subject: &Subject) -> ListedSubject {
    match subject {
        Subject::Repo(id) => ListedSubject::Repo(*id),
        other => ListedSubject::Member(other.name(), display_name(&other.name())),
    }
}

fn list_item<'a>(subjects: impl Iterator<Item = &'a Subject>, month: Month, cells: &[&Cell]) -> ListItem {
    let mut list = ListItem { members: member_keys(cells), entries: Vec::new() };
    for subject in subjects {
        let cells: Vec<&Cell> = cells.iter().copied().filter(|cell| is_of(subject, cell)).collect();
        let weeks = cells.iter().map(|cell| {
            1 << DayOfMonth::from_date(cell.date, month).expect("a day of the month").week().number()
        });
        list.entries.push(ListEntry {
            subject: listed(subject),
            weeks: weeks.fold(0, |all: u8, week: u8| all | week),
            sides: sides_of(subject, &cells, &list.members, &[]),
        });
        if subject.kind() == SubjectKind::Member {
            list.entries.last_mut().expect("it was added").sides.iter_mut().for_each(|s| s.members.clear());
        }
    }
    if list.entries.iter().all(|entry| entry.sides.iter().all(|side| side.members.is_empty())) {
        list.members.clear();
    }
    list
}

fn breakdown_item(subject: &Subject, month: Month, week: WeekOfMonth, cells: &[&Cell]) -> BreakdownItem {
    let is_in_week =
        |cell: &&Cell| DayOfMonth::from_date(cell.date, month).is_some_and(|day| day.week() == week);
    let other_of = |cell: &Cell| match subject {
        Subject::Member(_) => repo_of(cell),
        _ => member_of(cell),
    };
    let cells: Vec<&Cell> =
        cells.iter().copied().filter(|cell| is_of(subject, cell)).filter(is_in_week).collect();
    let others: BTreeSet<Subject> = cells.iter().map(|cell| other_of(cell)).collect();
    let mut sums: BTreeMap<(u8, u32, Side), Totals> = BTreeMap::new();
    for cell in cells {
        let other = others.iter().position(|other| *other == other_of(cell)).expect("it is an other") as u32;
        let sum = sums.entry((number(cell.date, month), other, side_of(cell))).or_default();
        sum.add(Counter::Commits, cell.commits);
    }
    let cells = sums.into_iter();
    BreakdownItem {
        cells: cells.map(|((day, other, side), totals)| BreakdownCell { day, other, side, totals }).collect(),
        others: others.iter().map(listed).collect(),
    }
}
