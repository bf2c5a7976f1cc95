//! A task and its state machine: pure, with the time as an argument.

use chrono::{DateTime, TimeDelta, Utc};
use gam_access::Scope;
use gam_model::TaskRules;
use serde::{Deserialize, Serialize};

use super::TAKEOVER_AFTER;
use super::rules::{Unassignable, check_issue, lease, priority_level, required_skills};
use crate::issue::CachedIssue;

/// The version of the record. A program refuses newer ones.
pub(super) const FORMAT: u32 = 1;
/// How long the record of a task stays after its last change, if the issue is not open.
const FINISHED_TASK_LIFETIME: TimeDelta = TimeDelta::days(90);

/// Why a claim was cancelled while its worker holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancellation {
    /// The issue was closed.
    Closed,
    /// The issue lost its task label, or got one that excludes it.
    Unlabelled,
    /// Somebody without write permission edited the title or the body.
    Edited,
    /// The issue was deleted or transferred.
    Gone,
    /// The token of the worker was revoked.
    TokenRevoked,
    /// GitHub suspended the app's installation, so nothing is known of the issue any more.
    Suspended,
}

impl Cancellation {
    /// Returns the name in answers and in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Cancellation::Closed => "closed",
            Cancellation::Unlabelled => "unlabelled",
            Cancellation::Edited => "edited",
            Cancellation::Gone => "gone",
            Cancellation::TokenRevoked => "token_revoked",
            Cancellation::Suspended => "suspended",
        }
    }

    /// Returns the reason to cancel a claim of an issue that is unassignable for this reason. `None` if a worker goes on:
    /// its own work may have opened the pull request or locked the issue.
    fn of(reason: Unassignable) -> Option<Self> {
        match reason {
            Unassignable::Gone => Some(Cancellation::Gone),
            Unassignable::Closed => Some(Cancellation::Closed),
            Unassignable::Unlabelled | Unassignable::Excluded => Some(Cancellation::Unlabelled),
            Unassignable::Edited => Some(Cancellation::Edited),
            Unassignable::Locked
            | Unassignable::Blocked
            | Unassignable::Unfetched
            | Unassignable::HasPullRequest
            | Unassignable::TooManyAttempts
            | Unassignable::Completed => None,
        }
    }
}

/// A claim that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveClaim {
    /// The end of the claim's id.
    pub nonce: String,
    /// The name of the worker.
    pub worker: String,
    /// Who claimed it: [`gam_access::Principal::id`].
    pub principal: String,
    /// When it was claimed, UTC, by this service's clock.
    pub claimed_at: DateTime<Utc>,
    /// When the lease ends, UTC.
    pub lease_until: DateTime<Utc>,
    /// The time under which the index of leases has the claim, UTC. It can be earlier than the end of the lease.
    pub(super) indexed_until: DateTime<Utc>,
    /// Why it was cancelled. `None` if it was not.
    pub cancelled: Option<Cancellation>,
}

impl LiveClaim {
    /// Returns whether the lease is over at `now`.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.lease_until <= now
    }

    /// Returns whether the claim can be ended for another worker.
    pub(super) fn can_be_taken_over(&self, now: DateTime<Utc>) -> bool {
        self.lease_until + TAKEOVER_AFTER <= now
    }
}

/// How a claim ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimOutcome {
    /// The worker completed the task.
    Completed,
    /// The worker reported a failure.
    Failed,
    /// The worker gave the task back.
    Released,
    /// The lease was over for [`TAKEOVER_AFTER`].
    Expired,
}

impl ClaimOutcome {
    /// Returns the name in answers and in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            ClaimOutcome::Completed => "completed",
            ClaimOutcome::Failed => "failed",
            ClaimOutcome::Released => "released",
            ClaimOutcome::Expired => "expired",
        }
    }
}

/// The last claim of a task that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedClaim {
    /// The claim's fence.
    pub fence: u64,
    /// The end of the claim's id.
    pub nonce: String,
    /// The name of the worker.
    pub worker: String,
    /// Who had claimed it.
    pub principal: String,
    /// How it ended.
    pub outcome: ClaimOutcome,
    /// Why it had been cancelled. `None` if it was not.
    pub cancelled: Option<Cancellation>,
    /// What the worker said about it.
    pub note: Option<String>,
    /// What the worker made, such as the address of a pull request.
    pub result: Option<String>,
    /// When it ended, UTC, by this service's clock.
    pub at: DateTime<Utc>,
}

