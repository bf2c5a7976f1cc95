//! Several aggregations over one lake and store run in random interleavings, with crashes, lost answers,
//! redelivered batches, and a clock that jumps, so that old epochs are deleted. One clean run afterwards reaches the
//! expected state. Readers that run meanwhile see complete answers, whose sums never fall.
//!
//! Every call to a port waits at a gate. A scheduler lets one aggregation pass at a time, or kills it
//! there. A failure prints its seed. Set `INTERLEAVINGS` at compile time to try more seeds.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::TimeDelta;
use fastrand::Rng;
use futures::future::BoxFuture;
use gam_aggregate::{AggregateOptions, aggregate, aggregate_with, fold_month, plan_months};
use gam_fold::LOGIC_VERSION;
use gam_model::{Event, EventBatch, EventKind, Facts, Identity, Member};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::dips::find_numbers;
use crate::fan_out::{fold_plan, inbox_only, tasks_of};
use crate::support::{
    Gate, ORG, TestData, active_epoch, all_answers, other_identity, random_batches, random_version,
    snapshot_rows,
};

/// What a worker reports to the scheduler.
enum WorkerEvent {
    /// The worker waits at its gate until the sender is used.
    AtGate(usize, oneshot::Sender<Option<ErrorKind>>),
    /// The worker has ended.
    Done(usize),
}

/// Makes each call wait for the scheduler.
pub(crate) struct SchedulerGate {
    worker: usize,
    events: mpsc::UnboundedSender<WorkerEvent>,
    /// Held by the call that waits: a query makes several calls at once, and the scheduler knows one of each worker.
    turn: tokio::sync::Mutex<()>,
}

impl SchedulerGate {
    fn new(worker: usize, events: mpsc::UnboundedSender<WorkerEvent>) -> Arc<Self> {
        Arc::new(SchedulerGate { worker, events, turn: tokio::sync::Mutex::default() })
    }
}

#[async_trait]
impl Gate for SchedulerGate {
    async fn pass(&self, call: &str) -> Result<(), std::io::Error> {
        let _turn = self.turn.lock().await;
        let (pass, passed) = oneshot::channel();
        self.events.send(WorkerEvent::AtGate(self.worker, pass)).map_err(std::io::Error::other)?;
        let lost = passed.await.map_err(std::io::Error::other)?;
        // Only answers to writes are lost.
        match lost.filter(|_| call.ends_with(", returning")) {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }
}

pub(crate) struct Workers {
    events: mpsc::UnboundedReceiver<WorkerEvent>,
    tasks: HashMap<usize, JoinHandle<()>>,
    waiting: HashMap<usize, oneshot::Sender<Option<ErrorKind>>>,
}

impl Workers {
    /// Starts one worker for each job.
    pub(crate) fn start(jobs: Vec<Job>) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let tasks = jobs.into_iter().enumerate().map(|(worker, job)| {
            let gate = SchedulerGate::new(worker, sender.clone());
            let sender = sender.clone();
            let task = tokio::spawn(async move {
                job(gate).await;
                let _ = sender.send(WorkerEvent::Done(worker));
            });
            (worker, task)
        });
        Workers { events, tasks: tasks.collect(), waiting: HashMap::new() }
    }

    /// Waits until every live worker is at its gate. Returns `false` if no worker is left.
    pub(crate) async fn wait_for_all(&mut self) -> bool {
        while self.waiting.len() < self.tasks.len() {
            match self.events.recv().await {
                Some(WorkerEvent::AtGate(worker, pass)) => {
                    self.waiting.insert(worker, pass);
                }
                Some(WorkerEvent::Done(worker)) => {
                    self.tasks.remove(&worker);
                }
                None => break,
            }
        }
        !self.tasks.is_empty()
    }

    pub(crate) fn pick(&self, rng: &mut Rng) -> usize {
        let mut workers: Vec<usize> = self.waiting.keys().copied().collect();
        workers.sort_unstable();
        workers[rng.usize(..workers.len())]
    }

    pub(crate) async fn kill(&mut self, worker: usize) {
        let task = self.tasks.remove(&worker).expect("a live worker");
        task.abort();
        // Wait for the end before the gate's sender is dropped: a live worker would continue with an
        // error.
        let _ = task.await;
        self.waiting.remove(&worker);
    }

    /// Lets a worker pass. If it waits for an answer to a write, the answer may be lost.
    pub(crate) fn let_pass(&mut self, worker: usize, lost: Option<ErrorKind>) {
        let pass = self.waiting.remove(&worker).expect("a waiting worker");
        pass.send(lost).expect("the worker waits");
    }
}

/// What a worker does, with its gate.
pub(crate) type Job = Box<dyn FnOnce(Arc<SchedulerGate>) -> BoxFuture<'static, ()> + Send>;

