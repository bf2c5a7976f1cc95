//! Which of a member's names items show.

use gam_model::{Event, EventKind, MemberKind, Subject, SubjectKind, WeekOfMonth};
use gam_rollup::{DisplayName, ListedSubject};

use crate::support::{self, Items, configured, fold_items, hour, rows, with_ids};

/// Returns an event at a multiple of 12 hours after the start of January.
fn event(kind: EventKind, repo_id: i64, name: &str, half_days: i64) -> Event {
    support::event(kind, repo_id, name, hour(12 * half_days))
}

fn items(events: Vec<Event>) -> Items {
    fold_items(&rows(&with_ids(events)), &configured())
}

fn user(name: &str) -> Option<DisplayName> {
    Some(DisplayName { name: name.to_owned(), kind: MemberKind::User })
}

fn name_in_month(items: &Items) -> Option<DisplayName> {
    items.days(Subject::member("ann")).name
}

fn name_of_ann(others: Vec<ListedSubject>) -> Option<DisplayName> {
    others.into_iter().find_map(|other| match other {
        ListedSubject::Member(key, name) => (key == "ann").then_some(name),
        ListedSubject::Repo(_) => None,
    })
}

fn name_in_week(items: &Items, repo_id: i64, week: u8) -> Option<DisplayName> {
    name_of_ann(items.breakdown(Subject::Repo(repo_id), WeekOfMonth::new(week).unwrap()).others)
}

#[test]
fn the_display_name_comes_from_the_last_event_in_the_item() {
    let issue = |repo_id, name, half_days| event(EventKind::IssueOpened, repo_id, name, half_days);
    // On 5, 7, 8 and 20 January: two in the first week of the month, one in the second, one in the third.
    let items = items(vec![
        issue(1, "~0123456789ab", 8),
        issue(1, "ANN", 12),
        issue(2, "~0123456789ab", 12),
        issue(2, "Ann", 14),
        issue(2, "anN", 38),
    ]);
    assert_eq!(name_in_month(&items), user("anN"));
    let list = items.list(SubjectKind::Member);
    assert_eq!(name_of_ann(list.entries.into_iter().map(|entry| entry.subject).collect()), user("anN"));
    assert_eq!(name_in_week(&items, 1, 0), user("ANN"));
    // The alias leads to an account, although the row has an unlinked author.
    assert_eq!(name_in_week(&items, 2, 0), user("ann"));
    assert_eq!(name_in_week(&items, 2, 1), user("Ann"));
    assert_eq!(name_in_week(&items, 2, 2), user("anN"));
    assert_eq!(name_in_week(&items, 1, 1), None);
}

#[test]
fn of_names_at_one_time_the_greatest_is_shown() {
    for names in [["ANN", "Ann"], ["Ann", "ANN"]] {
        let items = items(names.map(|name| event(EventKind::IssueOpened, 1, name, 12)).to_vec());
        assert_eq!(name_in_month(&items), user("Ann"));
        assert_eq!(name_in_week(&items, 1, 0), user("Ann"));
    }
}

#[test]
fn a_credited_event_overrides_the_display_name_of_a_co_author() {
    // On 11 and 8 January, which are in the second week.
    let mut commit = event(EventKind::Commit, 1, "ben", 20);
    commit.facts.co_authors = Some(vec!["ANN".to_owned()]);
    let credited = event(EventKind::IssueOpened, 1, "Ann", 14);
    let co_author_only = items(vec![commit.clone()]);
    assert_eq!(
        (name_in_month(&co_author_only), name_in_week(&co_author_only, 1, 1)),
        (user("ANN"), user("ANN"))
    );
    let both = items(vec![commit, credited]);
    assert_eq!((name_in_month(&both), name_in_week(&both, 1, 1)), (user("Ann"), user("Ann")));
}
