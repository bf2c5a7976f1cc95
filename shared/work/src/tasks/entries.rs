//! The records of tasks: their keys, and the writes of a change.
//!
//! What a task's record says decides which entries the index of assignable issues, the index of leases and the index of
//! workers have. They change in the commit that changes the record, which expects the record's revision.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use gam_access::{AuditKind, AuditRow, Requester};
use gam_store::{
    Error as StoreError, Expectation, KeyPart, Record, RecordCommit, RecordCommitId, RecordKey, RecordKind,
    RecordRange, RecordStore, Result,
};
use serde::{Deserialize, Serialize};

use super::claim_id::ClaimId;
use super::rules::Unassignable;
use super::task::{Cancellation, ClaimOutcome, FORMAT, Task};
use super::{TAKEOVER_AFTER, TaskPhase};

/// The part of a key in place of a login, for issues that everybody can get.
const EVERYBODY: &str = "";

fn number_part(number: i64) -> KeyPart<'static> {
    KeyPart::Number(u64::try_from(number).unwrap_or_default())
}

/// Returns the key of a task.
pub(super) fn task_key(org: &str, repo_id: i64, number: i64) -> Result<RecordKey> {
    RecordKey::new(Some(org), RecordKind::Claim, &[number_part(repo_id), number_part(number)])
}

/// Returns the range of an organization's tasks.
pub(super) fn task_range(org: &str) -> Result<RecordRange> {
    RecordRange::new(Some(org), RecordKind::Claim, &[])
}

/// Returns the ranges of the index that a worker with this login reads.
pub(super) fn queue_ranges(org: &str, login: &str) -> Result<Vec<RecordRange>> {
    let logins = [EVERYBODY, login];
    let logins = if login.is_empty() { &logins[..1] } else { &logins[..] };
    let range = |login: &&str| RecordRange::new(Some(org), RecordKind::ReadyIssue, &[KeyPart::Text(login)]);
    logins.iter().map(range).collect()
}

/// Returns the range of the complete index of assignable issues.
pub(super) fn all_queue_entries(org: &str) -> Result<RecordRange> {
    RecordRange::new(Some(org), RecordKind::ReadyIssue, &[])
}

/// Returns the range of the index of leases.
pub(super) fn lease_range(org: &str) -> Result<RecordRange> {
    RecordRange::new(Some(org), RecordKind::Lease, &[])
}

/// Returns the key under which the claim of a worker is.
pub(super) fn worker_key(principal: &str, worker: &str) -> Result<RecordKey> {
    let parts = [KeyPart::Text(principal), KeyPart::Text(worker)];
    RecordKey::new(None, RecordKind::WorkerClaim, &parts)
}

/// Returns the range of the claims of a principal.
pub(super) fn worker_range(principal: &str) -> Result<RecordRange> {
    RecordRange::new(None, RecordKind::WorkerClaim, &[KeyPart::Text(principal)])
}

/// Which task an entry of an index is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct TaskRef {
    pub(super) org: String,
    pub(super) repo_id: i64,
    pub(super) number: i64,
}

/// What the index of assignable issues has of an issue, in the order of assignment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct QueueEntry {
    #[serde(alias = "due")]
    pub(super) priority: i64,
    pub(super) created: i64,
    #[serde(flatten)]
    pub(super) task: TaskRef,
    pub(super) repo: String,
    pub(super) skills: Vec<String>,
}

/// What the index of leases has of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeaseEntry {
    #[serde(flatten)]
    pub(super) task: TaskRef,
    /// When the claim can be taken over at the earliest, UTC.
    pub(super) from: DateTime<Utc>,
}

/// Parses the body of an entry.
pub(super) fn parse_entry<T: for<'a> Deserialize<'a>>(record: &Record) -> Result<T> {
    serde_json::from_str(&record.body).map_err(|error| damaged(&error.to_string()))
}

fn damaged(what: &str) -> StoreError {
    StoreError::Unusable {
        what: format!("the record of a task cannot be read ({what}): upgrade github-metrics"),
        source: None,
    }
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the fields have only text keys")
}

/// Parses the record of a task.
///
/// # Errors
/// If it is damaged, or a newer program wrote it.
pub(super) fn parse_task(record: &Record) -> Result<Task> {
    let task: Task = parse_entry(record)?;
    if task.format > FORMAT {
        return Err(damaged(&format!("its format is {}, this program reads {FORMAT}", task.format)));
    }
    Ok(task)
}

