//! Rows of sessions that are deleted, because their month is over or their session was erased, never come back.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use fastrand::Rng;
use gam_aggregate::{AggregateOptions, AggregateReport, aggregate, aggregate_with};
use gam_lake::{ETag, Events, ObjectStore, Sessions, Table, configuration, inbox, paths, sessions, snapshot};
use gam_model::configuration::Configuration;
use gam_model::{
    ErasedSessions, FieldText, Identity, Month, Range, Retention, SessionEvent, SessionEventKind, Subject,
    TimeZone,
};
use gam_query::{BotFilter, SubjectRef};
use gam_rollup::{AgentDaysItem, StoredForm};
use gam_store::keys::rollup_owner;
use gam_store::{ItemClass, ItemKey, RollupStore};
use serde_json::{Value, json};

use crate::interleavings::{Job, Workers, seeds};
use crate::sessions::{house_response, live_rows, merged, response};
use crate::support::{Ports, TestData, active_epoch, day, other_identity};

const ORG: &str = "acme";

fn keeping(days: u32) -> Identity {
    Identity::default().with_session_retention(Retention::new(days))
}

fn erasing(session: &str) -> Identity {
    let mut erased = ErasedSessions::default();
    erased.insert(ErasedSessions::hash(&FieldText::new(session)));
    Identity::default().with_erased_sessions(erased)
}

fn of_session(event: SessionEvent, session: &str) -> SessionEvent {
    SessionEvent { session: FieldText::new(session), ..event }
}

/// Returns a lake with a pull request in the inbox: answers need an organization that was collected.
async fn new_data() -> TestData {
    let data = TestData::default();
    data.put(&[merged("2025-02-05T10:00:00Z")]).await;
    data
}

async fn put(data: &TestData, events: &[SessionEvent]) {
    sessions::put(&*data.objects, ORG, events.to_vec()).await.unwrap();
}

async fn run(data: &TestData) -> AggregateReport {
    let ports = data.unconfigured_ports(Identity::default());
    aggregate(&ports.aggregate, ORG, false, &()).await.unwrap()
}

/// Returns the answer about sessions of the organization in January and February 2025 as JSON.
async fn metrics_of(ports: &Ports, subject: SubjectRef) -> Value {
    let range = Range::new(day("2025-01-01"), day("2025-03-01")).unwrap();
    let request = gam_query::AgentMetricsRequest { subject, range, bots: BotFilter::Auto, compare: false };
    serde_json::to_value(gam_query::agent_metrics(&ports.query, ORG, &request).await.unwrap()).unwrap()
}

async fn metrics(data: &TestData) -> Value {
    metrics_of(&data.unconfigured_ports(Identity::default()), SubjectRef::Org).await
}

async fn ids(data: &TestData) -> Vec<String> {
    live_rows(data).await.into_iter().map(|(_, id, _)| id).collect()
}

async fn all_rows(data: &TestData) -> Vec<SessionEvent> {
    let mut rows = Vec::new();
    for month in snapshot::months::<Sessions>(&*data.objects, ORG).await.unwrap() {
        let stored = snapshot::read::<Sessions>(&*data.objects, ORG, month).await.unwrap().unwrap();
        rows.extend(stored.batches.iter().flat_map(|batch| Sessions::decode(batch).unwrap()));
    }
    rows
}

async fn assert_inbox_is_empty(data: &TestData) {
    assert!(inbox::list::<Sessions>(&*data.objects, ORG).await.unwrap().is_empty());
    assert!(inbox::list::<Events>(&*data.objects, ORG).await.unwrap().is_empty());
}

/// Events of January by `cat`, and of February by `ann`. The clock of the tests begins at noon of 1 March.
fn two_months() -> Vec<SessionEvent> {
    let mut of_cat = response("m1", "2025-01-15T12:00:00Z", 5);
    of_cat.member.name = "cat".to_owned();
    vec![of_cat, response("m2", "2025-02-15T12:00:00Z", 7)]
}

