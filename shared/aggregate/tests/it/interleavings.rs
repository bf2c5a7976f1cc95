//! Several aggregators over one lake and store, in random interleavings with crashes and redelivered
//! batches, end in the truth after one clean run.
//!
//! Every call to a port waits at a gate; a scheduler lets one aggregator pass at a time, or kills it
//! where it stands. The seed is printed with a failure; set `INTERLEAVINGS` at compile time for more tries.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use fastrand::Rng;
use gam_aggregate::aggregate;
use gam_model::{EventBatch, Identity};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::support::{Gate, ORG, World, answers, batches, other_identity, rows};

enum Told {
    AtGate(usize, oneshot::Sender<()>),
    Done(usize),
}

struct Turnstile {
    worker: usize,
    told: mpsc::UnboundedSender<Told>,
}

#[async_trait]
impl Gate for Turnstile {
    async fn pass(&self, _: &str) -> Result<(), std::io::Error> {
        let (pass, passed) = oneshot::channel();
        self.told.send(Told::AtGate(self.worker, pass)).map_err(std::io::Error::other)?;
        passed.await.map_err(std::io::Error::other)
    }
}

struct Workers {
    told: mpsc::UnboundedReceiver<Told>,
    tasks: HashMap<usize, JoinHandle<()>>,
    waiting: HashMap<usize, oneshot::Sender<()>>,
}

impl Workers {
    fn start(world: &World, identities: Vec<Identity>) -> Self {
        let (sender, told) = mpsc::unbounded_channel();
        let tasks = identities.into_iter().enumerate().map(|(worker, identity)| {
            let ports = world.gated(identity, Arc::new(Turnstile { worker, told: sender.clone() }));
            let sender = sender.clone();
            let task = tokio::spawn(async move {
                for _ in 0..2 {
                    // A worker that others keep from its month gives up and says so; the clean run goes on.
                    let _ = aggregate(&ports.aggregate, ORG, false, &()).await;
                }
                let _ = sender.send(Told::Done(worker));
            });
            (worker, task)
        });
        Workers { told, tasks: tasks.collect(), waiting: HashMap::new() }
    }

    /// Waits until every live worker stands at the gate; false where none is left.
    async fn settle(&mut self) -> bool {
        while self.waiting.len() < self.tasks.len() {
            match self.told.recv().await {
                Some(Told::AtGate(worker, pass)) => {
                    self.waiting.insert(worker, pass);
                }
                Some(Told::Done(worker)) => {
                    self.tasks.remove(&worker);
                }
                None => break,
            }
        }
        !self.tasks.is_empty()
    }

    fn pick(&self, rng: &mut Rng) -> usize {
        let mut workers: Vec<usize> = self.waiting.keys().copied().collect();
        workers.sort_unstable();
        workers[rng.usize(..workers.len())]
    }

    async fn kill(&mut self, worker: usize) {
        let task = self.tasks.remove(&worker).expect("a live worker");
        task.abort();
        // Only a dead worker may be turned away from the gate: a live one would go on with an error.
        let _ = task.await;
        self.waiting.remove(&worker);
    }

    fn let_pass(&mut self, worker: usize) {
        let pass = self.waiting.remove(&worker).expect("a waiting worker");
        pass.send(()).expect("the worker waits");
    }
}

async fn interleave(seed: u64, identities: Vec<Identity>) {
    let rng = &mut Rng::with_seed(seed);
    let facts = rng.u64(1..6);
    let count = rng.usize(2..7);
    let all: Vec<EventBatch> = batches(rng, facts, count);
    let world = World::default();
    world.put(&all).await;
    let last = identities[0].clone();
    let mut crashes = rng.usize(0..4);
    let mut workers = Workers::start(&world, identities);
    while workers.settle().await {
        let worker = workers.pick(rng);
        if crashes > 0 && rng.u8(..50) == 0 {
            workers.kill(worker).await;
            crashes -= 1;
            continue;
        }
        if rng.u8(..50) == 0 {
            world.put(&all[rng.usize(..all.len())..][..1]).await;
        }
        workers.let_pass(worker);
    }
    let ports = world.ports_as(last.clone());
    aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
    let truth = World::aggregated(&all, last.clone()).await;
    assert_eq!(rows(&world).await, rows(&truth).await, "rows, seed {seed}");
    assert_eq!(answers(&ports).await, answers(&truth.ports_as(last)).await, "answers, seed {seed}");
    let left = gam_lake::inbox::list(&*world.objects, ORG).await.unwrap();
    assert!(left.is_empty(), "the inbox is worked off, seed {seed}");
}

fn tries() -> u64 {
    option_env!("INTERLEAVINGS").map_or(40, |tries| tries.parse().expect("INTERLEAVINGS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aggregators_of_one_configuration() {
    for seed in 0..tries() {
        interleave(seed, vec![Identity::default(), Identity::default(), Identity::default()]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aggregators_of_two_configurations() {
    for seed in 0..tries() {
        interleave(seed, vec![Identity::default(), other_identity(), Identity::default()]).await;
        interleave(seed, vec![other_identity(), Identity::default(), Identity::default()]).await;
    }
}