/// Sets the identity and aggregates, twice, with a program of this version of the rules.
fn aggregate_twice(data: &TestData, identity: Identity, logic_version: u32) -> Job {
    let data = data.clone();
    // The scheduler lets one call of a worker pass at a time.
    let options = AggregateOptions { max_concurrent_months: 1, logic_version, ..AggregateOptions::default() };
    Box::new(move |gate| {
        Box::pin(async move {
            for _ in 0..2 {
                // As `up --config` does. Another worker may set another one meanwhile.
                let ports = data.gated(identity.clone(), gate.clone()).await;
                // A worker may give up because others keep replacing its month. The clean run at
                // the end processes what it has left.
                let _ = aggregate_with(&ports.aggregate, ORG, &options, &()).await;
            }
        })
    })
}

/// Processes the inbox, plans the months and folds them, in a random order and some of them twice.
fn fold_planned_months(data: &TestData, seed: u64) -> Job {
    let data = data.clone();
    Box::new(move |gate| {
        Box::pin(async move {
            let rng = &mut Rng::with_seed(seed);
            let ports = data.gated(other_identity(), gate).await;
            let _ = aggregate_with(&ports.aggregate, ORG, &inbox_only(), &()).await;
            let Ok(Some(plan)) = plan_months(&ports.aggregate, ORG, rng.bool(), &()).await else { return };
            let mut tasks = tasks_of(&plan, rng.bool());
            tasks.extend(tasks.clone());
            rng.shuffle(&mut tasks);
            for task in &tasks {
                let _ = fold_month(&ports.aggregate, task, &inbox_only(), &()).await;
            }
        })
    })
}

/// What readers saw: of each the answers, in order. An answer is the numbers of active members and of commits.
type Seen = Arc<Mutex<HashMap<u64, Vec<[u64; 2]>>>>;

/// Asks for the organization's overview some times. An answer that is not there, because the rules changed too often or
/// there is none yet, is none.
fn poll(data: &TestData, reader: u64, seen: &Seen) -> Job {
    let (data, seen) = (data.clone(), seen.clone());
    Box::new(move |gate| {
        Box::pin(async move {
            let ports = data.gated_unconfigured(Identity::default(), gate);
            for _ in 0..12 {
                if let Some(numbers) = find_numbers(&ports).await {
                    seen.lock().unwrap().entry(reader).or_default().push(numbers);
                }
            }
        })
    })
}