/// Who has a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskPhase {
    /// Nobody.
    Open,
    /// A worker.
    Claimed(LiveClaim),
    /// Nobody: a worker has completed it.
    Completed,
}

/// Where the index of assignable issues has a task. While a task has a place, workers can get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct QueuePlace {
    /// The level of its priority: see [`priority_level`].
    #[serde(alias = "due")]
    pub(super) priority: i64,
    /// When the issue was created, in seconds since 1970.
    pub(super) created: i64,
    /// The logins that can get it, in lower case. Everybody if it is empty.
    pub(super) assignees: Vec<String>,
    /// The skills that a worker needs, in lower case.
    pub(super) skills: Vec<String>,
}

/// What the store holds about an issue that has or had a task label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Version of this record.
    pub(super) format: u32,
    /// The storage key of the organization.
    pub org: String,
    /// GitHub's id of the repository.
    pub repo_id: i64,
    /// The latest known name of the repository.
    pub repo: String,
    /// The number of the issue.
    pub number: i64,
    /// The title of the issue.
    pub title: String,
    /// Whether the issue is open and in its repository.
    pub is_open: bool,
    /// The greatest fence that a claim of the issue has had. 0 before the first.
    pub fence: u64,
    /// Number of claims that failed or expired since the issue was labelled or requeued last.
    pub failures: u32,
    /// Who has it.
    pub phase: TaskPhase,
    /// The last claim that ended.
    pub last: Option<EndedClaim>,
    /// Why no worker can get it. `None` if one can, or one has it.
    pub waits_for: Option<Unassignable>,
    pub(super) place: Option<QueuePlace>,
    /// When it was changed last, UTC, by this service's clock. Heartbeats do not count.
    pub changed_at: DateTime<Utc>,
}

impl Task {
    /// Returns whether its repository is in the scope.
    pub fn is_in(&self, scope: &Scope) -> bool {
        scope.includes_repo(&self.org, &self.repo)
    }

    /// Creates the task of an issue that nobody has claimed.
    pub(super) fn new(org: &str, issue: &CachedIssue, now: DateTime<Utc>) -> Self {
        Task {
            format: FORMAT,
            org: org.to_owned(),
            repo_id: issue.repo_id,
            repo: issue.repo.clone(),
            number: issue.details.number,
            title: issue.details.title.clone(),
            is_open: issue.is_open(),
            fence: 0,
            failures: 0,
            phase: TaskPhase::Open,
            last: None,
            waits_for: None,
            place: None,
            changed_at: now,
        }
    }

    /// Returns the claim that a worker holds.
    pub fn live_claim(&self) -> Option<&LiveClaim> {
        match &self.phase {
            TaskPhase::Claimed(claim) => Some(claim),
            TaskPhase::Open | TaskPhase::Completed => None,
        }
    }

    /// Returns whether workers can get it.
    pub fn is_assignable(&self) -> bool {
        self.place.is_some()
    }

    /// Takes over what the cache of issues says. A claim of an issue that is no longer to be worked on is cancelled. An
    /// issue that was labelled after its last claim ended begins again. Returns the reason of a cancellation.
    pub(super) fn observe(
        &mut self,
        issue: &CachedIssue,
        rules: &TaskRules,
        now: DateTime<Utc>,
    ) -> Option<Cancellation> {
        self.repo.clone_from(&issue.repo);
        self.title.clone_from(&issue.details.title);
        self.is_open = issue.is_open();
        let check = check_issue(rules, issue);
        if let TaskPhase::Claimed(claim) = &mut self.phase {
            let reason = check.err().and_then(Cancellation::of).filter(|_| claim.cancelled.is_none());
            if let Some(reason) = reason {
                claim.cancelled = Some(reason);
                self.changed_at = now;
            }
            return reason;
        }
        if self.was_labelled_again(issue, rules) {
            self.reset();
        }
        let place = self.check_attempts(rules).and(check).map(|()| QueuePlace::of(issue, rules));
        self.set_place(place, now);
        None
    }

    /// Returns whether somebody has set a task label since the last claim ended.
    fn was_labelled_again(&self, issue: &CachedIssue, rules: &TaskRules) -> bool {
        let Some(last) = &self.last else { return false };
        let labels = rules.labels_any.iter().filter_map(|name| issue.label(name));
        let mut vouchers =
            labels.filter_map(|label| issue.vouchers.iter().find(|voucher| voucher.label_id == label.id));
        vouchers.any(|voucher| voucher.at > last.at)
    }

