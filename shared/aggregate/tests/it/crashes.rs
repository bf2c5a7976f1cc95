//! A crash loses nothing. For every n, an aggregation fails or hangs at its n-th call to a port, and
//! the next aggregation reaches the expected state.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use fastrand::Rng;
use gam_aggregate::aggregate;
use gam_model::{EventBatch, Identity};

use crate::support::{
    Gate, HangFrom, ORG, TestData, all_answers, other_identity, random_batches, snapshot_rows,
};

/// Fails the n-th call and all later ones, as after the loss of a disk or network.
struct FailFrom {
    n: usize,
    calls: AtomicUsize,
}

#[async_trait]
impl Gate for FailFrom {
    async fn pass(&self, call: &str) -> Result<(), std::io::Error> {
        if self.calls.fetch_add(1, Ordering::SeqCst) >= self.n {
            return Err(std::io::Error::other(format!("injected at {call}")));
        }
        Ok(())
    }
}

struct Scenario {
    /// Batches that are aggregated before the crash.
    before: Vec<EventBatch>,
    /// Batches that are in the inbox at the crash.
    waiting: Vec<EventBatch>,
    /// The configuration of the aggregation that crashes, and of the next one.
    identity: Identity,
}

impl Scenario {
    fn all(&self) -> Vec<EventBatch> {
        self.before.iter().chain(&self.waiting).cloned().collect()
    }

    async fn start(&self) -> TestData {
        let data = TestData::aggregated(&self.before, Identity::default()).await;
        data.put(&self.waiting).await;
        data
    }

    /// Aggregates again after the crash at call `n`, and checks the result.
    async fn recover(&self, data: &TestData, expected: &TestData, n: usize) {
        let ports = data.ports_with(self.identity.clone()).await;
        aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
        assert_eq!(snapshot_rows(data).await, snapshot_rows(expected).await, "rows after call {n}");
        let expected = all_answers(&expected.ports_with(self.identity.clone()).await).await;
        assert_eq!(all_answers(&ports).await, expected, "answers after call {n}");
        assert!(gam_lake::inbox::list::<gam_lake::Events>(&*data.objects, ORG).await.unwrap().is_empty());
    }
}

fn scenarios() -> Vec<Scenario> {
    [(1, Identity::default()), (2, other_identity())]
        .into_iter()
        .map(|(seed, identity)| {
            let rng = &mut Rng::with_seed(seed);
            let (before, waiting) = (random_batches(rng, 5, 3), random_batches(rng, 5, 3));
            Scenario { before, waiting, identity }
        })
        .collect()
}

#[tokio::test]
async fn a_failure_at_any_call_loses_nothing() {
    for scenario in scenarios() {
        let expected = TestData::aggregated(&scenario.all(), scenario.identity.clone()).await;
        for n in 0.. {
            let data = scenario.start().await;
            let gate = Arc::new(FailFrom { n, calls: AtomicUsize::new(0) });
            let ports = data.gated(scenario.identity.clone(), gate).await;
            let result = aggregate(&ports.aggregate, ORG, false, &()).await;
            scenario.recover(&data, &expected, n).await;
            if result.is_ok() {
                assert!(n > 20, "a complete aggregation makes more than {n} calls");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_kill_at_any_call_loses_nothing() {
    for scenario in scenarios() {
        let expected = TestData::aggregated(&scenario.all(), scenario.identity.clone()).await;
        for n in 0.. {
            let data = scenario.start().await;
            let gate = Arc::new(HangFrom::new(n));
            let ports = data.gated(scenario.identity.clone(), gate.clone()).await;
            let result = tokio::select! {
                result = aggregate(&ports.aggregate, ORG, false, &()) => Some(result),
                () = gate.reached.notified() => None,
            };
            scenario.recover(&data, &expected, n).await;
            if result.is_some() {
                assert!(n > 20, "a complete aggregation makes more than {n} calls");
                break;
            }
        }
    }
}
