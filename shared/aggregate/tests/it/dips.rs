//! Answers never dip: while months are folded again under other rules, and after a kill in between, every answer is
//! wholly of the old rules or wholly of the new ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use fastrand::Rng;
use gam_aggregate::aggregate;
use gam_model::{Event, EventBatch, EventId, EventKind, Identity, Range};
use gam_query::{BotFilter, MetricValue, SubjectRef};
use tokio::sync::{Mutex, Notify};

use crate::support::{Gate, ORG, Ports, TestData, day, other_identity, random_batches, random_version};

/// Returns how many members were active in the two months, and how many commits there were.
async fn numbers(ports: &Ports) -> [u64; 2] {
    find_numbers(ports).await.expect("an answer")
}

/// Returns what [`numbers`] returns; `None` if the query fails.
pub(crate) async fn find_numbers(ports: &Ports) -> Option<[u64; 2]> {
    let range = Range::new(day("2025-01-01"), day("2025-03-01")).unwrap();
    let answer = gam_query::metrics(&ports.query, ORG, &SubjectRef::Org, range, BotFilter::Include);
    let metrics = answer.await.ok()?.metrics.0;
    Some(["active_members", "commits"].map(|name| {
        match metrics.iter().find(|(metric, _)| *metric == name).expect("the metric").1 {
            MetricValue::Count(count) => count,
            MetricValue::Distribution { .. } => unreachable!("a count"),
        }
    }))
}

/// Queries before each call to a port, and collects the answers. From the call number `kill_at` on, no call returns,
/// as if the program were killed in it.
struct QueryAtEachCall {
    ports: Ports,
    seen: Mutex<Vec<[u64; 2]>>,
    calls: AtomicUsize,
    kill_at: usize,
    killed: Notify,
}

impl QueryAtEachCall {
    fn new(data: &TestData, kill_at: usize) -> Arc<Self> {
        Arc::new(QueryAtEachCall {
            ports: data.unconfigured_ports(other_identity()),
            seen: Mutex::default(),
            calls: AtomicUsize::new(0),
            kill_at,
            killed: Notify::new(),
        })
    }
}

