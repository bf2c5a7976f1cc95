//! Workers claim tasks from a store that several of them share, each through a connection of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::join_all;
use gam_access::{Principal, Role};
use gam_model::{Clock as _, SystemClock};
use gam_store::RecordStore;
use gam_work::tasks::{ReportKind, RequestOutcome, TaskFilter, TaskReport, TaskState, Tasks, WorkRequest};
use gam_work::testing::{store_issue, task_issue};

const ORG: &str = "acme";
const WORKERS: usize = 16;
const ISSUES: i64 = 40;
/// Number of requests after which a worker gives up.
const MAX_REQUESTS: usize = 500;

/// Checks that each issue is claimed by one worker at a time and completed once.
pub(crate) async fn check(connections: &[Arc<dyn RecordStore>]) {
    let tasks: Vec<Tasks> = connections.iter().cloned().map(tasks_of).collect();
    let created_at: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a time");
    for number in 1..=ISSUES {
        let issue = task_issue((7, "site"), number, created_at);
        store_issue(&*connections[0], &tasks[0], ORG, &issue, SystemClock.now()).await;
    }
    let workers = (0..WORKERS).map(|number| {
        let tasks = tasks[number % tasks.len()].clone();
        tokio::spawn(async move { work(&tasks, &format!("worker-{number}")).await })
    });
    let mut completed = Vec::new();
    for numbers in join_all(workers.collect::<Vec<_>>()).await {
        completed.extend(numbers.expect("the worker does not fail"));
    }
    completed.sort();
    assert_eq!(completed, (1..=ISSUES).collect::<Vec<_>>(), "each issue once");
    let filter = TaskFilter { state: Some(TaskState::Completed), repo: None };
    let page = tasks[0].list(ORG, &filter, |_| true, 1_000, None).await.expect("a page");
    let fences: BTreeSet<u64> = page.tasks.iter().map(|summary| summary.task.fence).collect();
    assert_eq!(
        (page.tasks.len() as i64, fences),
        (ISSUES, BTreeSet::from([1])),
        "no issue was claimed twice"
    );
}

fn tasks_of(records: Arc<dyn RecordStore>) -> Tasks {
    Tasks::new(records, Arc::new(SystemClock), Arc::new(|count| fastrand::usize(..count)))
}

/// Completes tasks until there is none. Returns the numbers of their issues.
async fn work(tasks: &Tasks, name: &str) -> Vec<i64> {
    let principal = Principal::trusted("worker", Role::Worker);
    let request = WorkRequest { worker: name.to_owned(), skills: Vec::new(), repos: Vec::new() };
    let mut completed = Vec::new();
    for _ in 0..MAX_REQUESTS {
        let outcome = tasks.request(&principal, &request, &[ORG.to_owned()]).await.expect("an answer");
        match outcome {
            RequestOutcome::Assigned(assignment) => {
                let id = assignment.claim_id;
                let kind = ReportKind::Complete;
                let report = TaskReport { kind, fence: id.fence, note: None, result: None };
                tasks.report(&principal, &id, &report).await.expect("it counts");
                completed.push(id.number);
            }
            RequestOutcome::Nothing { retry_after } if retry_after.as_secs() > 5 => break,
            // Others were faster.
            RequestOutcome::Nothing { .. } => {}
        }
    }
    completed
}
