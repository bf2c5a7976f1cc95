//! A rollup depends only on the events that affect it. Aggregation relies on this and rewrites no other
//! rollup.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use chrono::TimeDelta;
use gam_fold::{affected_keys, fold};
use gam_lake::snapshot;
use gam_model::period::midnight;
use gam_model::{
    Event, EventId, EventKind, Facts, Grain, Identity, Member, MemberKind, Month, RollupKey, Subject,
};
use gam_rollup::Rollup;
use proptest::prelude::*;
use proptest::sample::select;

/// The first three names belong to one person, because `configured` has an alias. It also makes `ben` a bot.
const NAMES: &[&str] = &["Ann", "ANN", "~0123456789ab", "ben", "renovate[bot]", "ghost"];

fn configured() -> Identity {
    Identity::new(["Ben".to_owned()], [("~0123456789ab".to_owned(), "ann".to_owned())]).unwrap()
}

fn january() -> Month {
    Month::parse("2025-01").unwrap()
}

fn member(name: &str) -> Member {
    match name.strip_prefix('~') {
        Some(_) => Member { name: name.to_owned(), id: None, kind: MemberKind::Unlinked },
        None => Member::account(name, None, false),
    }
}

/// Returns an event at a multiple of 12 hours after the start of January. Few distinct times make ties
/// likely.
fn event(kind: EventKind, repo_id: i64, name: &str, half_days: i64) -> Event {
    let at = midnight(january().first_day()) + TimeDelta::hours(12 * half_days);
    Event {
        id: EventId::from_stored("set by with_ids"),
        version: 1,
        kind,
        org: "acme".into(),
        repo: format!("repo-{repo_id}"),
        repo_id,
        member: member(name),
        occurred_at: at,
        collected_at: at,
        retracted: false,
        reading: 0,
        facts: Facts { created_at: Some(at - TimeDelta::hours(5)), ..Facts::default() },
    }
}

fn with_ids(mut events: Vec<Event>) -> Vec<Event> {
    for (n, event) in events.iter_mut().enumerate() {
        event.id = EventId::from_stored(format!("fact:{n}"));
    }
    events
}

fn any_event() -> impl Strategy<Value = Event> {
    let co_authors = prop::collection::vec(select(NAMES), 0..3);
    let members = (select(NAMES), select(NAMES), co_authors);
    (select(EventKind::ALL.to_vec()), 1i64..3, 0i64..62, 0i32..3, members).prop_map(
        |(kind, repo_id, half_days, parents, (name, author, co_authors))| {
            let mut event = event(kind, repo_id, name, half_days);
            event.facts.parents = Some(parents);
            event.facts.pr_member = Some(author.to_owned());
            event.facts.co_authors = Some(co_authors.into_iter().map(str::to_owned).collect());
            event
        },
    )
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(any_event(), 1..16).prop_map(with_ids)
}

fn any_identity() -> impl Strategy<Value = Identity> {
    any::<bool>().prop_map(|is_configured| if is_configured { configured() } else { Identity::default() })
}

fn rows(events: &[Event]) -> Vec<RecordBatch> {
    snapshot::merge(&[], events.to_vec()).unwrap().batches
}

fn fold_to_json(rows: &[RecordBatch], identity: &Identity) -> BTreeMap<RollupKey, String> {
    let fold = fold(january(), rows, identity).unwrap();
    fold.iter().map(|(key, rollup)| (key.clone(), rollup.to_json())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn an_event_changes_only_affected_rollups(events in any_events(), identity in any_identity()) {
        let with = fold_to_json(&rows(&events), &identity);
        for (n, event) in events.iter().enumerate() {
            let mut others = events.clone();
            others.remove(n);
            let without = fold_to_json(&rows(&others), &identity);
            let affected: BTreeSet<RollupKey> = affected_keys(event, &identity).collect();
            for key in with.keys().chain(without.keys()).filter(|key| !affected.contains(*key)) {
                prop_assert_eq!(with.get(key), without.get(key), "{:?} by {:?}", key, event);
            }
        }
    }

    #[test]
    fn the_order_of_rows_does_not_matter(events in any_events(), identity in any_identity()) {
        let reversed: Vec<RecordBatch> =
            events.iter().rev().flat_map(|event| rows(std::slice::from_ref(event))).collect();
        prop_assert_eq!(fold_to_json(&rows(&events), &identity), fold_to_json(&reversed, &identity));
    }
}

/// Returns the display name and kind in a rollup of January.
fn display_name(
    events: Vec<Event>,
    subject: &Subject,
    grain: Grain,
    day: &str,
) -> Option<(String, MemberKind)> {
    let fold = fold(january(), &rows(&with_ids(events)), &configured()).unwrap();
    let start = grain.bucket(day.parse().unwrap()).start();
    let rollup: Rollup = fold.get(&RollupKey { subject: subject.clone(), grain, start, month: january() });
    rollup.member
}

#[test]
fn the_display_name_comes_from_the_last_event_of_the_bucket() {
    let issue = |repo_id, name, half_days| event(EventKind::IssueOpened, repo_id, name, half_days);
    // On 5 January, a Sunday, 7 and 8 January in the following week, and 20 January.
    let events =
        || vec![issue(1, "~0123456789ab", 8), issue(1, "ANN", 12), issue(2, "Ann", 14), issue(2, "anN", 38)];
    let ann = Subject::member("ann");
    let user = |name: &str| Some((name.to_owned(), MemberKind::User));
    let name_in = |grain, day| display_name(events(), &ann, grain, day);
    // The alias leads to an account, although the row has an unlinked author.
    assert_eq!(name_in(Grain::Day, "2025-01-05"), user("ann"));
    assert_eq!(name_in(Grain::Week, "2025-01-05"), user("ann"));
    assert_eq!(name_in(Grain::Day, "2025-01-07"), user("ANN"));
    assert_eq!(name_in(Grain::Day, "2025-01-08"), user("Ann"));
    assert_eq!(name_in(Grain::Week, "2025-01-07"), user("Ann"));
    assert_eq!(name_in(Grain::Month, "2025-01-01"), user("anN"));
    assert_eq!(name_in(Grain::Day, "2025-01-09"), None);
}

#[test]
fn a_credited_event_overrides_the_display_name_of_a_co_author() {
    let mut commit = event(EventKind::Commit, 1, "ben", 20);
    commit.facts.co_authors = Some(vec!["ANN".to_owned()]);
    let credited = event(EventKind::IssueOpened, 1, "Ann", 14);
    let user = |name: &str| Some((name.to_owned(), MemberKind::User));
    let name_in = |grain, day| {
        display_name(vec![commit.clone(), credited.clone()], &Subject::member("ann"), grain, day)
    };
    assert_eq!(name_in(Grain::Day, "2025-01-11"), user("ANN"));
    assert_eq!(name_in(Grain::Month, "2025-01-11"), user("Ann"));
}
