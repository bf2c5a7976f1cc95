//! Measures claims over SQLite: `cargo bench -p gam-bench --bench claims [ISSUES]`.
//!
//! It stores the issues of an organization, and prints the median and the 99th percentile of what a worker does: a claim,
//! a heartbeat, the end of a claim, and a request without a task. Then 50 workers request tasks at the same time, and it
//! prints how many requests another worker won.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use gam_access::{Principal, Role};
use gam_model::{Clock as _, SystemClock};
use gam_store::RecordStore;
use gam_store_sql::SqliteStore;
use gam_work::CachedIssue;
use gam_work::tasks::{ClaimId, ReportKind, RequestOutcome, TaskReport, Tasks, WorkRequest};
use gam_work::testing::{store_issue, task_issue};

const ORG: &str = "octo-bench";
/// Number of claims whose latencies are measured.
const SAMPLES: usize = 300;
/// Number of workers that request tasks at the same time.
const WORKERS: usize = 50;
/// Number of issues if the command line names none. Every second one is a task.
const DEFAULT_ISSUES: i64 = 20_000;

fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` runs it without this argument, and must not wait for it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let issues = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_ISSUES);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(issues))
}

async fn measure(issues: i64) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let store = SqliteStore::open(&dir.path().join("store.sqlite")).await?;
    let records: Arc<dyn RecordStore> = Arc::new(store.clone());
    let pick = Arc::new(|count| fastrand::usize(..count));
    let clock = SystemClock;
    let tasks = Tasks::new(records.clone(), Arc::new(clock), pick);
    print(&format!("storing {issues} issues"));
    for number in 1..=issues {
        store_issue(&*records, &tasks, ORG, &issue(number), clock.now()).await;
    }

    let (mut claims, mut heartbeats, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for sample in 0..SAMPLES {
        let (time, id) = timed(request(&tasks, &format!("worker-{sample}"))).await;
        let id = id?.ok_or_else(|| anyhow::anyhow!("there are fewer tasks than samples"))?;
        claims.push(time);
        let (time, outcome) = timed(report(&tasks, &id, ReportKind::Heartbeat)).await;
        outcome?;
        heartbeats.push(time);
        let (time, outcome) = timed(report(&tasks, &id, ReportKind::Complete)).await;
        outcome?;
        ends.push(time);
    }
    print_times("claim", claims);
    print_times("heartbeat", heartbeats);
    print_times("complete", ends);

    let start = Instant::now();
    let outcomes = join_all((0..WORKERS).map(|worker| {
        let tasks = tasks.clone();
        tokio::spawn(async move { timed(request(&tasks, &format!("parallel-{worker}"))).await })
    }));
    let mut times = Vec::new();
    let mut lost = 0;
    for outcome in outcomes.await {
        let (time, id) = outcome?;
        times.push(time);
        lost += usize::from(id?.is_none());
    }
    print_times(&format!("claim, {WORKERS} workers at once"), times);
    print(&format!("{WORKERS} claims took {:?}; {lost} workers lost all of their tries", start.elapsed()));
    store.close().await;
    Ok(())
}

async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let value = work.await;
    (start.elapsed(), value)
}

fn worker() -> Principal {
    Principal::trusted("bench", Role::Worker)
}

async fn request(tasks: &Tasks, worker_name: &str) -> anyhow::Result<Option<ClaimId>> {
    let request = WorkRequest { worker: worker_name.to_owned(), skills: Vec::new(), repos: Vec::new() };
    Ok(match tasks.request(&worker(), &request, &[ORG.to_owned()]).await? {
        RequestOutcome::Assigned(assignment) => Some(assignment.claim_id),
        RequestOutcome::Nothing { .. } => None,
    })
}

async fn report(tasks: &Tasks, id: &ClaimId, kind: ReportKind) -> anyhow::Result<()> {
    let report = TaskReport { kind, fence: id.fence, note: None, result: None };
    tasks.report(&worker(), id, &report).await?;
    Ok(())
}

/// Returns an issue with a description of usual length. Every second one is a task.
fn issue(number: i64) -> CachedIssue {
    let created_at = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(number);
    let mut issue = task_issue((7, "web-app"), number, created_at);
    issue.details.body = "A paragraph of the description of a problem. ".repeat(40);
    if number % 2 == 1 {
        issue.details.labels.clear();
    }
    issue
}

fn print_times(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1_000.0;
    print(&format!("{name}: median {:.2} ms, 99th percentile {:.2} ms", at(0.5), at(0.99)));
}

fn print(text: &str) {
    // Nothing can be done if stdout is closed.
    let _ = writeln!(std::io::stdout(), "{text}");
}