    /// Lets workers get a task again that was completed or had failed too often. [`Task::observe`] decides whether they
    /// can.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
        if self.phase == TaskPhase::Completed {
            self.phase = TaskPhase::Open;
        }
    }

    fn check_attempts(&self, rules: &TaskRules) -> Result<(), Unassignable> {
        match self.phase {
            TaskPhase::Completed => Err(Unassignable::Completed),
            _ if self.failures >= rules.max_attempts => Err(Unassignable::TooManyAttempts),
            _ => Ok(()),
        }
    }

    fn set_place(&mut self, place: Result<QueuePlace, Unassignable>, now: DateTime<Utc>) {
        let (place, waits_for) = match place {
            Ok(place) => (Some(place), None),
            Err(reason) => (None, Some(reason)),
        };
        if self.place != place || self.waits_for != waits_for {
            self.changed_at = now;
        }
        (self.place, self.waits_for) = (place, waits_for);
    }

    /// Gives the task to a worker. It must be assignable.
    pub(super) fn claim(
        &mut self,
        (worker, principal): (&str, &str),
        nonce: String,
        rules: &TaskRules,
        now: DateTime<Utc>,
    ) {
        debug_assert!(self.is_assignable(), "only assignable tasks are claimed");
        let lease_until = now + lease(rules);
        self.fence += 1;
        self.place = None;
        self.waits_for = None;
        self.changed_at = now;
        self.phase = TaskPhase::Claimed(LiveClaim {
            nonce,
            worker: worker.to_owned(),
            principal: principal.to_owned(),
            claimed_at: now,
            lease_until,
            indexed_until: lease_until,
            cancelled: None,
        });
    }

    /// Extends the lease of a live claim. That of a cancelled claim stays.
    pub(super) fn extend_lease(&mut self, rules: &TaskRules, now: DateTime<Utc>) {
        if let TaskPhase::Claimed(claim) = &mut self.phase
            && claim.cancelled.is_none()
        {
            claim.lease_until = claim.lease_until.max(now + lease(rules));
        }
    }

    /// Ends a live claim. `issue` is the cached issue, or `None` if the cache has none any more. Does nothing without a
    /// live claim.
    pub(super) fn end_claim(
        &mut self,
        outcome: ClaimOutcome,
        (note, result): (Option<String>, Option<String>),
        (issue, rules): (Option<&CachedIssue>, &TaskRules),
        now: DateTime<Utc>,
    ) {
        let TaskPhase::Claimed(claim) = std::mem::replace(&mut self.phase, TaskPhase::Open) else { return };
        let is_failure = matches!(outcome, ClaimOutcome::Failed | ClaimOutcome::Expired);
        // The worker is not to blame for a cancelled claim.
        if is_failure && claim.cancelled.is_none() {
            self.failures += 1;
        }
        if outcome == ClaimOutcome::Completed {
            self.phase = TaskPhase::Completed;
        }
        self.last = Some(EndedClaim {
            fence: self.fence,
            nonce: claim.nonce,
            worker: claim.worker,
            principal: claim.principal,
            outcome,
            cancelled: claim.cancelled,
            note,
            result,
            at: now,
        });
        self.changed_at = now;
        match issue {
            Some(issue) => _ = self.observe(issue, rules, now),
            None => {
                self.is_open = false;
                self.set_place(Err(Unassignable::Gone), now);
            }
        }
    }

    /// Cancels a live claim. Returns whether it was not cancelled before.
    pub(super) fn cancel_claim(&mut self, reason: Cancellation, now: DateTime<Utc>) -> bool {
        let TaskPhase::Claimed(claim) = &mut self.phase else { return false };
        if claim.cancelled.is_some() {
            return false;
        }
        claim.cancelled = Some(reason);
        self.changed_at = now;
        true
    }

    /// Returns from when on the record is absent. `None` while the issue is open or somebody works on it.
    pub(super) fn expires(&self) -> Option<DateTime<Utc>> {
        let is_finished = !self.is_open && self.live_claim().is_none();
        is_finished.then(|| self.changed_at + FINISHED_TASK_LIFETIME)
    }
}

impl QueuePlace {
    fn of(issue: &CachedIssue, rules: &TaskRules) -> Self {
        let mut assignees: Vec<String> =
            issue.details.assignees.iter().map(|user| user.login.to_lowercase()).collect();
        assignees.sort();
        assignees.dedup();
        QueuePlace {
            priority: priority_level(rules, issue),
            created: issue.details.created_at.timestamp().max(0),
            assignees,
            skills: required_skills(issue),
        }
    }
}
