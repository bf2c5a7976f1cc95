//! Keeps the tasks up to date with the cache of issues.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gam_store::{RecordCommit, RecordStore, Result};

use super::entries::{TaskChange, TaskEvent, TaskRef, load_task};
use super::rules::has_task_label;
use super::task::Task;
use crate::issue::{IssueChange, IssueFollower};
use crate::repo::load_org;

/// The principal of changes that follow from GitHub.
const GITHUB: &str = "github";

/// Changes the task of an issue in the commit that changes the cached issue.
#[derive(Clone)]
pub struct TaskFollower {
    records: Arc<dyn RecordStore>,
}

impl TaskFollower {
    pub(super) fn new(records: Arc<dyn RecordStore>) -> Self {
        TaskFollower { records }
    }
}

#[async_trait]
impl IssueFollower for TaskFollower {
    async fn follow(
        &self,
        change: IssueChange<'_>,
        commit: RecordCommit,
        now: DateTime<Utc>,
    ) -> Result<RecordCommit> {
        let IssueChange { org, after: issue, .. } = change;
        let task = TaskRef { org: org.to_owned(), repo_id: issue.repo_id, number: issue.details.number };
        let before = load_task(&*self.records, &task, now).await?;
        let rules = load_org(&*self.records, org, now).await?.0.task_rules();
        let mut after = match &before {
            Some((task, _)) => task.clone(),
            None if has_task_label(&rules, issue) => Task::new(org, issue, now),
            None => return Ok(commit),
        };
        let cancelled = after.observe(issue, &rules, now);
        let events = cancelled.map(TaskEvent::Cancelled).into_iter().collect();
        let change = TaskChange { before, after, events };
        if change.is_empty() { Ok(commit) } else { change.add_to(commit, &GITHUB.into(), now) }
    }
}