/// Reads a task with the revision of its record.
pub(super) async fn load_task(
    records: &dyn RecordStore,
    task: &TaskRef,
    now: DateTime<Utc>,
) -> Result<Option<(Task, RecordCommitId)>> {
    let record = records.get(&task_key(&task.org, task.repo_id, task.number)?, now).await?;
    record.map(|record| Ok((parse_task(&record)?, record.revision))).transpose()
}

impl Task {
    /// Returns which task this is.
    pub(super) fn as_ref(&self) -> TaskRef {
        TaskRef { org: self.org.clone(), repo_id: self.repo_id, number: self.number }
    }

    /// Returns the id of the claim that a worker holds.
    pub fn claim_id(&self) -> Option<ClaimId> {
        Some(self.id_of(self.fence, &self.live_claim()?.nonce))
    }

    /// Returns the id of the last claim that ended.
    pub fn last_claim_id(&self) -> Option<ClaimId> {
        self.last.as_ref().map(|last| self.id_of(last.fence, &last.nonce))
    }

    fn id_of(&self, fence: u64, nonce: &str) -> ClaimId {
        let TaskRef { org, repo_id, number } = self.as_ref();
        ClaimId { org, repo_id, number, fence, nonce: nonce.to_owned() }
    }

    /// Returns the entries of the indexes that belong to the task, by key.
    fn entries(&self) -> Result<BTreeMap<RecordKey, String>> {
        let mut entries = BTreeMap::new();
        if let Some(place) = &self.place {
            let entry = QueueEntry {
                priority: place.priority,
                created: place.created,
                task: self.as_ref(),
                repo: self.repo.clone(),
                skills: place.skills.clone(),
            };
            let everybody = [EVERYBODY.to_owned()];
            let logins = if place.assignees.is_empty() { &everybody[..] } else { &place.assignees[..] };
            for login in logins {
                let numbers = [place.priority, place.created, self.repo_id, self.number].map(number_part);
                let parts: Vec<KeyPart<'_>> = [KeyPart::Text(login)].into_iter().chain(numbers).collect();
                entries.insert(
                    RecordKey::new(Some(&self.org), RecordKind::ReadyIssue, &parts)?,
                    to_json(&entry),
                );
            }
        }
        if let TaskPhase::Claimed(claim) = &self.phase {
            let from = claim.indexed_until + TAKEOVER_AFTER;
            let parts = [from.timestamp(), self.repo_id, self.number].map(number_part);
            let entry = LeaseEntry { task: self.as_ref(), from };
            entries.insert(RecordKey::new(Some(&self.org), RecordKind::Lease, &parts)?, to_json(&entry));
            entries.insert(worker_key(&claim.principal, &claim.worker)?, to_json(&self.as_ref()));
        }
        Ok(entries)
    }
}

/// A change of a task, which becomes writes of a commit.
pub(super) struct TaskChange {
    /// The task before, with its revision. `None` if it is new.
    pub(super) before: Option<(Task, RecordCommitId)>,
    /// The task after.
    pub(super) after: Task,
    /// The audit rows of the change.
    pub(super) events: Vec<TaskEvent>,
}

/// What happened to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaskEvent {
    Claimed,
    Cancelled(Cancellation),
    Ended(ClaimOutcome),
    Requeued,
}

impl TaskChange {
    /// Returns whether there is anything to write.
    pub(super) fn is_empty(&self) -> bool {
        self.before.as_ref().is_some_and(|(before, _)| *before == self.after)
    }

    /// Adds the writes of the change and its audit rows to a commit. `requester` is who makes it. The commit is a conflict
    /// if the task was changed in the meantime, or if the worker has got another claim.
    pub(super) fn add_to(
        &self,
        mut commit: RecordCommit,
        requester: &Requester,
        now: DateTime<Utc>,
    ) -> Result<RecordCommit> {
        let after = &self.after;
        let key = task_key(&after.org, after.repo_id, after.number)?;
        let expectation = match &self.before {
            Some((_, revision)) => Expectation::Revision(*revision),
            None => Expectation::Absent,
        };
        commit = match after.expires() {
            Some(expires) => commit.put_until(key, to_json(after), expires, expectation),
            None => commit.put(key, to_json(after), expectation),
        };
        let old = self.before.as_ref().map(|(before, _)| before.entries()).transpose()?.unwrap_or_default();
        let new = after.entries()?;
        for key in old.keys().filter(|key| !new.contains_key(*key)) {
            commit = commit.delete(key.clone(), Expectation::Any);
        }
        for (key, body) in new.into_iter().filter(|(key, body)| old.get(key) != Some(body)) {
            // A worker has one claim. The other entries belong to this task, whose revision is expected.
            let expectation = match key.kind() {
                RecordKind::WorkerClaim => Expectation::Absent,
                _ => Expectation::Any,
            };
            commit = commit.put(key, body, expectation);
        }
        for row in self.audit_rows(commit.id(), requester, now) {
            commit = row.add_to(commit)?;
        }
        Ok(commit)
    }

