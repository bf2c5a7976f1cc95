use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, Weekday};
use gam_model::{EventId, EventKind, MemberKind};

use super::*;

fn range(since: &str, until: &str) -> SampleRange {
    SampleRange { seed: 42, since: since.parse().unwrap(), until: until.parse().unwrap() }
}

fn year() -> Vec<Event> {
    events(range("2024-01-01", "2025-02-04"))
}

fn of_kind(events: &[Event], kind: EventKind) -> BTreeMap<(i64, i64), &Event> {
    let of_kind = events.iter().filter(|event| event.kind == kind);
    of_kind.map(|event| ((event.repo_id, event.facts.number.unwrap()), event)).collect()
}

#[test]
fn events_follow_from_the_seed() {
    let one = events(range("2024-03-01", "2024-04-01"));
    assert_eq!(one, events(range("2024-03-01", "2024-04-01")));
    let other = events(SampleRange { seed: 7, ..range("2024-03-01", "2024-04-01") });
    assert_ne!(one, other);
}

#[test]
fn ids_are_unique() {
    let events = year();
    let ids: BTreeSet<_> = events.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), events.len());
}

#[test]
fn all_events_are_in_the_range() {
    let range = range("2024-01-01", "2025-02-04");
    for event in year() {
        assert!(event.occurred_at >= midnight(range.since), "{event:?}");
        assert!(event.occurred_at < midnight(range.until), "{event:?}");
        let times = [event.facts.created_at, event.facts.merged_at];
        assert!(times.into_iter().flatten().all(|at| at < midnight(range.until)), "{event:?}");
    }
}

#[test]
fn pull_requests_end_once_and_after_they_were_opened() {
    let events = year();
    let opened = of_kind(&events, EventKind::PrOpened);
    let merged = of_kind(&events, EventKind::PrMerged);
    for (key, event) in &merged {
        let start = opened[key];
        assert!(start.occurred_at < event.occurred_at);
        assert_eq!(event.facts.created_at, Some(start.occurred_at));
        assert_eq!(event.facts.merged_at, Some(event.occurred_at));
        assert_eq!(start.facts.state.as_deref(), Some("merged"));
        for review in event.facts.first_reviews.as_ref().unwrap() {
            assert!(start.occurred_at < review.at && review.at <= event.occurred_at);
            assert_ne!(review.member, start.member.name);
        }
    }
    for (key, event) in &of_kind(&events, EventKind::PrClosed) {
        assert!(opened[key].occurred_at < event.occurred_at);
        assert!(event.retracted || !merged.contains_key(key), "{event:?}");
    }
    for event in events.iter().filter(|event| event.kind == EventKind::Review) {
        let pull = opened[&(event.repo_id, event.facts.number.unwrap())];
        assert_eq!(event.facts.pr_member.as_deref(), Some(pull.member.name.as_str()));
        assert_ne!(event.member.name, pull.member.name);
        assert!(pull.occurred_at < event.occurred_at);
    }
    let issues = of_kind(&events, EventKind::IssueOpened);
    for (key, event) in &of_kind(&events, EventKind::IssueClosed) {
        assert!(issues[key].occurred_at < event.occurred_at);
    }
    assert!(
        opened.keys().all(|key| !issues.contains_key(key)),
        "pull requests and issues share one sequence of numbers"
    );
}

#[test]
fn a_longer_sample_continues_a_shorter_one() {
    let first: NaiveDate = "2024-05-03".parse().unwrap();
    let mut earlier: BTreeMap<EventId, Event> = BTreeMap::new();
    let mut changed = 0;
    for days in [0, 1, 2, 3, 30] {
        let until = first + Days::new(days);
        let now = events(SampleRange { seed: 1, since: "2024-03-01".parse().unwrap(), until });
        let now: BTreeMap<_, _> = now.into_iter().map(|event| (event.id.clone(), event)).collect();
        for (id, before) in &earlier {
            let after = &now[id];
            if !after.has_same_content(before) {
                assert!(after.version > before.version, "{before:?} {after:?}");
                assert_eq!(after.occurred_at, before.occurred_at);
                changed += 1;
            }
        }
        assert!(now.len() > earlier.len());
        earlier = now;
    }
    assert!(changed > 20, "pull requests are merged later than they are opened: {changed}");
}

#[test]
fn the_sample_looks_like_a_team() {
    let events = year();
    assert!((15_000..60_000).contains(&events.len()), "{}", events.len());
    let members: BTreeSet<_> = events.iter().map(|event| (event.member.kind, &event.member.name)).collect();
    let count = |kind| members.iter().filter(|(of, _)| *of == kind).count();
    assert_eq!((count(MemberKind::User), count(MemberKind::Bot)), (30, 2));
    assert_eq!((count(MemberKind::Unlinked), count(MemberKind::Ghost)), (3, 1));
    assert!(members.iter().all(|(_, name)| !name.contains('@')));
    for kind in EventKind::ALL {
        assert!(events.iter().any(|event| event.kind == kind), "{kind:?}");
    }
    for kind in [EventKind::PrClosed, EventKind::IssueClosed, EventKind::DeploymentFailure] {
        assert!(events.iter().any(|event| event.kind == kind && event.retracted), "{kind:?}");
        assert!(events.iter().any(|event| event.kind == kind && !event.retracted), "{kind:?}");
    }
    let on = |day| events.iter().filter(|event| event.occurred_at.weekday() == day).count();
    assert!(on(Weekday::Sat) * 4 < on(Weekday::Tue));
    let repos: BTreeSet<_> = events.iter().map(|event| (event.repo_id, &event.repo)).collect();
    assert_eq!(repos.len(), REPO_COUNT);
}
