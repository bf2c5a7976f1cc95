//! Answers while a month is folded again under another configuration.
//!
//! Today they dip: a rollup that is replaced does not count until the marker moves, and a kill in between keeps
//! it so until the next aggregation. These tests hold that fact fast. Epochs in the store will turn them around:
//! then every answer is the old or the new one.

use std::sync::Arc;

use async_trait::async_trait;
use fastrand::Rng;
use gam_aggregate::aggregate;
use gam_model::{Identity, Range};
use gam_query::{BotFilter, MetricValue, SubjectRef};
use tokio::sync::{Mutex, Notify};

use crate::support::{Gate, ORG, Ports, TestData, day, other_identity, random_batches};

/// Returns how many members were active in the two months, and how many commits there were.
async fn numbers(ports: &Ports) -> [u64; 2] {
    let range = Range::new(day("2025-01-01"), day("2025-03-01")).unwrap();
    let answer = gam_query::metrics(&ports.query, ORG, &SubjectRef::Org, range, BotFilter::Include);
    let metrics = answer.await.unwrap().metrics.0;
    ["active_members", "commits"].map(|name| {
        match metrics.iter().find(|(metric, _)| *metric == name).expect("the metric").1 {
            MetricValue::Count(count) => count,
            MetricValue::Distribution { .. } => unreachable!("a count"),
        }
    })
}

/// Queries before each call to a port, and collects the answers.
struct QueryAtEachCall {
    ports: Ports,
    seen: Mutex<Vec<[u64; 2]>>,
}

#[async_trait]
impl Gate for QueryAtEachCall {
    async fn pass(&self, _: &str) -> Result<(), std::io::Error> {
        let numbers = numbers(&self.ports).await;
        self.seen.lock().await.push(numbers);
        Ok(())
    }
}

/// Never returns from the first call with this name, as if the program were killed in it.
struct HangAt {
    call: &'static str,
    reached: Notify,
}

#[async_trait]
impl Gate for HangAt {
    async fn pass(&self, call: &str) -> Result<(), std::io::Error> {
        if call == self.call {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

async fn aggregated() -> TestData {
    TestData::aggregated(&random_batches(&mut Rng::with_seed(5), 60, 30), Identity::default()).await
}

#[tokio::test]
async fn answers_dip_while_months_are_folded_again() {
    let data = aggregated().await;
    let ports = data.ports_with(other_identity());
    let old = numbers(&ports).await;
    let gate = Arc::new(QueryAtEachCall { ports: data.ports_with(other_identity()), seen: Mutex::default() });
    aggregate(&data.gated(other_identity(), gate.clone()).aggregate, ORG, false, &()).await.unwrap();
    let new = numbers(&ports).await;
    assert_eq!(old[1], new[1], "an alias moves commits to another member, and changes none");
    assert!(old[0] > new[0], "two names became one member: {old:?} {new:?}");
    let seen = gate.seen.lock().await;
    let dips = seen.iter().filter(|numbers| **numbers != old && **numbers != new).count();
    assert!(dips > 0, "no dip: invert this test, and write it down in the changelog");
    assert!(seen.iter().all(|numbers| numbers[1] <= old[1]), "no answer is too high: {seen:?}");
}

#[tokio::test]
async fn a_kill_during_a_fold_keeps_the_dip_until_the_next_aggregation() {
    let data = aggregated().await;
    let ports = data.ports_with(other_identity());
    let old = numbers(&ports).await;
    let gate = Arc::new(HangAt { call: "advance", reached: Notify::new() });
    let gated = data.gated(other_identity(), gate.clone());
    tokio::select! {
        _ = aggregate(&gated.aggregate, ORG, false, &()) => unreachable!("it hangs"),
        () = gate.reached.notified() => {}
    }
    let dipped = numbers(&ports).await;
    assert!(dipped[1] < old[1], "no dip: invert this test: {dipped:?} {old:?}");
    assert_eq!(numbers(&ports).await, dipped, "it stays so");
    aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
    assert_eq!(numbers(&ports).await[1], old[1], "the next aggregation repairs it");
}