#[async_trait]
impl Gate for QueryAtEachCall {
    async fn pass(&self, _: &str) -> Result<(), std::io::Error> {
        let numbers = numbers(&self.ports).await;
        self.seen.lock().await.push(numbers);
        if self.calls.fetch_add(1, Ordering::SeqCst) >= self.kill_at {
            self.killed.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

fn batches(rng: &mut Rng) -> Vec<EventBatch> {
    random_batches(rng, 60, 30)
}

async fn aggregated() -> TestData {
    TestData::aggregated(&batches(&mut Rng::with_seed(5)), Identity::default()).await
}

#[tokio::test]
async fn answers_are_of_the_old_or_of_the_new_rules() {
    let data = aggregated().await;
    let old = numbers(&data.ports().await).await;
    let gate = QueryAtEachCall::new(&data, usize::MAX);
    aggregate(&data.gated(other_identity(), gate.clone()).await.aggregate, ORG, false, &()).await.unwrap();
    let new = numbers(&data.ports_with(other_identity()).await).await;
    assert_eq!(old[1], new[1], "an alias moves commits to another member, and changes none");
    assert!(old[0] > new[0], "two names became one member: {old:?} {new:?}");
    let seen = gate.seen.lock().await;
    assert!(seen.contains(&old), "the old rules answer during the fold");
    let first_new = seen.iter().position(|numbers| *numbers == new).unwrap_or(seen.len());
    assert!(seen[..first_new].iter().all(|numbers| *numbers == old), "{seen:?}");
    assert!(seen[first_new..].iter().all(|numbers| *numbers == new), "{seen:?}");
}

#[tokio::test]
async fn a_kill_at_any_call_of_a_fold_leaves_the_old_or_the_new_answers() {
    let start = aggregated().await;
    let old = numbers(&start.ports().await).await;
    let mut calls = 0;
    loop {
        let data = aggregated().await;
        let gate = QueryAtEachCall::new(&data, calls);
        let gated = data.gated(other_identity(), gate.clone()).await;
        let is_complete = tokio::select! {
            result = aggregate(&gated.aggregate, ORG, false, &()) => { result.unwrap(); true }
            () = gate.killed.notified() => false,
        };
        let ports = data.unconfigured_ports(other_identity());
        let after_kill = numbers(&ports).await;
        aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
        let new = numbers(&ports).await;
        assert!(after_kill == old || after_kill == new, "call {calls}: {after_kill:?} {old:?} {new:?}");
        assert_eq!(new[1], old[1]);
        if is_complete {
            assert!(calls > 20, "a fold makes more than {calls} calls");
            return;
        }
        calls += 1 + calls / 8;
    }
}

#[tokio::test]
async fn batches_during_a_fold_never_lower_a_sum() {
    for kill_at in [30, 60, 120, usize::MAX] {
        let rng = &mut Rng::with_seed(7);
        let data = TestData::aggregated(&batches(rng), Identity::default()).await;
        data.put(&random_batches(rng, 20, 3)).await;
        let gate = QueryAtEachCall::new(&data, kill_at);
        let gated = data.gated(other_identity(), gate.clone()).await;
        tokio::select! {
            result = aggregate(&gated.aggregate, ORG, false, &()) => { result.unwrap(); }
            () = gate.killed.notified() => {}
        }
        let ports = data.unconfigured_ports(other_identity());
        let after_kill = numbers(&ports).await;
        aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
        let new = numbers(&ports).await;
        let seen = gate.seen.lock().await;
        let commits: Vec<u64> = seen.iter().chain([&after_kill, &new]).map(|numbers| numbers[1]).collect();
        // Later versions of the random batches also retract commits, so the new sum may be the smaller one.
        let both = [commits[0], new[1]];
        assert!(commits.iter().all(|count| both.contains(count)), "kill at {kill_at}: {commits:?}");
    }
}

/// Returns the closing of an issue that was opened in January.
fn closing(month: &str, version: i64, retracted: bool) -> Event {
    let event = random_version(&mut Rng::with_seed(1), 1);
    Event {
        id: EventId::from_stored(format!("issue:{month}")),
        version,
        retracted,
        kind: EventKind::IssueClosed,
        occurred_at: day(&format!("{month}-25")).and_hms_opt(9, 0, 0).unwrap().and_utc(),
        ..event
    }
}

#[tokio::test]
async fn a_fact_that_moves_to_another_month_never_lowers_a_sum() {
    // The issue was closed in January, and of February there is another closing that was wrong.
    let before = [closing("2025-01", 1, false), closing("2025-02", 1, false)];
    let mut after = vec![closing("2025-03", 2, false), closing("2025-04", 2, false)];
    for (month, date) in [("2025-01", "2025-01-26"), ("2025-02", "2025-02-26")] {
        after.push(closing(month, 2, true));
        // Other events of the same months come in the same batch.
        let mut other = closing(month, 2, false);
        other.id = EventId::from_stored(format!("other:{date}"));
        other.kind = EventKind::IssueOpened;
        after.push(other);
    }
    let data = TestData::aggregated(&[EventBatch::new(ORG, before.to_vec())], Identity::default()).await;
    data.put(&[EventBatch::new(ORG, after)]).await;
    let gate = Arc::new(ClosingsAtEachCall { ports: data.ports().await, seen: Mutex::default() });
    let gated = data.gated(Identity::default(), gate.clone()).await;
    aggregate(&gated.aggregate, ORG, false, &()).await.unwrap();
    let seen = gate.seen.lock().await;
    assert!(seen.len() > 20, "{seen:?}");
    assert!(seen.iter().all(|count| *count >= 2), "{seen:?}");
    assert_eq!(closings(&gate.ports).await, 2);
}

async fn closings(ports: &Ports) -> u64 {
    let range = Range::new(day("2025-01-01"), day("2025-05-01")).unwrap();
    let answer = gam_query::metrics(&ports.query, ORG, &SubjectRef::Org, range, BotFilter::Include);
    let metrics = answer.await.unwrap().metrics.0;
    let closed = metrics.iter().find(|(metric, _)| *metric == "issues_closed").expect("the metric");
    let MetricValue::Count(count) = closed.1 else { unreachable!("a count") };
    count
}

/// Counts the closed issues before each call to a port.
struct ClosingsAtEachCall {
    ports: Ports,
    seen: Mutex<Vec<u64>>,
}

#[async_trait]
impl Gate for ClosingsAtEachCall {
    async fn pass(&self, _: &str) -> Result<(), std::io::Error> {
        let count = closings(&self.ports).await;
        self.seen.lock().await.push(count);
        Ok(())
    }
}
