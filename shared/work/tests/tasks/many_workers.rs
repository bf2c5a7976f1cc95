//! 50 workers and 200 issues, with crashes and lost answers, and two servers whose clocks differ by 20 s.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::Clock as _;
use gam_work::tasks::{
    ClaimId, ReportKind, RequestOutcome, TAKEOVER_AFTER, TaskError, TaskFilter, TaskState, Tasks,
};

use crate::support::{
    CommitFault, FaultyRecords, ORG, TestClock, TestStore, World, issue, principal, report, work_request,
};

const WORKERS: usize = 50;
const ISSUES: i64 = 200;
const CLOCK_DIFFERENCE: TimeDelta = TimeDelta::seconds(20);
/// Number of requests of a worker. With fewer, issues would be left over.
const MAX_REQUESTS: usize = 5_000;

/// What an observer of all answers knows of an issue.
#[derive(Default)]
struct Observed {
    /// The worker that received each fence.
    holders: BTreeMap<u64, String>,
    /// When the newest lease ends that a worker received, by the first clock.
    lease_until: Option<DateTime<Utc>>,
    /// The fences that completed.
    completed: Vec<u64>,
}

#[derive(Clone)]
struct Shared {
    clock: TestClock,
    observed: Arc<Mutex<BTreeMap<i64, Observed>>>,
    completed: Arc<AtomicUsize>,
    conflicts: Arc<AtomicUsize>,
    claims: Arc<AtomicUsize>,
}

impl Shared {
    fn on_assigned(&self, worker: &str, id: &ClaimId, lease_until: DateTime<Utc>) {
        let mut observed = self.observed.lock().expect("nobody panicked");
        let issue = observed.entry(id.number).or_default();
        let newest = issue.holders.keys().next_back().copied().unwrap_or_default();
        let holder = issue.holders.entry(id.fence).or_insert_with(|| worker.to_owned());
        assert_eq!(holder, worker, "two workers have the claim {id}");
        // A worker can learn late of a claim that was taken over meanwhile.
        if id.fence > newest {
            assert!(issue.completed.is_empty(), "{id} was completed before");
            let now = self.clock.now() + CLOCK_DIFFERENCE;
            let is_over = issue.lease_until.is_none_or(|until| until + TAKEOVER_AFTER <= now);
            assert!(is_over, "{id} was taken over before {:?}", issue.lease_until);
            issue.lease_until = Some(lease_until);
        }
    }

    /// The holder stops to work on the issue: it begins to report the end.
    fn on_ending(&self, id: &ClaimId) {
        let mut observed = self.observed.lock().expect("nobody panicked");
        let issue = observed.entry(id.number).or_default();
        if issue.holders.keys().next_back() == Some(&id.fence) {
            issue.lease_until = None;
        }
    }