    /// Returns the audit rows: one for each event, and one if the issue became assignable or ceased to be, unless a claim
    /// explains that.
    fn audit_rows(&self, commit: RecordCommitId, requester: &Requester, now: DateTime<Utc>) -> Vec<AuditRow> {
        let after = &self.after;
        let issue = format!("{}.{}.{}", after.org, after.repo_id, after.number);
        let row = |id: String, kind, subject: String, outcome: &str| {
            let subject = format!("issue {}#{}{subject}", after.repo, after.number);
            AuditRow::new(id, Some(&after.org), now, &requester.id, kind, subject)
                .with_origin(requester.origin.clone())
                .with_outcome(outcome)
                .about(Some(after.repo_id), after.repo.clone(), Some(after.number))
        };
        let before = self.before.as_ref().map(|(before, _)| before);
        let claim_id = after.claim_id().or_else(|| after.last_claim_id()).map(|id| id.to_string());
        let worker = after.live_claim().map(|claim| claim.worker.as_str());
        let worker = worker.or_else(|| after.last.as_ref().map(|last| last.worker.as_str()));
        let (claim_id, worker) = (claim_id.unwrap_or_default(), worker.unwrap_or_default());
        let mut rows = Vec::new();
        for event in &self.events {
            let of_claim = |what: &str, kind, outcome: &str| {
                let subject = format!(" claim {claim_id} worker {worker}");
                row(format!("task:{claim_id}:{what}"), kind, subject, outcome)
            };
            rows.push(match event {
                TaskEvent::Claimed => of_claim("claimed", AuditKind::TaskClaimed, "ok"),
                TaskEvent::Cancelled(why) => of_claim("cancelled", AuditKind::TaskCancelled, why.as_str()),
                TaskEvent::Ended(outcome) => {
                    let kind = match outcome {
                        ClaimOutcome::Completed => AuditKind::TaskCompleted,
                        ClaimOutcome::Failed => AuditKind::TaskFailed,
                        ClaimOutcome::Released => AuditKind::TaskReleased,
                        ClaimOutcome::Expired => AuditKind::TaskExpired,
                    };
                    let row = of_claim(outcome.as_str(), kind, "ok");
                    // Why no worker gets the issue now, such as too many attempts.
                    match after.waits_for {
                        Some(reason) => row.with_detail("waits_for", reason.as_str()),
                        None => row,
                    }
                }
                TaskEvent::Requeued => row(
                    format!("task:{issue}:requeued:{commit}"),
                    AuditKind::TaskRequeued,
                    String::new(),
                    "ok",
                ),
            });
        }
        let was_assignable = before.is_some_and(Task::is_assignable);
        let is_claimed = self.events.contains(&TaskEvent::Claimed);
        if after.is_assignable() != was_assignable && !is_claimed {
            let (what, kind) = match after.is_assignable() {
                true => ("queued", AuditKind::TaskQueued),
                false => ("withdrawn", AuditKind::TaskWithdrawn),
            };
            let outcome = after.waits_for.map_or("ok", Unassignable::as_str);
            rows.push(row(format!("task:{issue}:{what}:{commit}"), kind, String::new(), outcome));
        }
        let changed = changed_facts(before, after);
        if rows.is_empty() && !changed.is_empty() {
            let outcome = after.waits_for.map_or("ok", Unassignable::as_str);
            let id = format!("task:{issue}:changed:{commit}");
            let changed_row = row(id, AuditKind::TaskChanged, String::new(), outcome);
            rows.push(changed_row.with_detail("changed", changed));
        }
        rows
    }
}

/// Returns the names of what changed of a task, apart from its claims.
fn changed_facts(before: Option<&Task>, after: &Task) -> Vec<&'static str> {
    let Some(before) = before else { return vec!["created"] };
    let changes = [
        ("repo", before.repo != after.repo),
        ("title", before.title != after.title),
        ("state", before.is_open != after.is_open),
        ("waits_for", before.waits_for != after.waits_for),
        ("order", before.place != after.place),
    ];
    changes.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name).collect()
}
