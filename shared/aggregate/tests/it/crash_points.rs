//! A crash loses nothing: an aggregation that fails, or stops, at its n-th call to a port, for every
//! n, is made good by the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use fastrand::Rng;
use gam_aggregate::aggregate;
use gam_model::{EventBatch, Identity};
use tokio::sync::Notify;

use crate::support::{Gate, ORG, World, answers, batches, other_identity, rows};

/// Fails the n-th call and every later one, as a program does whose disk or network is gone.
struct FailsAt {
    n: usize,
    calls: AtomicUsize,
}

#[async_trait]
impl Gate for FailsAt {
    async fn pass(&self, call: &str) -> Result<(), std::io::Error> {
        if self.calls.fetch_add(1, Ordering::SeqCst) >= self.n {
            return Err(std::io::Error::other(format!("injected at {call}")));
        }
        Ok(())
    }
}

/// Never comes back from the n-th call, as a program that is killed in it.
struct StopsAt {
    n: usize,
    calls: AtomicUsize,
    stopped: Notify,
}

#[async_trait]
impl Gate for StopsAt {
    async fn pass(&self, _: &str) -> Result<(), std::io::Error> {
        if self.calls.fetch_add(1, Ordering::SeqCst) >= self.n {
            self.stopped.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

struct Case {
    first: Vec<EventBatch>,
    second: Vec<EventBatch>,
    identity: Identity,
}

impl Case {
    fn all(&self) -> Vec<EventBatch> {
        self.first.iter().chain(&self.second).cloned().collect()
    }

    /// A world in which the first batches are worked off and the second wait.
    async fn world(&self) -> World {
        let world = World::aggregated(&self.first, Identity::default()).await;
        world.put(&self.second).await;
        world
    }

    async fn holds(&self, world: &World, truth: &World, n: usize) {
        let ports = world.ports_as(self.identity.clone());
        aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
        assert_eq!(rows(world).await, rows(truth).await, "rows after call {n}");
        let expected = answers(&truth.ports_as(self.identity.clone())).await;
        assert_eq!(answers(&ports).await, expected, "answers after call {n}");
        assert!(gam_lake::inbox::list(&*world.objects, ORG).await.unwrap().is_empty());
    }
}

fn cases() -> Vec<Case> {
    [(1, Identity::default()), (2, other_identity())]
        .into_iter()
        .map(|(seed, identity)| {
            let rng = &mut Rng::with_seed(seed);
            Case { first: batches(rng, 5, 3), second: batches(rng, 5, 3), identity }
        })
        .collect()
}

#[tokio::test]
async fn failing_at_every_call() {
    for case in cases() {
        let truth = World::aggregated(&case.all(), case.identity.clone()).await;
        for n in 0.. {
            let world = case.world().await;
            let gate = Arc::new(FailsAt { n, calls: AtomicUsize::new(0) });
            let ports = world.gated(case.identity.clone(), gate);
            let done = aggregate(&ports.aggregate, ORG, false, &()).await;
            case.holds(&world, &truth, n).await;
            if done.is_ok() {
                assert!(n > 20, "so few calls cannot be a whole aggregation");
                break;
            }
        }
    }
}

#[tokio::test]
async fn stopping_at_every_call() {
    for case in cases() {
        let truth = World::aggregated(&case.all(), case.identity.clone()).await;
        for n in 0.. {
            let world = case.world().await;
            let gate = Arc::new(StopsAt { n, calls: AtomicUsize::new(0), stopped: Notify::new() });
            let ports = world.gated(case.identity.clone(), gate.clone());
            let done = tokio::select! {
                done = aggregate(&ports.aggregate, ORG, false, &()) => Some(done),
                () = gate.stopped.notified() => None,
            };
            case.holds(&world, &truth, n).await;
            if done.is_some() {
                assert!(n > 20, "so few calls cannot be a whole aggregation");
                break;
            }
        }
    }
}