    fn on_completed(&self, id: &ClaimId) {
        let mut observed = self.observed.lock().expect("nobody panicked");
        let issue = observed.entry(id.number).or_default();
        if !issue.completed.contains(&id.fence) {
            issue.completed.push(id.fence);
            assert_eq!(issue.completed.len(), 1, "issue {} was completed twice", id.number);
            self.completed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_done(&self) -> bool {
        self.completed.load(Ordering::Relaxed) as i64 >= ISSUES
    }
}

/// Works until all issues are completed. It dies again and again, and begins again under its name.
async fn work(tasks: Tasks, shared: Shared, worker: String) {
    let random = |below: usize| fastrand::usize(..below);
    for _ in 0..MAX_REQUESTS {
        if shared.is_done() {
            return;
        }
        let outcome = tasks.request(&principal(), &work_request(&worker), &[ORG.to_owned()]).await;
        let assignment = match outcome {
            Ok(RequestOutcome::Assigned(assignment)) => assignment,
            Ok(RequestOutcome::Nothing { retry_after }) => {
                shared
                    .conflicts
                    .fetch_add(usize::from(retry_after < Duration::from_secs(5)), Ordering::Relaxed);
                // Time passes while nobody has anything to do.
                shared.clock.advance(TimeDelta::seconds(1));
                tokio::time::sleep(Duration::from_millis(5)).await;
                requeue_failed(&tasks).await;
                continue;
            }
            // The process died.
            Err(_) => continue,
        };
        shared.claims.fetch_add(1, Ordering::Relaxed);
        let id = assignment.claim_id;
        shared.on_assigned(&worker, &id, assignment.lease_until);
        match random(10) {
            // It dies, and is started again much later, or under another name: somebody takes the issue over.
            0 => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            1 => {
                let alive = tasks.report(&principal(), &id, &report(&id, ReportKind::Heartbeat)).await;
                assert!(!matches!(alive, Err(TaskError::Invalid(_))), "{alive:?}");
            }
            _ => {}
        }
        let kind = if random(20) == 0 { ReportKind::Release } else { ReportKind::Complete };
        shared.on_ending(&id);
        // Until it knows the answer: a repeated report has the same one.
        for _ in 0..50 {
            match tasks.report(&principal(), &id, &report(&id, kind)).await {
                Ok(_) => {
                    if kind == ReportKind::Complete {
                        shared.on_completed(&id);
                    }
                    break;
                }
                Err(TaskError::Stale(_) | TaskError::Ended(_) | TaskError::NotFound(_)) => break,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }
}

/// An operator requeues what failed too often.
async fn requeue_failed(tasks: &Tasks) {
    let filter = TaskFilter { state: Some(TaskState::Failed), repo: None };
    let page = tasks.list(ORG, &filter, |_| true, 10, None).await.expect("reading has no faults");
    for failed in page.tasks {
        // If it fails, the next worker tries again.
        _ = tasks.requeue("local", ORG, failed.task.repo_id, failed.task.number).await;
    }
}

fn random_fault() -> CommitFault {
    match fastrand::u32(..100) {
        0 => CommitFault::AnswerLost,
        1 => CommitFault::Refused,
        2..6 => CommitFault::CrashBefore,
        6..10 => CommitFault::CrashAfter,
        _ => CommitFault::None,
    }
}

async fn check(store: &TestStore) {
    let clock = TestClock::new();
    let world = World::with(store.records.clone(), clock.clone());
    for number in 1..=ISSUES {
        world.store(&issue(number)).await;
    }
    let records = Arc::new(FaultyRecords { inner: store.records.clone(), fault: Box::new(random_fault) });
    let servers = [clock.clone(), clock.ahead(CLOCK_DIFFERENCE)].map(|clock| {
        let pick = Arc::new(|count| fastrand::usize(..count));
        Tasks::new(records.clone(), Arc::new(clock), pick)
    });
    let shared = Shared {
        clock,
        observed: Arc::default(),
        completed: Arc::default(),
        conflicts: Arc::default(),
        claims: Arc::default(),
    };
    let workers = (0..WORKERS).map(|number| {
        let tasks = servers[number % servers.len()].clone();
        tokio::spawn(work(tasks, shared.clone(), format!("worker-{number}")))
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.expect("the worker keeps its promises");
    }
    let filter = TaskFilter { state: Some(TaskState::Completed), repo: None };
    let page = world.tasks.list(ORG, &filter, |_| true, 1_000, None).await.expect("a page");
    let completed = page.tasks.len() as i64;
    let (claims, conflicts) =
        (shared.claims.load(Ordering::Relaxed), shared.conflicts.load(Ordering::Relaxed));
    assert_eq!(completed, ISSUES, "none starves; {claims} claims, {conflicts} requests lost four races");
    for (number, issue) in &*shared.observed.lock().expect("nobody panicked") {
        assert!(issue.completed.len() == 1, "issue {number}: {:?}", issue.completed);
    }
    let rows = world.audit().await.into_iter().filter(|row| row == "task_completed ok").count();
    assert_eq!(rows as i64, ISSUES, "each completed task has one audit row");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_issue_is_completed_once_in_memory() {
    let store = TestStore::memory();
    check(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_issue_is_completed_once_in_sqlite() {
    let store = TestStore::sqlite().await;
    check(&store).await;
    store.close().await;
}
