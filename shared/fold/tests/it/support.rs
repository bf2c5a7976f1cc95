//! Events of January 2025, and their fold.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use chrono::{DateTime, TimeDelta, Utc};
use gam_fold::fold;
use gam_lake::snapshot;
use gam_model::metric::Counter;
use gam_model::period::midnight;
use gam_model::{
    Event, EventId, EventKind, Facts, Grain, Identity, Member, MemberKind, Month, RollupKey, Subject,
};
use gam_rollup::Rollup;

pub(crate) fn january() -> Month {
    Month::parse("2025-01").unwrap()
}

pub(crate) fn member(name: &str) -> Member {
    match name.strip_prefix('~') {
        Some(_) => Member { name: name.to_owned(), id: None, kind: MemberKind::Unlinked },
        None => Member::account(name, None, false),
    }
}

/// Returns the time a number of hours after the start of January.
pub(crate) fn hour(hours: i64) -> DateTime<Utc> {
    midnight(january().first_day()) + TimeDelta::hours(hours)
}

/// Returns an event without an id.
pub(crate) fn event(kind: EventKind, repo_id: i64, name: &str, at: DateTime<Utc>) -> Event {
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

/// Returns a commit of 10 added lines.
pub(crate) fn commit(repo_id: i64, sha: &str, name: &str, at: DateTime<Utc>) -> Event {
    let mut event = event(EventKind::Commit, repo_id, name, at);
    event.id = EventId::commit(repo_id, sha);
    event.facts.sha = Some(sha.to_owned());
    event.facts.parents = Some(1);
    event.facts.additions = Some(10);
    event
}

/// Gives each event an id of its own.
pub(crate) fn with_ids(mut events: Vec<Event>) -> Vec<Event> {
    for (n, event) in events.iter_mut().enumerate() {
        event.id = EventId::from_stored(format!("fact:{n}"));
    }
    events
}

pub(crate) fn rows(events: &[Event]) -> Vec<RecordBatch> {
    snapshot::merge(&[], events.to_vec()).unwrap().batches
}

pub(crate) fn fold_to_json(rows: &[RecordBatch], identity: &Identity) -> BTreeMap<RollupKey, String> {
    let fold = fold(january(), rows, identity).unwrap();
    fold.iter().map(|(key, rollup)| (key.clone(), rollup.to_json())).collect()
}

/// Returns the subject's rollup of January.
pub(crate) fn month_rollup(events: &[Event], subject: Subject) -> Rollup {
    let fold = fold(january(), &rows(events), &Identity::default()).unwrap();
    let start = january().first_day();
    fold.get(&RollupKey { subject, grain: Grain::Month, start, month: january() })
}

/// Returns how often people count in the subject's rollup of January.
pub(crate) fn count(events: &[Event], subject: Subject, counter: Counter) -> u64 {
    month_rollup(events, subject).people.counts[counter as usize]
}