#[tokio::test]
async fn a_month_that_is_over_loses_its_rows_and_gets_none() {
    let data = new_data().await;
    data.configure(&keeping(30)).await;
    put(&data, &two_months()).await;
    run(&data).await;
    assert_eq!(ids(&data).await, ["m1", "m2"], "January ended 29 days ago");
    assert_eq!(metrics(&data).await["kept_since"], "2025-01-01");

    data.clock.advance(TimeDelta::days(2));
    let report = run(&data).await;
    assert_eq!(report.sessions.deleted_rows, 1, "although the inbox is empty");
    assert_eq!(ids(&data).await, ["m2"]);
    let answer = metrics(&data).await;
    assert_eq!(
        (&answer["metrics"]["agent_responses"], &answer["metrics"]["agent_members"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(answer["kept_since"], "2025-02-01");
    let january = Month::parse("2025-01").unwrap();
    let stamp = snapshot::read_stamp::<Sessions>(&*data.objects, ORG, january).await.unwrap().unwrap();
    assert_eq!(stamp.generation, 2, "the object stays");
    let owner = rollup_owner(ORG, Sessions::SNAPSHOTS);
    let of_cat = ItemKey::new(ItemClass::Days(Subject::Member("cat".to_owned())), january);
    let stored = data.store.get(&owner, active_epoch(&data).await, &[of_cat]).await.unwrap();
    assert_eq!(
        AgentDaysItem::decode(&stored[0].1.body).unwrap(),
        AgentDaysItem::default(),
        "nothing is left of it"
    );

    let more = response("m3", "2025-01-20T12:00:00Z", 9);
    put(&data, &[two_months()[0].clone(), more]).await;
    let report = run(&data).await;
    assert_eq!((report.sessions.batches, report.sessions.changed_rows), (1, 0));
    assert_eq!(ids(&data).await, ["m2"]);
    assert_eq!(run(&data).await, AggregateReport::default(), "nothing is left to do");
    let ports = data.unconfigured_ports(Identity::default());
    aggregate(&ports.aggregate, ORG, true, &()).await.unwrap();
    assert_eq!(metrics(&data).await, answer, "a rebuild changes nothing");
}

#[tokio::test]
async fn a_month_that_never_had_rows_gets_none_after_it_is_over() {
    let data = new_data().await;
    data.configure(&keeping(45)).await;
    data.clock.advance(TimeDelta::days(100));
    put(&data, &two_months()).await;
    run(&data).await;
    assert!(snapshot::months::<Sessions>(&*data.objects, ORG).await.unwrap().is_empty());
    assert_inbox_is_empty(&data).await;
}

#[tokio::test]
async fn a_shorter_retention_deletes_and_a_longer_one_brings_nothing_back_by_itself() {
    let data = new_data().await;
    put(&data, &two_months()).await;
    run(&data).await;
    data.clock.advance(TimeDelta::days(2));
    assert_eq!(metrics(&data).await.get("kept_since"), None);
    data.configure(&keeping(30)).await;
    let report = run(&data).await;
    assert_eq!((report.sessions.deleted_rows, ids(&data).await), (1, vec!["m2".to_owned()]));
    data.configure(&keeping(400)).await;
    run(&data).await;
    assert_eq!(ids(&data).await, ["m2"]);
    put(&data, &two_months()).await;
    run(&data).await;
    assert_eq!(ids(&data).await, ["m1", "m2"], "what still exists can be ingested again");
}

#[tokio::test]
async fn a_copy_after_the_edge_does_not_bring_a_deleted_fact_back() {
    let early = response("r1", "2025-01-31T23:59:58Z", 5);
    let late = |output| response("r1", "2025-02-01T00:00:03Z", output);
    let data = new_data().await;
    data.configure(&keeping(30)).await;
    put(&data, std::slice::from_ref(&early)).await;
    run(&data).await;
    put(&data, &[late(6)]).await;
    run(&data).await;
    assert_eq!(live_rows(&data).await, [("2025-01".to_owned(), "r1".to_owned(), 6)]);
    data.clock.advance(TimeDelta::days(2));
    run(&data).await;
    assert_eq!(live_rows(&data).await, []);
    for copies in
        [vec![late(7)], vec![early.clone()], vec![late(8), response("r2", "2025-02-01T00:00:05Z", 1)]]
    {
        put(&data, &copies).await;
        run(&data).await;
    }
    assert_eq!(ids(&data).await, ["r2"], "r1 is a fact of January");

    // A copy of January that comes late shows that the fact is one of January.
    put(&data, &[response("r2", "2025-01-31T23:59:59Z", 1)]).await;
    run(&data).await;
    assert_eq!(live_rows(&data).await, []);
}

#[tokio::test]
async fn classes_of_pull_requests_are_folded_again_when_a_month_is_over() {
    let data = new_data().await;
    data.configure(&keeping(30)).await;
    put(&data, &[house_response("r1", "2025-01-30T10:00:00Z")]).await;
    run(&data).await;
    let classes = async || {
        let range = Range::new(day("2025-01-01"), day("2025-03-01")).unwrap();
        let ports = data.unconfigured_ports(Identity::default());
        let answer = gam_query::pr_classes(&ports.query, ORG, &SubjectRef::Org, range, BotFilter::Auto).await;
        let answer = answer.unwrap();
        (answer.prs, answer.prs_with_sessions, answer.kept_since)
    };
    assert_eq!(classes().await, (1, 1, Some(day("2025-01-01"))));
    data.clock.advance(TimeDelta::days(2));
    run(&data).await;
    assert_eq!(
        classes().await,
        (1, 0, Some(day("2025-02-01"))),
        "none is known any more, and the answer says why"
    );
}

#[tokio::test]
async fn months_are_over_by_utc_whatever_the_time_zone() {
    let data = new_data().await;
    let tokyo = TimeZone::parse("Asia/Tokyo").unwrap();
    data.configure(&keeping(30).with_time_zone(tokyo)).await;
    put(&data, &[response("r1", "2025-01-31T16:00:00Z", 5), response("r2", "2025-02-01T01:00:00Z", 7)]).await;
    run(&data).await;
    data.clock.advance(TimeDelta::days(2));
    run(&data).await;
    assert_eq!(ids(&data).await, ["r2"], "both are of 1 February in Tokyo");
}

/// Events of the sessions `s1` and `s2`, of two months.
fn two_sessions() -> Vec<SessionEvent> {
    let mut fork = response("day", "2025-02-11T12:00:00Z", 1);
    fork.kind = SessionEventKind::AgentSession;
    fork.facts.forked_from = Some(FieldText::new("s1"));
    vec![
        response("r1", "2025-01-15T12:00:00Z", 5),
        of_session(response("r2", "2025-01-16T12:00:00Z", 7), "s2"),
        response("r3", "2025-02-10T12:00:00Z", 11),
        of_session(fork, "s2"),
    ]
}

fn names_s1(row: &SessionEvent) -> bool {
    let s1 = FieldText::new("s1");
    row.session == s1 || row.facts.forked_from.as_ref() == Some(&s1)
}

#[tokio::test]
async fn an_erased_session_is_deleted_and_never_comes_back() {
    let data = new_data().await;
    put(&data, &two_sessions()).await;
    run(&data).await;
    assert_eq!(metrics(&data).await["metrics"]["agent_responses"], 3);
    data.configure(&erasing("s1")).await;
    put(&data, &[response("r4", "2025-02-12T12:00:00Z", 13)]).await;
    let report = run(&data).await;
    assert_eq!((report.sessions.deleted_rows, report.sessions.changed_rows), (2, 0));
    let expected = {
        let data = new_data().await;
        let mut rest: Vec<SessionEvent> =
            two_sessions().into_iter().filter(|row| row.session.as_str() == "s2").collect();
        rest[1].facts.forked_from = None;
        put(&data, &rest).await;
        run(&data).await;
        (all_rows(&data).await, metrics(&data).await)
    };
    assert_eq!((all_rows(&data).await, metrics(&data).await), expected, "as if it had never been");

    put(&data, &two_sessions()).await;
    let report = run(&data).await;
    assert_eq!((report.sessions.batches, report.sessions.changed_rows), (1, 0));
    // A later configuration keeps the erasure.
    let newest = configuration::latest(&*data.objects, ORG).await.unwrap();
    let other = Configuration { identity: other_identity(), ..Configuration::default() };
    configuration::add(&*data.objects, ORG, newest.number, &other, newest.set_at.unwrap()).await.unwrap();
    put(&data, &two_sessions()).await;
    run(&data).await;
    let ports = data.unconfigured_ports(Identity::default());
    aggregate(&ports.aggregate, ORG, true, &()).await.unwrap();
    assert_eq!(all_rows(&data).await, expected.0);
    data.clock.advance(TimeDelta::minutes(16));
    run(&data).await;
    assert_inbox_is_empty(&data).await;
}

#[tokio::test]
async fn a_new_store_that_takes_over_an_epoch_erases_what_the_old_one_did_not() {
    let data = new_data().await;
    put(&data, &two_sessions()).await;
    run(&data).await;
    let january = Month::parse("2025-01").unwrap();
    let stamp =
        async || snapshot::read_stamp::<Sessions>(&*data.objects, ORG, january).await.unwrap().unwrap();
    assert_eq!((stamp().await.epoch, stamp().await.erased), (1, 0));
    // The store is lost, and its successor starts with a configuration that the snapshots do not have.
    data.configure(&erasing("s1")).await;
    let new = TestData { objects: data.objects.clone(), ..TestData::default() };
    run(&new).await;
    assert_eq!((stamp().await.epoch, stamp().await.erased), (1, 1), "the same number");
    assert!(!all_rows(&new).await.iter().any(names_s1));
    assert_eq!(metrics(&new).await["metrics"]["agent_responses"], 1);
}

/// Aggregates some times, each time with the configuration that is the newest when it starts.
fn aggregate_often(data: &TestData, times: usize) -> Job {
    let data = data.clone();
    let options = AggregateOptions { max_concurrent_months: 1, ..AggregateOptions::default() };
    Box::new(move |gate| {
        Box::pin(async move {
            for _ in 0..times {
                let ports = data.gated_unconfigured(Identity::default(), gate.clone());
                let _ = aggregate_with(&ports.aggregate, ORG, &options, &()).await;
            }
        })
    })
}

/// Adds a revision with this identity, and aggregates until answers derive from it.
fn configure_and_aggregate(data: &TestData, identity: Identity, is_done: &Arc<AtomicBool>) -> Job {
    let (data, is_done) = (data.clone(), is_done.clone());
    let options = AggregateOptions { max_concurrent_months: 1, ..AggregateOptions::default() };
    Box::new(move |gate| {
        Box::pin(async move {
            data.configure(&identity).await;
            for _ in 0..4 {
                let ports = data.gated_unconfigured(Identity::default(), gate.clone());
                if aggregate_with(&ports.aggregate, ORG, &options, &()).await.is_ok()
                    && head_erases(&data, &identity).await
                {
                    is_done.store(true, Ordering::SeqCst);
                    return;
                }
            }
        })
    })
}

/// Returns whether answers derive from this identity.
async fn head_erases(data: &TestData, identity: &Identity) -> bool {
    let head = gam_store::Checkpoint::load_head(&data.store, ORG).await.unwrap().value;
    head.target.is_none() && head.active.is_some_and(|active| active.logic.identity == identity.hash())
}

/// Lets aggregations with and without a configuration that deletes rows run in a random interleaving, while batches with
/// such rows arrive again and again, answers are lost, and aggregations are killed. Once answers derive from the
/// configuration, no answer has a deleted row, and no snapshot, once it was written under it.
async fn interleave_deletion(
    seed: u64,
    identity: Identity,
    is_deleted: fn(&SessionEvent) -> bool,
    responses_left: u64,
) {
    let rng = &mut Rng::with_seed(seed);
    let data = new_data().await;
    // January is over.
    data.clock.advance(TimeDelta::days(2));
    let batches: Vec<Vec<SessionEvent>> = [two_sessions(), two_months()]
        .concat()
        .chunks(rng.usize(1..4))
        .map(<[SessionEvent]>::to_vec)
        .collect();
    for batch in batches.iter().filter(|_| rng.bool()) {
        put(&data, batch).await;
    }
    if rng.bool() {
        run(&data).await;
    }
    let is_done = Arc::new(AtomicBool::new(false));
    let old = [aggregate_often(&data, 2), aggregate_often(&data, 2)];
    let jobs = old.into_iter().chain([configure_and_aggregate(&data, identity.clone(), &is_done)]);
    let mut workers = Workers::start(jobs.collect());
    let mut crashes = rng.usize(0..3);
    let mut stamped: Vec<Month> = Vec::new();
    let mut seen: HashMap<Month, ETag> = HashMap::new();
    while workers.wait_for_all().await {
        for month in snapshot::months::<Sessions>(&*data.objects, ORG).await.unwrap() {
            let etag =
                data.objects.get(&paths::snapshot::<Sessions>(ORG, month)).await.unwrap().unwrap().etag;
            if seen.insert(month, etag.clone()) == Some(etag) {
                continue;
            }
            let stored = snapshot::read::<Sessions>(&*data.objects, ORG, month).await.unwrap().unwrap();
            let mut rows = stored.batches.iter().flat_map(|batch| Sessions::decode(batch).unwrap());
            let has_deleted = rows.any(|row| is_deleted(&row));
            if stamped.contains(&month) {
                assert!(!has_deleted, "{month} has rows again, seed {seed}");
            } else if !has_deleted && head_has(&data, &identity, stored.stamp.epoch).await {
                stamped.push(month);
            }
        }
        if is_done.load(Ordering::SeqCst) && rng.u8(..4) == 0 {
            let responses = metrics(&data).await["metrics"]["agent_responses"].as_u64().unwrap();
            assert!(responses <= responses_left, "{responses} responses, seed {seed}");
        }
        let worker = workers.pick(rng);
        if crashes > 0 && rng.u8(..60) == 0 {
            workers.kill(worker).await;
            crashes -= 1;
            continue;
        }
        if rng.u8(..20) == 0 {
            put(&data, &batches[rng.usize(..batches.len())]).await;
        }
        if rng.u8(..100) == 0 {
            data.clock.advance(TimeDelta::minutes(16));
        }
        let lost = match rng.u8(..20) {
            0 => Some(ErrorKind::TimedOut),
            1 => Some(ErrorKind::AlreadyExists),
            _ => None,
        };
        workers.let_pass(worker, lost);
    }
    for batch in &batches {
        put(&data, batch).await;
    }
    data.configure(&identity).await;
    run(&data).await;
    let expected = new_data().await;
    expected.clock.advance(TimeDelta::days(2));
    expected.configure(&identity).await;
    put(&expected, &batches.concat()).await;
    run(&expected).await;
    assert!(!all_rows(&data).await.iter().any(is_deleted), "seed {seed}");
    assert_eq!(all_rows(&data).await, all_rows(&expected).await, "seed {seed}");
    assert_eq!(metrics(&data).await, metrics(&expected).await, "seed {seed}");
    assert_inbox_is_empty(&data).await;
}

/// Returns whether an epoch of the head is this one, and has this identity.
async fn head_has(data: &TestData, identity: &Identity, epoch: u64) -> bool {
    let head = gam_store::Checkpoint::load_head(&data.store, ORG).await.unwrap().value;
    head.newest().is_some_and(|rules| rules.epoch.0 == epoch && rules.logic.identity == identity.hash())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_interleaving_brings_an_erased_session_back() {
    for seed in 0..seeds() {
        interleave_deletion(seed, erasing("s1"), names_s1, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_interleaving_brings_rows_of_a_month_that_is_over_back() {
    for seed in 0..seeds() {
        let january = |row: &SessionEvent| row.month() == Month::parse("2025-01").unwrap();
        interleave_deletion(seed, keeping(30), january, 2).await;
    }
}

#[tokio::test]
async fn what_one_store_erased_another_one_with_an_old_configuration_cannot_bring_back() {
    let data = new_data().await;
    put(&data, &two_sessions()).await;
    run(&data).await;
    data.configure(&erasing("s1")).await;
    run(&data).await;
    let before = all_rows(&data).await;
    // A store that was lost, and a program that read the configuration before the erasure: the same epoch, by chance.
    let objects = Arc::new(gam_lake::MemoryObjects::new());
    for object in data.objects.list("").await.unwrap() {
        if !object.path.as_str().starts_with("config/") {
            let bytes = data.objects.get(&object.path).await.unwrap().unwrap().bytes;
            objects.put_if_absent(&object.path, bytes, &[]).await.unwrap();
        }
    }
    let late = TestData { objects, ..TestData::default() };
    put(&late, &two_sessions()).await;
    let ports = late.unconfigured_ports(Identity::default());
    let refused = aggregate(&ports.aggregate, ORG, false, &()).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("config/org=acme/"), "{error}");
    assert_eq!(all_rows(&late).await, before);
}
