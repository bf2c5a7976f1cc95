//! What workers report about their claims, and what operators do to tasks.

use chrono::{DateTime, TimeDelta, Utc};
use gam_access::{Principal, Role};

use super::claim_id::ClaimId;
use super::entries::{TaskChange, TaskEvent, TaskRef, load_task, parse_entry, worker_range};
use super::task::{Cancellation, ClaimOutcome, LiveClaim, Task};
use super::{MAX_CONFLICTS, TaskError, TaskPhase, Tasks};
use crate::issue::load_issue;

/// The longest note or result, in characters.
const MAX_NOTE_CHARS: usize = 4_000;
/// Number of claims of a principal that one read returns.
const PAGE_CLAIMS: usize = 100;

/// What a worker reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// It works on the task. The lease is extended.
    Heartbeat,
    /// The task is done.
    Complete,
    /// The worker tried and failed. The task is assignable again, unless this was the last attempt.
    Fail,
    /// The worker gives the task back without having failed.
    Release,
}

impl ReportKind {
    fn outcome(self) -> Option<ClaimOutcome> {
        match self {
            ReportKind::Heartbeat => None,
            ReportKind::Complete => Some(ClaimOutcome::Completed),
            ReportKind::Fail => Some(ClaimOutcome::Failed),
            ReportKind::Release => Some(ClaimOutcome::Released),
        }
    }
}

/// A report about a claim.
#[derive(Debug, Clone)]
pub struct TaskReport {
    /// What is reported.
    pub kind: ReportKind,
    /// The fence of the claim.
    pub fence: u64,
    /// What the worker says about it.
    pub note: Option<String>,
    /// What the worker made, such as the address of a pull request.
    pub result: Option<String>,
}

/// The answer to a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportOutcome {
    /// How long the lease lasts from now on. Zero after the end of the claim.
    pub lease: TimeDelta,
    /// When the lease ends, UTC, or when the claim ended.
    pub lease_until: DateTime<Utc>,
    /// Why the worker must stop. `None` if it can go on.
    pub cancel: Option<Cancellation>,
}

impl Tasks {
    /// Takes a worker's report. A repeated report has the answer of the first one. A report after the end of the lease
    /// counts until another worker has got the issue.
    ///
    /// # Errors
    /// [`TaskError::Stale`] if the fence is not that of the claim, or another claim has a greater one.
    /// [`TaskError::Ended`] if the claim has ended in another way, or is cancelled and completed.
    /// [`TaskError::NotFound`] if there is no such claim, or somebody else holds it. If the store fails.
    pub async fn report(
        &self,
        principal: &Principal,
        claim_id: &ClaimId,
        report: &TaskReport,
    ) -> Result<ReportOutcome, TaskError> {
        report.validate()?;
        let task = TaskRef { org: claim_id.org.clone(), repo_id: claim_id.repo_id, number: claim_id.number };
        for _ in 0..MAX_CONFLICTS {
            let now = self.clock.now();
            let Some((before, revision)) = load_task(&*self.records, &task, now).await? else {
                return Err(TaskError::NotFound(format!("there is no claim {claim_id}")));
            };
            let claim = match find_claim(&before, principal, claim_id, report.fence)? {
                FoundClaim::Live(claim) => claim,
                FoundClaim::Ended(last) if report.kind.outcome() == Some(last.outcome) => {
                    let (lease, lease_until) = (TimeDelta::zero(), last.at);
                    return Ok(ReportOutcome { lease, lease_until, cancel: last.cancelled });
                }
                FoundClaim::Ended(last) => return Err(ended(claim_id, last.outcome.as_str())),
            };
            let cancelled = claim.cancelled;
            let mut after = before.clone();
            let rules = self.rules(&task.org, now).await?;
            let (mut events, mut refused) = (Vec::new(), None);
            match report.kind.outcome() {
                None => after.extend_lease(&rules, now),
                Some(outcome) => {
                    let issue = load_issue(&*self.records, &task.org, task.repo_id, task.number, now).await?;
                    let issue = issue.map(|(issue, _)| issue);
                    // The worker may have closed the issue itself. Otherwise its work is not wanted.
                    let counts = cancelled.is_none_or(|why| why == Cancellation::Closed);
                    let outcome = match outcome {
                        ClaimOutcome::Completed if !counts => {
                            refused = cancelled;
                            ClaimOutcome::Released
                        }
                        outcome => outcome,
                    };
                    let texts = (report.note.clone(), report.result.clone());
                    after.end_claim(outcome, texts, (issue.as_ref(), &rules), now);
                    events.push(TaskEvent::Ended(outcome));
                }
            }
            let outcome = ReportOutcome::of(&after, cancelled, now);
            let change = TaskChange { before: Some((before, revision)), after, events };
            if change.is_empty() || self.commit(&change, &principal.into(), now).await? {
                return match refused {
                    Some(why) => Err(ended(claim_id, why.as_str())),
                    None => Ok(outcome),
                };
            }
        }
        Err(TaskError::Busy)
    }

