//! How the items of a month belong together.

use std::collections::{BTreeMap, BTreeSet};

use gam_fold::fold;
use gam_model::metric::Counter;
use gam_model::{
    DayOfMonth, Event, EventKind, Identity, ItemClass, ItemKey, Month, Range, Subject, SubjectKind,
    WeekOfMonth,
};
use gam_rollup::{BreakdownItem, DaysItem, DisplayName, ListItem, ListedSubject, Rollup, Side, Totals};
use proptest::prelude::*;

use crate::support::{Items, any_events, any_identity, commit, fold_items, hour, january, rows};

type NamedCells = BTreeMap<(u8, Subject, Side), Totals>;

/// Returns the cells of a breakdown, of which no two may have the same day, other and side.
fn named_cells(item: &BreakdownItem) -> NamedCells {
    let keys = item.cells.iter().map(|cell| (cell.day, cell.other, cell.side));
    assert!(keys.is_sorted_by(|a, b| a < b));
    assert!(item.others.is_sorted_by(|a, b| a.subject() < b.subject()));
    let named = item
        .cells
        .iter()
        .map(|cell| ((cell.day, item.others[cell.other as usize].subject(), cell.side), cell.totals.clone()));
    named.collect()
}

/// Returns all cells of a subject's weeks, each of which must be in the week that its day belongs to.
fn month_cells(items: &Items, subject: &Subject) -> NamedCells {
    let mut cells = NamedCells::new();
    for week in WeekOfMonth::all() {
        let of_week = named_cells(&items.breakdown(subject.clone(), week));
        assert!(of_week.keys().all(|(day, ..)| DayOfMonth::new(*day).unwrap().week() == week));
        cells.extend(of_week);
    }
    cells
}

/// Returns what a member's days say, by day and side.
fn member_totals(days: DaysItem) -> BTreeMap<(u8, Side), Totals> {
    let sides = days.days.into_iter().flat_map(|(day, sides)| sides.into_iter().map(move |side| (day, side)));
    sides.map(|(day, side)| ((day, side.side), side.totals)).collect()
}

fn of_repo(events: &[Event], id: i64) -> Vec<Event> {
    events.iter().filter(|event| event.repo_id == id).cloned().collect()
}

fn repo_ids(items: &Items) -> Vec<i64> {
    let entries = items.list(SubjectKind::Repo).entries.into_iter();
    let id = |subject| if let ListedSubject::Repo(id) = subject { id } else { panic!("no repository") };
    entries.map(|entry| id(entry.subject)).collect()
}

fn listed_members(items: &Items) -> Vec<(String, DisplayName)> {
    let entries = items.list(SubjectKind::Member).entries.into_iter();
    let member =
        |subject| if let ListedSubject::Member(key, name) = subject { (key, name) } else { panic!() };
    entries.map(|entry| member(entry.subject)).collect()
}

