//! The list of tasks.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::entries::{
    QueueEntry, TaskRef, all_queue_entries, load_task, parse_entry, parse_task, task_key, task_range,
};
use super::rules::Unassignable;
use super::task::{LiveClaim, Task};
use super::{ClaimId, TaskError, TaskPhase, Tasks};

/// Number of tasks that one read returns.
const PAGE_TASKS: usize = 200;
/// Number of entries of the index that one read returns.
const PAGE_ENTRIES: usize = 1_000;
/// The most tasks that one page of the list reads, so that a filter that few tasks fulfil does not read all of them.
const MAX_READ_TASKS: usize = 2_000;

/// The state of a task, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Workers can get it.
    Ready,
    /// No worker can get it now: `waits_for` says why.
    Waiting,
    /// A worker has it.
    Claimed,
    /// A worker has completed it.
    Completed,
    /// Too many claims of it failed or expired.
    Failed,
}

impl TaskState {
    /// All states.
    pub const ALL: [TaskState; 5] =
        [TaskState::Ready, TaskState::Waiting, TaskState::Claimed, TaskState::Completed, TaskState::Failed];

    /// Returns the name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskState::Ready => "ready",
            TaskState::Waiting => "waiting",
            TaskState::Claimed => "claimed",
            TaskState::Completed => "completed",
            TaskState::Failed => "failed",
        }
    }

    /// Returns the state with the name, or `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        TaskState::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl Task {
    /// Returns the state as people see it.
    pub fn state(&self) -> TaskState {
        match &self.phase {
            TaskPhase::Claimed(_) => TaskState::Claimed,
            TaskPhase::Completed => TaskState::Completed,
            TaskPhase::Open if self.is_assignable() => TaskState::Ready,
            TaskPhase::Open if self.waits_for == Some(Unassignable::TooManyAttempts) => TaskState::Failed,
            TaskPhase::Open => TaskState::Waiting,
        }
    }
}

/// Which tasks a list has.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// Only tasks in this state.
    pub state: Option<TaskState>,
    /// Only tasks of the repository with this name, in any case.
    pub repo: Option<String>,
}

/// A task in a list.
#[derive(Debug, Clone)]
pub struct TaskSummary {
    /// The task.
    pub task: Task,
    /// Its state.
    pub state: TaskState,
    /// Whether the lease of its claim is over.
    pub is_lease_expired: bool,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct TaskPage {
    /// The tasks, in order of repository id and number.
    pub tasks: Vec<TaskSummary>,
    /// The last task that was read, if there may be more.
    pub next: Option<(i64, i64)>,
}

impl TaskFilter {
    fn accepts(&self, task: &Task) -> bool {
        self.state.is_none_or(|state| task.state() == state)
            && self.repo.as_ref().is_none_or(|repo| repo.to_lowercase() == task.repo.to_lowercase())
    }
}

impl Tasks {
    /// Returns up to `limit` tasks of an organization that fulfil both conditions. `after` is the `next` of the page before.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(
        &self,
        org: &str,
        filter: &TaskFilter,
        is_visible: impl Fn(&Task) -> bool,
        limit: usize,
        after: Option<(i64, i64)>,
    ) -> Result<TaskPage, TaskError> {
        let now = self.clock.now();
        let mut range = task_range(org)?;
        if let Some((repo_id, number)) = after {
            range = range.after(&task_key(org, repo_id, number)?);
        }
        let (mut tasks, mut read) = (Vec::new(), 0);
        loop {
            let page = self.records.range(&range, PAGE_TASKS, now).await?;
            for (_, record) in &page {
                let task = parse_task(record)?;
                let last = (task.repo_id, task.number);
                read += 1;
                if filter.accepts(&task) && is_visible(&task) {
                    tasks.push(TaskSummary::new(task, now));
                }
                if tasks.len() >= limit || read >= MAX_READ_TASKS {
                    return Ok(TaskPage { tasks, next: Some(last) });
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE_TASKS => range = range.after(last),
                _ => return Ok(TaskPage { tasks, next: None }),
            }
        }
    }

    /// Returns the repository ids and numbers of the issues that workers can claim now.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn assignable(&self, org: &str) -> Result<BTreeSet<(i64, i64)>, TaskError> {
        let mut range = all_queue_entries(org)?;
        let mut assignable = BTreeSet::new();
        loop {
            let page = self.records.range(&range, PAGE_ENTRIES, self.clock.now()).await?;
            for (_, record) in &page {
                let entry: QueueEntry = parse_entry(record)?;
                assignable.insert((entry.task.repo_id, entry.task.number));
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE_ENTRIES => range = range.after(last),
                _ => return Ok(assignable),
            }
        }
    }

    /// Returns the task that a claim is or was about. `None` if there is no such task any more.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn task_of(&self, claim_id: &ClaimId) -> Result<Option<Task>, TaskError> {
        let task = TaskRef { org: claim_id.org.clone(), repo_id: claim_id.repo_id, number: claim_id.number };
        let task = load_task(&*self.records, &task, self.clock.now()).await?;
        Ok(task.map(|(task, _)| task).filter(|task| claim_id.fence <= task.fence))
    }
}

impl TaskSummary {
    fn new(task: Task, now: DateTime<Utc>) -> Self {
        let is_expired = |claim: &LiveClaim| claim.is_expired(now);
        let is_lease_expired = task.live_claim().is_some_and(is_expired);
        TaskSummary { state: task.state(), is_lease_expired, task }
    }
}
