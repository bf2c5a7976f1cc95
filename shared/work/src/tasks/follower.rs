//! Keeps the tasks up to date with the cache of issues.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gam_store::{CommitOutcome, RecordCommit, RecordCommitId, RecordStore, Result, commit_until_answered};

use super::entries::{LeaseEntry, TaskChange, TaskEvent, TaskRef, lease_range, load_task, parse_entry};
use super::rules::has_task_label;
use super::task::{Cancellation, Task};
use crate::issue::{IssueChange, IssueFollower};
use crate::repo::load_org;

/// The principal of changes that follow from GitHub.
const GITHUB: &str = "github";
/// Number of claims that one read returns.
const PAGE_LEASES: usize = 100;

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

impl TaskFollower {
    /// Cancels the claim of a task, if a worker holds one.
    async fn cancel(&self, task: &TaskRef, now: DateTime<Utc>) -> Result<()> {
        const REASON: Cancellation = Cancellation::Suspended;
        // Each turn that is a conflict is one in which the worker, or another process, changed the task.
        while let Some((before, revision)) = load_task(&*self.records, task, now).await? {
            let mut after = before.clone();
            if !after.cancel_claim(REASON, now) {
                return Ok(());
            }
            let events = vec![TaskEvent::Cancelled(REASON)];
            let change = TaskChange { before: Some((before, revision)), after, events };
            let commit = change.add_to(RecordCommit::new(RecordCommitId::random()), &GITHUB.into(), now)?;
            if commit_until_answered(&*self.records, &commit, now).await? == CommitOutcome::Committed {
                return Ok(());
            }
        }
        Ok(())
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

    async fn suspend(&self, org: &str, now: DateTime<Utc>) -> Result<()> {
        let mut range = lease_range(org)?;
        loop {
            let page = self.records.range(&range, PAGE_LEASES, now).await?;
            for (_, record) in &page {
                let lease: LeaseEntry = parse_entry(record)?;
                self.cancel(&lease.task, now).await?;
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE_LEASES => range = range.after(last),
                _ => return Ok(()),
            }
        }
    }
}