/// Compares the totals and the names of entries with the days of their subjects.
fn check_list(items: &Items, list: &ListItem) {
    assert!(list.entries.is_sorted_by(|a, b| a.subject.subject() < b.subject.subject()));
    for entry in &list.entries {
        let subject = entry.subject.subject();
        let of_days = items.days(subject.clone()).sum_all(january());
        let mut of_list = list.rollup(january(), entry);
        if entry.sides.is_empty() {
            of_list.member = None;
        }
        assert_eq!(of_list, of_days, "{subject:?}");
        let has_breakdown = |week: &WeekOfMonth| !items.breakdown(subject.clone(), *week).cells.is_empty();
        let weeks =
            WeekOfMonth::all().filter(has_breakdown).fold(0, |weeks, week| weeks | 1 << week.number());
        assert_eq!(entry.weeks, weeks, "{subject:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_breakdown_equals_the_fold_of_one_repository(events in any_events(32), identity in any_identity()) {
        let items = fold_items(&rows(&events), &identity);
        for id in repo_ids(&items) {
            let alone = fold_items(&rows(&of_repo(&events, id)), &identity);
            prop_assert_eq!(items.days(Subject::Repo(id)), alone.days(Subject::Repo(id)));
            let mut cells = month_cells(&items, &Subject::Repo(id));
            for (member, _) in listed_members(&alone) {
                let subject = Subject::Member(member);
                for ((day, side), totals) in member_totals(alone.days(subject.clone())) {
                    let cell = cells.remove(&(day, subject.clone(), side));
                    prop_assert_eq!(cell, Some(totals), "{:?} in {} on {}", subject, id, day);
                }
            }
            prop_assert!(cells.is_empty(), "{cells:?}");
        }
    }

    #[test]
    fn both_breakdowns_have_the_same_cells(events in any_events(32), identity in any_identity()) {
        let items = fold_items(&rows(&events), &identity);
        let mut by_member = BTreeMap::new();
        for (member, _) in listed_members(&items) {
            let member = Subject::Member(member);
            for ((day, repo, side), totals) in month_cells(&items, &member) {
                by_member.insert((day, repo, member.clone(), side), totals);
            }
        }
        let mut by_repo = BTreeMap::new();
        for id in repo_ids(&items) {
            let repo = Subject::Repo(id);
            for ((day, member, side), totals) in month_cells(&items, &repo) {
                by_repo.insert((day, repo.clone(), member, side), totals);
            }
        }
        prop_assert_eq!(by_member, by_repo);
    }

    #[test]
    fn members_of_a_repository_sum_to_the_repository(events in any_events(32), identity in any_identity()) {
        let items = fold_items(&rows(&events), &identity);
        for id in repo_ids(&items) {
            let mut sum = Rollup::default();
            for week in WeekOfMonth::all() {
                let breakdown = items.breakdown(Subject::Repo(id), week);
                for (_, member) in breakdown.sum_by_other(january(), whole_month()) {
                    sum.merge(&member);
                }
            }
            let mut repo = items.days(Subject::Repo(id)).sum_all(january());
            repo.unknown = Default::default();
            repo.sides_mut().into_iter().for_each(|side| side.members.clear());
            // Breakdowns know the week, days only the month.
            (sum.member, sum.latest_item) = (None, repo.latest_item);
            prop_assert_eq!(sum, repo);
        }
    }

    #[test]
    fn lists_are_sums_of_days_and_name_all_subjects(events in any_events(32), identity in any_identity()) {
        let items = fold_items(&rows(&events), &identity);
        let lists = [SubjectKind::Repo, SubjectKind::Member].map(|kind| items.list(kind));
        lists.iter().for_each(|list| check_list(&items, list));
        let entries = lists.iter().flat_map(|list| &list.entries);
        let mut listed: BTreeSet<Subject> = entries.map(|entry| entry.subject.subject()).collect();
        listed.insert(Subject::Org);
        for key in items.0.keys() {
            if let ItemClass::Days(subject) | ItemClass::Breakdown(subject) = &key.class {
                prop_assert!(listed.contains(subject), "{subject:?} is in no list");
            }
        }
    }

    #[test]
    fn requested_items_equal_the_complete_fold(events in any_events(16), identity in any_identity()) {
        let fold = fold(january(), &rows(&events), &identity).unwrap();
        let all = fold.items();
        prop_assert!(all.is_sorted_by(|a, b| position(&a.0) < position(&b.0)), "lists come first");
        for (key, body) in &all {
            prop_assert!(!body.is_empty(), "{key:?} is stored empty");
        }
        let missing = ItemKey::new(ItemClass::Days(Subject::member("nobody")), january());
        let of_february = ItemKey::new(ItemClass::Days(Subject::Org), Month::parse("2025-02").unwrap());
        let mut keys: BTreeSet<ItemKey> = all.iter().map(|(key, _)| key.clone()).collect();
        keys.extend([missing.clone(), of_february]);
        let mut expected: BTreeMap<ItemKey, Vec<u8>> = all.into_iter().collect();
        expected.insert(missing, Vec::new());
        let mut expected = Vec::from_iter(expected);
        expected.sort_by(|a, b| position(&a.0).cmp(&position(&b.0)));
        prop_assert_eq!(fold.items_of(&keys), expected);
    }
}

/// Returns what items are ordered by: lists come first, so that they name what was written before a crash.
pub(crate) fn position(key: &ItemKey) -> (bool, &ItemKey) {
    (!matches!(key.class, ItemClass::List(_)), key)
}

fn whole_month() -> Range {
    Range::new(january().first_day(), january().end()).unwrap()
}

#[test]
fn nothing_is_folded_from_no_rows() {
    let fold = fold(january(), &[], &Identity::default()).unwrap();
    assert_eq!((fold.events(), fold.items().len()), (0, 0));
}

#[test]
fn an_author_whose_commit_counts_for_another_is_listed_without_totals() {
    let sha = "a".repeat(40);
    let items = fold_items(
        &rows(&[1, 2].map(|repo| commit(repo, &sha, ["ann", "ben"][repo as usize - 1], hour(3)))),
        &Identity::default(),
    );
    assert_eq!(items.days(Subject::member("ben")), DaysItem::default());
    let list = items.list(SubjectKind::Member);
    let entry = list.entries.iter().find(|entry| entry.subject.subject() == Subject::member("ben")).unwrap();
    assert_eq!((entry.weeks, entry.sides.len()), (1, 0));
    let week = items.breakdown(Subject::member("ben"), WeekOfMonth::FIRST);
    assert_eq!(week.cells[0].totals.counts[Counter::Commits as usize], 1);
    let in_repo = items.breakdown(Subject::Repo(2), WeekOfMonth::FIRST);
    assert_eq!(in_repo.others[0].subject(), Subject::member("ben"));
}

#[test]
fn counters_of_any_size_are_kept() {
    let mut large = commit(1, &"a".repeat(40), "ann", hour(3));
    large.facts.additions = Some(i64::MAX);
    let mut negative = commit(1, &"b".repeat(40), "ann", hour(3));
    negative.facts.additions = Some(-7);
    let items = fold_items(&rows(&[large, negative]), &Identity::default());
    for subject in [Subject::Org, Subject::Repo(1), Subject::member("ann")] {
        let people = items.days(subject).sum_all(january()).people;
        assert_eq!(people.counts[Counter::Additions as usize], i64::MAX as u64);
        assert_eq!(people.counts[Counter::Commits as usize], 2);
    }
}

#[test]
fn a_row_of_another_month_is_an_error() {
    for hours in [-1, 31 * 24] {
        let rows = rows(&[commit(1, &"a".repeat(40), "ann", hour(hours))]);
        let error = fold(january(), &rows, &Identity::default()).err().unwrap();
        assert_eq!(error.to_string(), "a row in the snapshot of 2025-01 has a time in another month");
    }
    let last = crate::support::event(EventKind::IssueOpened, 1, "ann", hour(31 * 24 - 1));
    assert_eq!(fold(january(), &rows(&[last]), &Identity::default()).unwrap().events(), 1);
}
