//! Any sequence of requests, reports, edits, faults and pauses keeps the promises of claims.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::Clock as _;
use gam_store::MemoryStore;
use gam_work::tasks::{
    ClaimId, ReportKind, RequestOutcome, TAKEOVER_AFTER, TaskError, TaskFilter, TaskPhase,
};
use proptest::prelude::*;

use crate::support::{
    CommitFault, FaultyRecords, LEASE, OBSTACLES, ORG, World, issue, principal, report, voucher, work_request,
};

const WORKERS: [&str; 3] = ["ann", "ben", "cid"];
const ISSUES: i64 = 3;

#[derive(Debug, Clone)]
enum Step {
    /// A worker requests a task, by number.
    Request(usize, CommitFault),
    /// A worker reports about the last claim that it received.
    Report(usize, ReportKind, CommitFault),
    /// Something happens to an issue on GitHub.
    Obstruct(i64, usize),
    /// The issue is as at the beginning again.
    Restore(i64),
    /// Somebody sets the label again.
    Relabel(i64),
    /// Seconds pass.
    Wait(i64),
}

fn any_fault() -> impl Strategy<Value = CommitFault> {
    prop_oneof![
        6 => Just(CommitFault::None),
        1 => Just(CommitFault::CrashBefore),
        1 => Just(CommitFault::CrashAfter),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    use ReportKind::{Complete, Fail, Heartbeat, Release};
    let worker = 0..WORKERS.len();
    let kind = prop_oneof![Just(Heartbeat), Just(Complete), Just(Fail), Just(Release)];
    prop_oneof![
        5 => (worker.clone(), any_fault()).prop_map(|(worker, fault)| Step::Request(worker, fault)),
        5 => (worker, kind, any_fault()).prop_map(|(worker, kind, fault)| Step::Report(worker, kind, fault)),
        1 => (1..=ISSUES, 0..OBSTACLES.len()).prop_map(|(number, obstacle)| Step::Obstruct(number, obstacle)),
        2 => (1..=ISSUES).prop_map(Step::Restore),
        1 => (1..=ISSUES).prop_map(Step::Relabel),
        4 => prop_oneof![Just(60), Just(599), Just(661), 0..1_000i64].prop_map(Step::Wait),
    ]
}

/// What an observer of all answers knows.
#[derive(Default)]
struct Observer {
    /// The worker that received each claim.
    holders: BTreeMap<String, usize>,
    /// For each issue, the greatest fence that a worker received, and the earliest end of its lease.
    leases: BTreeMap<i64, (u64, DateTime<Utc>)>,
    /// The claims that were reported as ended.
    ended: BTreeSet<String>,
    /// The claims that completed, by issue, since its label was set last.
    completed: BTreeMap<i64, BTreeSet<String>>,
}

impl Observer {
    fn on_assigned(&mut self, worker: usize, id: &ClaimId, lease_until: DateTime<Utc>, now: DateTime<Utc>) {
        let holder = *self.holders.entry(id.to_string()).or_insert(worker);
        assert_eq!(holder, worker, "two workers have the claim {id}");
        assert!(!self.ended.contains(&id.to_string()), "{id} has ended");
        if let Some((fence, until)) = self.leases.get(&id.number) {
            assert!(id.fence >= *fence, "the fence of {id} does not grow");
            assert!(id.fence == *fence || *until + TAKEOVER_AFTER <= now, "{id} was taken over too early");
        }
        assert!(self.completed.get(&id.number).is_none_or(BTreeSet::is_empty), "{id} is completed already");
        self.leases.insert(id.number, (id.fence, lease_until));
    }

    /// Returns whether it was not known that the claim has ended.
    fn on_end(&mut self, id: &ClaimId) -> bool {
        self.forget_lease(id);
        self.ended.insert(id.to_string())
    }

    fn forget_lease(&mut self, id: &ClaimId) {
        if self.leases.get(&id.number).is_some_and(|(fence, _)| *fence == id.fence) {
            // Nobody waits for this lease any more.
            self.leases.insert(id.number, (id.fence, DateTime::UNIX_EPOCH));
        }
    }
}

async fn run(steps: Vec<Step>) {
    let fault = Arc::new(Mutex::new(CommitFault::None));
    let shared = fault.clone();
    let records = FaultyRecords {
        inner: Arc::new(MemoryStore::default()),
        // A fault happens once.
        fault: Box::new(move || {
            std::mem::replace(&mut *shared.lock().expect("nobody panicked"), CommitFault::None)
        }),
    };
    let world = World::with(Arc::new(records), crate::support::clock());
    let set_fault = |value| *fault.lock().expect("nobody panicked") = value;
    for number in 1..=ISSUES {
        world.store(&issue(number)).await;
    }
    let mut known: [Option<ClaimId>; WORKERS.len()] = [const { None }; WORKERS.len()];
    let mut observer = Observer::default();
    for step in steps {
        match step {
            Step::Request(worker, with) => {
                set_fault(with);
                let outcome = world
                    .tasks
                    .request(&principal(), &work_request(WORKERS[worker]), &[ORG.to_owned()])
                    .await;
                set_fault(CommitFault::None);
                let before = known[worker].take();
                match outcome {
                    Ok(RequestOutcome::Assigned(assignment)) => {
                        let id = assignment.claim_id;
                        // What a worker had before, it has given up, unless it gets the same.
                        if let Some(before) = before.filter(|before| *before != id) {
                            observer.on_end(&before);
                        }
                        observer.on_assigned(worker, &id, assignment.lease_until, world.clock.now());
                        known[worker] = Some(id);
                    }
                    // It may have given up what it had.
                    _ => {
                        before.iter().for_each(|before| observer.forget_lease(before));
                        known[worker] = before;
                    }
                }
            }
            Step::Report(worker, kind, with) => {
                let Some(id) = known[worker].clone() else { continue };
                set_fault(with);
                let outcome = world.tasks.report(&principal(), &id, &report(&id, kind)).await;
                set_fault(CommitFault::None);
                match outcome {
                    Ok(answer) if kind == ReportKind::Heartbeat => {
                        observer.leases.insert(id.number, (id.fence, answer.lease_until));
                    }
                    Ok(_) => {
                        // A repeated report counts once.
                        if observer.on_end(&id) && kind == ReportKind::Complete {
                            observer.completed.entry(id.number).or_default().insert(id.to_string());
                        }
                    }
                    Err(TaskError::Stale(_) | TaskError::Ended(_) | TaskError::NotFound(_)) => {
                        observer.on_end(&id);
                        known[worker] = None;
                    }
                    // The worker died, and does not know whether its report counts.
                    Err(TaskError::Store(_)) => {
                        if kind != ReportKind::Heartbeat {
                            observer.forget_lease(&id);
                        }
                        known[worker] = None;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Obstruct(number, obstacle) => world.edit(number, OBSTACLES[obstacle].1).await,
            Step::Restore(number) => {
                let original = issue(number);
                world
                    .edit(number, |issue| {
                        let vouchers = std::mem::take(&mut issue.vouchers);
                        *issue = original;
                        vouchers.into_iter().for_each(|voucher| issue.add_voucher(voucher));
                    })
                    .await;
            }
            Step::Relabel(number) => {
                world.clock.advance(TimeDelta::seconds(1));
                let at = world.clock.now();
                let original = issue(number);
                world
                    .edit(number, |issue| {
                        *issue = original;
                        issue.add_voucher(voucher(&issue.clone(), at));
                    })
                    .await;
                observer.completed.remove(&number);
            }
            Step::Wait(seconds) => world.clock.advance(TimeDelta::seconds(seconds)),
        }
        check_store(&world).await;
    }
    finish(&world).await;
}

/// Checks what the store holds: each worker has at most one claim, and nobody has a task that others can get.
async fn check_store(world: &World) {
    let page = world.tasks.list(ORG, &TaskFilter::default(), |_| true, 100, None).await.expect("a page");
    let mut workers = BTreeSet::new();
    for task in page.tasks.iter().map(|summary| &summary.task) {
        if let TaskPhase::Claimed(claim) = &task.phase {
            assert!(workers.insert(claim.worker.clone()), "{} has two claims", claim.worker);
            assert!(!task.is_assignable(), "{task:?}");
        }
    }
}

/// Whatever happened: once every obstacle is gone, each issue is completed by somebody.
async fn finish(world: &World) {
    world.clock.advance(LEASE + TAKEOVER_AFTER + TimeDelta::seconds(1));
    // Ends all claims: a label counts if it is set after that.
    if let Some(assignment) = world.request("dan").await {
        world.report(&assignment.claim_id, ReportKind::Release).await.expect("it counts");
    }
    world.clock.advance(TimeDelta::seconds(1));
    let at = world.clock.now();
    for number in 1..=ISSUES {
        world.store(&issue(number)).await;
        world.edit(number, |issue| issue.add_voucher(voucher(&issue.clone(), at))).await;
    }
    let mut completed = BTreeSet::new();
    for round in 0..20 {
        world.clock.advance(LEASE + TAKEOVER_AFTER);
        if let Some(assignment) = world.request(&format!("dan/{round}")).await {
            world.report(&assignment.claim_id, ReportKind::Complete).await.expect("it counts");
            assert!(completed.insert(assignment.claim_id.number), "it was completed before");
        }
    }
    assert_eq!(completed.len() as i64, ISSUES, "no issue is lost: {completed:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_steps_keeps_the_promises(steps in prop::collection::vec(any_step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(run(steps));
    }
}
