//! 50 workers and 200 issues, with crashes and lost answers, and servers whose clocks differ by 20 s.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gam_access::{AuditKind, AuditRow, Principal, Role, Scope};
use gam_model::Clock as _;
use gam_store::{RecordKind, RecordRange, RecordStore};
use tokio::task::JoinSet;

use super::{CommitFault, FaultyRecords, TestClock};
use crate::tasks::{
    ClaimId, RandomPick, ReportKind, RequestOutcome, TAKEOVER_AFTER, TaskError, TaskFilter, TaskReport,
    TaskState, Tasks, WorkRequest,
};
use crate::testing::{store_issue, task_issue};

const ORG: &str = "acme";
const WORKERS: usize = 50;
const ISSUES: i64 = 200;
const CLOCK_DIFFERENCE: TimeDelta = TimeDelta::seconds(20);
/// Number of audit rows that one read returns.
const PAGE_ROWS: usize = 500;
/// How much time passes while a worker has nothing to do.
const IDLE_STEP: TimeDelta = TimeDelta::seconds(2);
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
    random: RandomPick,
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
    let random = |below: usize| (shared.random)(below);
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
                shared.clock.advance(IDLE_STEP);
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

fn random_fault(random: &RandomPick) -> CommitFault {
    match random(100) {
        0 => CommitFault::AnswerLost,
        1 => CommitFault::Refused,
        2..6 => CommitFault::CrashBefore,
        6..10 => CommitFault::CrashAfter,
        _ => CommitFault::None,
    }
}

/// Has 50 workers claim and complete 200 issues through these connections to one store, which is empty. Each second server
/// has a clock that is 20 s ahead. Every tenth commit or so is lost, or kills its process before or after it.
///
/// `random` returns a number below its argument.
///
/// # Panics
/// If two workers have one fence, a claim is taken over too early, or an issue is not completed exactly once.
pub async fn many_workers(connections: &[Arc<dyn RecordStore>], start: DateTime<Utc>, random: &RandomPick) {
    let clock = TestClock::new(start);
    let reader = Tasks::new(connections[0].clone(), Arc::new(clock.clone()), random.clone());
    for number in 1..=ISSUES {
        let issue = task_issue((7, "site"), number, start - TimeDelta::days(30) + TimeDelta::minutes(number));
        store_issue(&*connections[0], &reader, ORG, &issue, start).await;
    }
    // A server at each connection with each clock.
    let clocks = [clock.clone(), clock.ahead(CLOCK_DIFFERENCE)];
    let servers: Vec<Tasks> = connections
        .iter()
        .flat_map(|inner| clocks.iter().map(move |clock| (inner.clone(), clock.clone())))
        .map(|(inner, clock)| {
            let faults = random.clone();
            let records = FaultyRecords { inner, fault: Box::new(move || random_fault(&faults)) };
            Tasks::new(Arc::new(records), Arc::new(clock), random.clone())
        })
        .collect();
    let shared = Shared {
        clock: clock.clone(),
        observed: Arc::default(),
        completed: Arc::default(),
        conflicts: Arc::default(),
        claims: Arc::default(),
        random: random.clone(),
    };
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        let tasks = servers[number % servers.len()].clone();
        workers.spawn(work(tasks, shared.clone(), format!("worker-{number}")));
    }
    while let Some(worker) = workers.join_next().await {
        worker.expect("the worker keeps its promises");
    }
    let filter = TaskFilter { state: Some(TaskState::Completed), repo: None };
    let page = reader.list(ORG, &filter, |_| true, 1_000, None).await.expect("a page");
    let (claims, conflicts) =
        (shared.claims.load(Ordering::Relaxed), shared.conflicts.load(Ordering::Relaxed));
    assert_eq!(
        page.tasks.len() as i64,
        ISSUES,
        "none starves; {claims} claims, {conflicts} requests lost four races"
    );
    for (number, issue) in &*shared.observed.lock().expect("nobody panicked") {
        assert!(issue.completed.len() == 1, "issue {number}: {:?}", issue.completed);
    }
    let rows = completed_rows(&*connections[0], clock.now() + CLOCK_DIFFERENCE).await;
    assert_eq!(rows as i64, ISSUES, "each completed task has one audit row");
}

async fn completed_rows(records: &dyn RecordStore, now: DateTime<Utc>) -> usize {
    let mut range = RecordRange::new(Some(ORG), RecordKind::AuditRow, &[]).expect("a range");
    let mut rows = 0;
    loop {
        let page = records.range(&range, PAGE_ROWS, now).await.expect("rows are read");
        let parsed = page.iter().map(|(_, record)| serde_json::from_str(&record.body).expect("a row"));
        rows += parsed.filter(|row: &AuditRow| row.kind == AuditKind::TaskCompleted).count();
        match page.last() {
            Some((last, _)) if page.len() == PAGE_ROWS => range = range.after(last),
            _ => return rows,
        }
    }
}

fn principal() -> Principal {
    Principal {
        id: "token:1".to_owned(),
        role: Role::Worker,
        scope: Scope::All,
        has_token: true,
        member: None,
        origin: None,
    }
}

fn work_request(worker: &str) -> WorkRequest {
    WorkRequest { worker: worker.to_owned(), skills: Vec::new(), repos: Vec::new() }
}

fn report(claim_id: &ClaimId, kind: ReportKind) -> TaskReport {
    TaskReport { kind, fence: claim_id.fence, note: None, result: None }
}