/// Lets workers pass in a random order until all have ended. Some are killed, some answers are lost, some batches
/// delivered again, and sometimes a quarter of an hour passes.
async fn run_interleaved(mut workers: Workers, data: &TestData, batches: &[EventBatch], rng: &mut Rng) {
    let mut crashes = rng.usize(0..4);
    while workers.wait_for_all().await {
        let worker = workers.pick(rng);
        if crashes > 0 && rng.u8(..50) == 0 {
            workers.kill(worker).await;
            crashes -= 1;
            continue;
        }
        if rng.u8(..50) == 0 {
            data.put(&batches[rng.usize(..batches.len())..][..1]).await;
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
}

/// Runs aggregations with these identities and versions of the rules side by side. The first is that of the clean run
/// afterwards.
async fn interleave(seed: u64, programs: Vec<(Identity, u32)>) {
    let rng = &mut Rng::with_seed(seed);
    let events = rng.u64(1..6);
    let count = rng.usize(2..7);
    let batches: Vec<EventBatch> = random_batches(rng, events, count);
    let data = TestData::default();
    data.put(&batches).await;
    let last = programs[0].0.clone();
    let jobs = programs.into_iter().map(|(identity, version)| aggregate_twice(&data, identity, version));
    run_interleaved(Workers::start(jobs.collect()), &data, &batches, rng).await;
    let ports = data.ports_with(last.clone()).await;
    aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
    let expected = TestData::aggregated(&batches, last.clone()).await;
    assert_eq!(snapshot_rows(&data).await, snapshot_rows(&expected).await, "rows, seed {seed}");
    assert_eq!(
        all_answers(&ports).await,
        all_answers(&expected.ports_with(last).await).await,
        "answers, seed {seed}"
    );
    let inbox = gam_lake::inbox::list::<gam_lake::Events>(&*data.objects, ORG).await.unwrap();
    assert!(inbox.is_empty(), "the inbox is empty, seed {seed}");
}

pub(crate) fn seeds() -> u64 {
    option_env!("INTERLEAVINGS").map_or(40, |seeds| seeds.parse().expect("INTERLEAVINGS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_aggregations_with_one_configuration() {
    for seed in 0..seeds() {
        let program = (Identity::default(), LOGIC_VERSION);
        interleave(seed, vec![program.clone(), program.clone(), program]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_aggregations_with_two_configurations() {
    for seed in 0..seeds() {
        let program = (Identity::default(), LOGIC_VERSION);
        let other = (other_identity(), LOGIC_VERSION);
        interleave(seed, vec![program.clone(), other.clone(), program.clone()]).await;
        interleave(seed, vec![other, program.clone(), program]).await;
    }
}

/// An older version of the program still runs while the newer one is installed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_two_versions() {
    for seed in 0..seeds() {
        let newer = (Identity::default(), LOGIC_VERSION);
        let older = (Identity::default(), LOGIC_VERSION - 1);
        interleave(seed, vec![newer.clone(), older.clone(), older]).await;
        let other = (other_identity(), LOGIC_VERSION - 1);
        interleave(seed, vec![newer.clone(), other, newer]).await;
    }
}

/// Three processes plan and fold the months of new rules side by side, while batches arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn months_that_three_workers_fold_side_by_side() {
    for seed in 0..seeds() {
        let rng = &mut Rng::with_seed(seed);
        let batches = random_batches(rng, 5, 6);
        let data = TestData::aggregated(&batches[..3], Identity::default()).await;
        data.put(&batches[3..]).await;
        data.configure(&other_identity()).await;
        let jobs = (0..3).map(|worker| fold_planned_months(&data, 3 * seed + worker));
        run_interleaved(Workers::start(jobs.collect()), &data, &batches, rng).await;

        // The next sweep: what the killed workers have left.
        let ports = data.ports_with(other_identity()).await;
        aggregate_with(&ports.aggregate, ORG, &inbox_only(), &()).await.unwrap();
        fold_plan(&ports.aggregate, false).await;
        let expected = TestData::aggregated(&batches, other_identity()).await;
        assert_eq!(snapshot_rows(&data).await, snapshot_rows(&expected).await, "rows, seed {seed}");
        let answers = all_answers(&expected.ports_with(other_identity()).await).await;
        assert_eq!(all_answers(&ports).await, answers, "answers, seed {seed}");
        assert_eq!(active_epoch(&data).await.0, 2, "answers switched, seed {seed}");
    }
}

/// Returns jobs of two configurations that replace each other, one of them with a program of this version of the rules,
/// and of two readers.
fn jobs_with_readers(data: &TestData, logic_version: u32, seen: &Seen) -> Vec<Job> {
    let programs = [(other_identity(), logic_version), (Identity::default(), LOGIC_VERSION)];
    let aggregations =
        programs.into_iter().map(|(identity, version)| aggregate_twice(data, identity, version));
    aggregations.chain((0..2).map(|reader| poll(data, reader, seen))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_complete_answers_of_one_configuration() {
    let mut answers = 0;
    for seed in 0..seeds() {
        let rng = &mut Rng::with_seed(seed);
        let batches = random_batches(rng, 12, 8);
        let mut complete = Vec::new();
        for identity in [Identity::default(), other_identity()] {
            let data = TestData::aggregated(&batches, identity.clone()).await;
            complete.push(find_numbers(&data.ports_with(identity).await).await.unwrap());
        }
        let (data, seen) = (TestData::aggregated(&batches, Identity::default()).await, Seen::default());
        // Half of the time one of the programs is an older one.
        let jobs = jobs_with_readers(&data, LOGIC_VERSION - (seed % 2) as u32, &seen);
        run_interleaved(Workers::start(jobs), &data, &batches, rng).await;
        for numbers in seen.lock().unwrap().values().flatten() {
            assert!(complete.contains(numbers), "{numbers:?}, not one of {complete:?}, seed {seed}");
            answers += 1;
        }
    }
    assert!(answers > seeds(), "only {answers} answers");
}

/// Returns a commit that no other event replaces.
fn lasting_commit(number: u64) -> Event {
    // The other numbers are those of one commit in two repositories.
    let event = random_version(&mut Rng::with_seed(number), number / 2 * 3 + number % 2);
    let facts = Facts { parents: Some(1), co_authors: None, ..event.facts };
    let member = Member::account("Ann", Some(1), false);
    Event { kind: EventKind::Commit, version: 1, retracted: false, member, facts, ..event }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_never_fall_while_batches_arrive_and_rules_change() {
    let mut answers = 0;
    for seed in 0..seeds() {
        let rng = &mut Rng::with_seed(seed);
        let count = 24;
        let mut commits: Vec<Event> = (0..count).map(lasting_commit).collect();
        rng.shuffle(&mut commits);
        let batches: Vec<EventBatch> =
            commits.chunks(3).map(|commits| EventBatch::new(ORG, commits.to_vec())).collect();
        // Some of the months begin with a batch that arrives later.
        let data = TestData::aggregated(&batches[..rng.usize(0..3)], Identity::default()).await;
        data.put(&batches[3..5]).await;
        let seen = Seen::default();
        // Half of the time one of the programs is an older one.
        let jobs = jobs_with_readers(&data, LOGIC_VERSION - (seed % 2) as u32, &seen);
        run_interleaved(Workers::start(jobs), &data, &batches, rng).await;
        for (reader, numbers) in &*seen.lock().unwrap() {
            let is_rising = numbers.is_sorted_by_key(|[_, commits]| *commits);
            assert!(is_rising, "reader {reader} saw {numbers:?}, seed {seed}");
            answers += numbers.len() as u64;
        }
        data.put(&batches).await;
        let ports = data.ports().await;
        aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
        assert_eq!(find_numbers(&ports).await.unwrap()[1], count, "all commits count, seed {seed}");
    }
    assert!(answers > seeds(), "only {answers} answers");
}