    /// Makes a task assignable again that had failed too often or was completed. Returns it.
    ///
    /// # Errors
    /// If there is no such task, a worker has it, or the store fails.
    pub async fn requeue(
        &self,
        principal: &str,
        org: &str,
        repo_id: i64,
        number: i64,
    ) -> Result<Task, TaskError> {
        let task = TaskRef { org: org.to_owned(), repo_id, number };
        for _ in 0..MAX_CONFLICTS {
            let now = self.clock.now();
            let Some((before, revision)) = load_task(&*self.records, &task, now).await? else {
                return Err(TaskError::NotFound(format!("issue {number} is no task")));
            };
            if let Some(claim) = before.live_claim() {
                return Err(TaskError::Invalid(format!(
                    "worker {} has issue {number} until {}: requeue it when the claim has ended",
                    claim.worker,
                    claim.lease_until.format("%Y-%m-%d %H:%M UTC")
                )));
            }
            let mut after = before.clone();
            after.reset();
            let issue = load_issue(&*self.records, &task.org, task.repo_id, task.number, now).await?;
            if let Some((issue, _)) = &issue {
                after.observe(issue, &self.rules(&task.org, now).await?, now);
            }
            let change = TaskChange {
                before: Some((before, revision)),
                after: after.clone(),
                events: vec![TaskEvent::Requeued],
            };
            if change.is_empty() || self.commit(&change, &principal.into(), now).await? {
                return Ok(after);
            }
        }
        Err(TaskError::Busy)
    }

    /// Cancels all claims of a principal whose token was revoked. `by` is who revoked it. Returns the number of claims.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn cancel_claims_of(&self, principal: &str, by: &str) -> Result<usize, TaskError> {
        let mut range = worker_range(principal)?;
        let mut cancelled = 0;
        loop {
            let page = self.records.range(&range, PAGE_CLAIMS, self.clock.now()).await?;
            for (_, record) in &page {
                cancelled += usize::from(self.cancel_claim(&parse_entry(record)?, principal, by).await?);
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE_CLAIMS => range = range.after(last),
                _ => return Ok(cancelled),
            }
        }
    }

    async fn cancel_claim(&self, task: &TaskRef, principal: &str, by: &str) -> Result<bool, TaskError> {
        const REASON: Cancellation = Cancellation::TokenRevoked;
        for _ in 0..MAX_CONFLICTS {
            let now = self.clock.now();
            let Some((before, revision)) = load_task(&*self.records, task, now).await? else {
                return Ok(false);
            };
            let mut after = before.clone();
            let is_theirs = before.live_claim().is_some_and(|claim| claim.principal == principal);
            if !is_theirs || !after.cancel_claim(REASON, now) {
                return Ok(false);
            }
            let change = TaskChange {
                before: Some((before, revision)),
                after,
                events: vec![TaskEvent::Cancelled(REASON)],
            };
            if self.commit(&change, &by.into(), now).await? {
                return Ok(true);
            }
        }
        Err(TaskError::Busy)
    }

    /// Checks that the principal holds a live claim with this fence, for what changes no task.
    ///
    /// # Errors
    /// As [`Tasks::report`].
    pub(super) async fn check_live_claim(
        &self,
        principal: &Principal,
        claim_id: &ClaimId,
        fence: u64,
        now: DateTime<Utc>,
    ) -> Result<(), TaskError> {
        let task = TaskRef { org: claim_id.org.clone(), repo_id: claim_id.repo_id, number: claim_id.number };
        let Some((task, _)) = load_task(&*self.records, &task, now).await? else {
            return Err(TaskError::NotFound(format!("there is no claim {claim_id}")));
        };
        match find_claim(&task, principal, claim_id, fence)? {
            FoundClaim::Live(_) => Ok(()),
            FoundClaim::Ended(last) => Err(ended(claim_id, last.outcome.as_str())),
        }
    }
}

/// A claim that a report is about.
enum FoundClaim<'a> {
    Live(&'a LiveClaim),
    Ended(&'a super::EndedClaim),
}

/// Finds a claim of a task by its id.
fn find_claim<'a>(
    task: &'a Task,
    principal: &Principal,
    claim_id: &ClaimId,
    fence: u64,
) -> Result<FoundClaim<'a>, TaskError> {
    let not_found = || TaskError::NotFound(format!("there is no claim {claim_id}"));
    let is_holder = |holder: &str| holder == principal.id || principal.role == Role::Admin;
    if claim_id.fence > task.fence || !task.is_in(&principal.scope) {
        return Err(not_found());
    }
    if fence != claim_id.fence || claim_id.fence < task.fence {
        return Err(TaskError::Stale(format!(
            "the fence {fence} is stale: the issue was claimed again, or the fence is not the one of the claim; stop \
             working on it, and request another task"
        )));
    }
    if let TaskPhase::Claimed(claim) = &task.phase {
        let is_this = claim.nonce == claim_id.nonce && is_holder(&claim.principal);
        return if is_this { Ok(FoundClaim::Live(claim)) } else { Err(not_found()) };
    }
    match &task.last {
        Some(last) if last.nonce == claim_id.nonce && is_holder(&last.principal) => {
            Ok(FoundClaim::Ended(last))
        }
        _ => Err(not_found()),
    }
}

fn ended(claim_id: &ClaimId, why: &str) -> TaskError {
    TaskError::Ended(format!(
        "the claim {claim_id} has ended ({why}): stop working on it, and request another task"
    ))
}

impl ReportOutcome {
    fn of(task: &Task, cancel: Option<Cancellation>, now: DateTime<Utc>) -> Self {
        match task.live_claim() {
            Some(claim) => {
                let lease = (claim.lease_until - now).max(TimeDelta::zero());
                ReportOutcome { lease, lease_until: claim.lease_until, cancel }
            }
            None => ReportOutcome { lease: TimeDelta::zero(), lease_until: now, cancel },
        }
    }
}

impl TaskReport {
    fn validate(&self) -> Result<(), TaskError> {
        for (name, text) in [("note", &self.note), ("result", &self.result)] {
            if text.as_ref().is_some_and(|text| text.chars().count() > MAX_NOTE_CHARS) {
                return Err(TaskError::Invalid(format!(
                    "{name} is too long: send at most {MAX_NOTE_CHARS} characters, and the rest to the log"
                )));
            }
        }
        Ok(())
    }
}
