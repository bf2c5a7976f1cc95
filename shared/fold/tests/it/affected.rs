//! A rollup depends only on the events that affect it. Aggregation relies on this and rewrites no other
//! rollup.

use std::collections::BTreeSet;

use arrow_array::RecordBatch;
use gam_fold::{affected_by_shared_commits, affected_keys, fold};
use gam_model::{Event, EventKind, Grain, Identity, Member, MemberKind, RollupKey, Subject};
use gam_rollup::Rollup;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::{self, fold_to_json, hour, january, rows, with_ids};

/// The first three names belong to one person, because `configured` has an alias. It also makes `ben` a bot.
const NAMES: &[&str] = &["Ann", "ANN", "~0123456789ab", "ben", "renovate[bot]", "ghost"];

fn configured() -> Identity {
    Identity::new(["Ben".to_owned()], [("~0123456789ab".to_owned(), "ann".to_owned())]).unwrap()
}

/// Returns an event at a multiple of 12 hours after the start of January. Few distinct times make ties
/// likely.
fn event(kind: EventKind, repo_id: i64, name: &str, half_days: i64) -> Event {
    support::event(kind, repo_id, name, hour(12 * half_days))
}

fn any_event() -> impl Strategy<Value = Event> {
    let co_authors = prop::collection::vec(select(NAMES), 0..3);
    let members = (select(NAMES), select(NAMES), co_authors);
    (select(EventKind::ALL.to_vec()), 1i64..3, 0i64..62, 0i32..3, members).prop_map(
        |(kind, repo_id, half_days, parents, (name, author, co_authors))| {
            let mut event = event(kind, repo_id, name, half_days);
            event.facts.parents = Some(parents);
            event.facts.additions = (parents > 0).then_some(half_days);
            if kind.is_delivery() && half_days % 3 == 0 {
                event.member = Member::unknown();
            }
            event.facts.pr_member = Some(author.to_owned());
            event.facts.co_authors = Some(co_authors.into_iter().map(str::to_owned).collect());
            event
        },
    )
}

/// Returns events of which each three are the same commit in three repositories, as far as they are commits.
/// Most of them are.
fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let events = prop::collection::vec((any_event(), 0u8..4), 1..16);
    events.prop_map(|events| {
        let with_sha = |(n, (mut event, kind)): (usize, (Event, u8))| {
            event.facts.sha = Some(format!("{:040x}", n / 3));
            event.repo_id = 1 + n as i64 % 3;
            event.kind = if kind > 0 { EventKind::Commit } else { event.kind };
            event
        };
        with_ids(events.into_iter().enumerate().map(with_sha).collect())
    })
}

fn any_identity() -> impl Strategy<Value = Identity> {
    any::<bool>().prop_map(|is_configured| if is_configured { configured() } else { Identity::default() })
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
            let mut affected: BTreeSet<RollupKey> = affected_keys(event, &identity).collect();
            let shas = event.facts.sha.iter().filter(|_| event.kind == EventKind::Commit).cloned().collect();
            affected.extend(affected_by_shared_commits(&rows(&others), &shas, &identity).unwrap());
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
