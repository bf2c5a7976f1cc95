//! How a worker gets a task.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gam_access::{Principal, RepoName, Requester};
use gam_model::TaskRules;
use gam_store::{
    CommitOutcome, Expectation, RecordCommit, RecordCommitId, RecordRange, commit_until_answered,
};

use super::claim_id::ClaimId;
use super::entries::{
    LeaseEntry, QueueEntry, TaskChange, TaskEvent, TaskRef, lease_range, load_task, parse_entry,
    queue_ranges, worker_key,
};
use super::rules::login_of_worker;
use super::task::{ClaimOutcome, Task};
use super::{MAX_CONFLICTS, TaskError, TaskPhase, Tasks};
use crate::SERVICE;
use crate::issue::{CachedIssue, load_issue};
use crate::repo::load_org;

/// Number of the first issues of the queue among which one is picked at random after another worker got the first.
const CANDIDATES: usize = 10;
/// How often a request is tried again after another worker got the picked issue.
const MAX_RETRIES: u32 = 4;
/// Number of entries of the index that one read returns.
const PAGE_ENTRIES: usize = 100;
/// Greatest number of entries that a request reads of each range, to find some that the worker can do.
const MAX_READ_ENTRIES: usize = 5_000;
/// Greatest number of expired claims of an organization that a request ends.
const MAX_EXPIRED_CLAIMS: usize = 10;
/// After how long to request again if there is nothing to do.
const RETRY_IDLE: Duration = Duration::from_secs(30);
/// After how long to request again if others were faster.
const RETRY_BUSY: Duration = Duration::from_secs(1);
/// The longest name of a worker, in characters.
const MAX_WORKER_CHARS: usize = 100;
/// The most skills, and the most repositories, of a request.
const MAX_LIST_ITEMS: usize = 100;
/// The longest skill, in characters.
const MAX_SKILL_CHARS: usize = 100;

/// What a worker can do.
#[derive(Debug, Clone)]
pub struct WorkRequest {
    /// The name of the worker: a login, and `/` and a suffix if it does several tasks at once. A worker has one claim.
    pub worker: String,
    /// Its skills, without `skill:`. Case does not matter.
    pub skills: Vec<String>,
    /// The repositories that it works on. All in scope if it is empty.
    pub repos: Vec<RepoName>,
}

/// A claim that a worker holds, and the issue that it is about.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The id of the claim.
    pub claim_id: ClaimId,
    /// When the lease ends, UTC.
    pub lease_until: DateTime<Utc>,
    /// How long the lease lasts from now on.
    pub lease: TimeDelta,
    /// The number of this attempt, from 1. Claims that were released or cancelled do not count.
    pub attempt: u32,
    /// The storage key of the organization.
    pub org: String,
    /// The issue.
    pub issue: CachedIssue,
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub enum RequestOutcome {
    /// The worker holds this claim: a new one, or the one that it had.
    Assigned(Box<Assignment>),
    /// There is no task for the worker now.
    Nothing {
        /// After how long to request again.
        retry_after: Duration,
    },
}

/// How an attempt to claim one issue ended.
enum ClaimAttempt {
    Claimed(Box<Assignment>),
    /// Somebody else got or changed it.
    Lost,
    /// The index was behind: the issue is not assignable, and has no entry any more.
    Withdrawn,
}

impl Tasks {
    /// Gives a worker a task of one of these organizations: the claim that it holds, or a new one. `orgs` are storage keys
    /// that the caller has found by the scope of the principal and the request.
    ///
    /// # Errors
    /// If the request is invalid or the store fails.
    pub async fn request(
        &self,
        principal: &Principal,
        request: &WorkRequest,
        orgs: &[String],
    ) -> Result<RequestOutcome, TaskError> {
        request.validate()?;
        let skills: BTreeSet<String> =
            request.skills.iter().map(|skill| skill.trim().to_lowercase()).collect();
        let (mut retries, mut withdrawn) = (0, 0);
        loop {
            if let Some(assignment) = self.resume(principal, &request.worker).await? {
                return Ok(RequestOutcome::Assigned(Box::new(assignment)));
            }
            let (mut candidates, mut rules) = (Vec::new(), BTreeMap::new());
            for org in orgs {
                self.end_expired_claims(org).await?;
                let state = load_org(&*self.records, org, self.clock.now()).await?.0;
                if state.is_suspended {
                    continue;
                }
                rules.insert(org.as_str(), state.task_rules());
                candidates.extend(self.candidates(org, principal, request, &skills).await?);
            }
            candidates.sort();
            candidates.truncate(CANDIDATES);
            if candidates.is_empty() {
                return Ok(RequestOutcome::Nothing { retry_after: RETRY_IDLE });
            }
            // The order counts, unless several workers request at the same moment.
            let pick = if retries == 0 { 0 } else { (self.pick)(candidates.len()).min(candidates.len() - 1) };
            let picked = candidates.swap_remove(pick);
            let rules = &rules[picked.task.org.as_str()];
            match self.try_claim(&picked.task, rules, (&request.worker, principal)).await? {
                ClaimAttempt::Claimed(assignment) => return Ok(RequestOutcome::Assigned(assignment)),
                ClaimAttempt::Withdrawn if withdrawn < MAX_READ_ENTRIES => withdrawn += 1,
                ClaimAttempt::Lost if retries < MAX_RETRIES => retries += 1,
                _ => return Ok(RequestOutcome::Nothing { retry_after: RETRY_BUSY }),
            }
        }
    }

    /// Returns the claim that the worker holds, with an extended lease: it repeats a request whose answer was lost, or was
    /// started again. Ends a cancelled claim: who requests a task does not work on it any more.
    async fn resume(&self, principal: &Principal, worker: &str) -> Result<Option<Assignment>, TaskError> {
        for _ in 0..MAX_CONFLICTS {
            let now = self.clock.now();
            let Some(record) = self.records.get(&worker_key(&principal.id, worker)?, now).await? else {
                return Ok(None);
            };
            let task: TaskRef = parse_entry(&record)?;
            let Some((before, revision)) = load_task(&*self.records, &task, now).await? else {
                // The organization was removed, and its tasks with it.
                let commit = RecordCommit::new(RecordCommitId::random())
                    .delete(worker_key(&principal.id, worker)?, Expectation::Revision(record.revision));
                commit_until_answered(&*self.records, &commit, now).await?;
                return Ok(None);
            };
            let TaskPhase::Claimed(claim) = &before.phase else { continue };
            if claim.worker != worker || claim.principal != principal.id {
                continue;
            }
            let issue = load_issue(&*self.records, &task.org, task.repo_id, task.number, now).await?;
            let issue = issue.map(|(issue, _)| issue);
            let rules = self.rules(&task.org, now).await?;
            let mut after = before.clone();
            // The claim can be over for long. Nobody took it over, so it goes on.
            let resumed = issue.as_ref().filter(|_| claim.cancelled.is_none());
            let events = match resumed {
                Some(_) => {
                    after.extend_lease(&rules, now);
                    Vec::new()
                }
                None => {
                    let outcome = ClaimOutcome::Released;
                    after.end_claim(outcome, (None, None), (issue.as_ref(), &rules), now);
                    vec![TaskEvent::Ended(outcome)]
                }
            };
            let assignment = resumed.and_then(|issue| Assignment::new(&after, issue.clone(), now));
            let change = TaskChange { before: Some((before, revision)), after, events };
            if change.is_empty() || self.commit(&change, &principal.into(), now).await? {
                return Ok(assignment);
            }
        }
        Err(TaskError::Busy)
    }

    /// Ends claims whose leases are over for long, so that their issues are assignable again.
    async fn end_expired_claims(&self, org: &str) -> Result<(), TaskError> {
        let now = self.clock.now();
        let leases = self.records.range(&lease_range(org)?, MAX_EXPIRED_CLAIMS, now).await?;
        for (_, record) in leases {
            let lease: LeaseEntry = parse_entry(&record)?;
            if lease.from > now {
                break;
            }
            self.end_if_expired(&lease.task, now).await?;
        }
        Ok(())
    }

    /// Ends a claim if its lease is over for long, or else moves its entry in the index to the end of the lease. If
    /// somebody changes the task meanwhile, the next request tries again.
    async fn end_if_expired(&self, task: &TaskRef, now: DateTime<Utc>) -> Result<(), TaskError> {
        let Some((before, revision)) = load_task(&*self.records, task, now).await? else { return Ok(()) };
        let mut after = before.clone();
        let TaskPhase::Claimed(claim) = &mut after.phase else { return Ok(()) };
        let mut events = Vec::new();
        if claim.can_be_taken_over(now) {
            let issue = load_issue(&*self.records, &task.org, task.repo_id, task.number, now).await?;
            let issue = issue.map(|(issue, _)| issue);
            let rules = self.rules(&task.org, now).await?;
            after.end_claim(ClaimOutcome::Expired, (None, None), (issue.as_ref(), &rules), now);
            events.push(TaskEvent::Ended(ClaimOutcome::Expired));
        } else {
            claim.indexed_until = claim.lease_until;
        }
        let change = TaskChange { before: Some((before, revision)), after, events };
        if !change.is_empty() {
            self.commit(&change, &SERVICE.into(), now).await?;
        }
        Ok(())
    }

    /// Returns the first issues of an organization that the worker can do.
    async fn candidates(
        &self,
        org: &str,
        principal: &Principal,
        request: &WorkRequest,
        skills: &BTreeSet<String>,
    ) -> Result<Vec<QueueEntry>, TaskError> {
        let can_do = |entry: &QueueEntry| {
            let is_requested = |repo: &RepoName| repo.org == org && repo.repo == entry.repo.to_lowercase();
            entry.skills.iter().all(|skill| skills.contains(skill))
                && (request.repos.is_empty() || request.repos.iter().any(is_requested))
                && principal.scope.includes_repo(org, &entry.repo)
        };
        let mut candidates = Vec::new();
        for range in queue_ranges(org, &login_of_worker(&request.worker))? {
            candidates.extend(self.first_entries(range, can_do).await?);
        }
        Ok(candidates)
    }

    /// Returns the first entries of a range that fulfil a condition.
    async fn first_entries(
        &self,
        mut range: RecordRange,
        is_wanted: impl Fn(&QueueEntry) -> bool,
    ) -> Result<Vec<QueueEntry>, TaskError> {
        let (mut entries, mut read) = (Vec::new(), 0);
        let mut limit = CANDIDATES;
        while read < MAX_READ_ENTRIES {
            let page = self.records.range(&range, limit, self.clock.now()).await?;
            for (_, record) in &page {
                entries.extend(Some(parse_entry(record)?).filter(&is_wanted));
            }
            read += page.len();
            match page.last() {
                Some((last, _)) if page.len() == limit && entries.len() < CANDIDATES => {
                    range = range.after(last);
                }
                _ => break,
            }
            limit = PAGE_ENTRIES;
        }
        entries.truncate(CANDIDATES);
        Ok(entries)
    }

    async fn try_claim(
        &self,
        task: &TaskRef,
        rules: &TaskRules,
        (worker, principal): (&str, &Principal),
    ) -> Result<ClaimAttempt, TaskError> {
        let now = self.clock.now();
        let Some((before, revision)) = load_task(&*self.records, task, now).await? else {
            return Ok(ClaimAttempt::Lost);
        };
        if !before.is_assignable() {
            return Ok(ClaimAttempt::Lost);
        }
        let issue = load_issue(&*self.records, &task.org, task.repo_id, task.number, now).await?;
        let Some((issue, issue_revision)) = issue else { return Ok(ClaimAttempt::Lost) };
        let mut after = before.clone();
        // The rules may have changed since the issue was stored.
        after.observe(&issue, rules, now);
        let commit = RecordCommit::new(RecordCommitId::random());
        if !after.is_assignable() {
            let change = TaskChange { before: Some((before, revision)), after, events: Vec::new() };
            return Ok(match self.commit(&change, &SERVICE.into(), now).await? {
                true => ClaimAttempt::Withdrawn,
                false => ClaimAttempt::Lost,
            });
        }
        after.claim((worker, &principal.id), ClaimId::nonce_of(commit.id()), rules, now);
        let issue_key = issue.key(&task.org)?;
        let assignment = Assignment::new(&after, issue, now);
        let change = TaskChange { before: Some((before, revision)), after, events: vec![TaskEvent::Claimed] };
        // The worker gets the issue as it is, not as it was before an edit.
        let commit = commit.check(issue_key, Expectation::Revision(issue_revision));
        let commit = change.add_to(commit, &principal.into(), now)?;
        Ok(match (commit_until_answered(&*self.records, &commit, now).await?, assignment) {
            (CommitOutcome::Committed, Some(assignment)) => ClaimAttempt::Claimed(Box::new(assignment)),
            _ => ClaimAttempt::Lost,
        })
    }

    /// Commits a change. Returns whether it was made: not if somebody else changed the task first.
    pub(super) async fn commit(
        &self,
        change: &TaskChange,
        requester: &Requester,
        now: DateTime<Utc>,
    ) -> Result<bool, TaskError> {
        let commit = change.add_to(RecordCommit::new(RecordCommitId::random()), requester, now)?;
        Ok(commit_until_answered(&*self.records, &commit, now).await? == CommitOutcome::Committed)
    }
}

impl Assignment {
    fn new(task: &Task, issue: CachedIssue, now: DateTime<Utc>) -> Option<Self> {
        Some(Assignment {
            claim_id: task.claim_id()?,
            lease_until: task.live_claim()?.lease_until,
            lease: task.live_claim()?.lease_until - now,
            attempt: task.failures + 1,
            org: task.org.clone(),
            issue,
        })
    }
}

impl WorkRequest {
    fn validate(&self) -> Result<(), TaskError> {
        let invalid = |text: String| Err(TaskError::Invalid(text));
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_./:[]@".contains(c);
        let length = self.worker.chars().count();
        if !(1..=MAX_WORKER_CHARS).contains(&length) || !self.worker.chars().all(is_allowed) {
            return invalid(format!(
                "invalid worker: expected a login, or a login, `/` and a suffix, of at most {MAX_WORKER_CHARS} letters, \
                 digits and -_./:[]@, such as ann/2"
            ));
        }
        if self.skills.len() > MAX_LIST_ITEMS || self.repos.len() > MAX_LIST_ITEMS {
            return invalid(format!("too many skills or repos: send at most {MAX_LIST_ITEMS} of each"));
        }
        if self.skills.iter().any(|skill| skill.chars().count() > MAX_SKILL_CHARS) {
            return invalid(format!("invalid skill: expected at most {MAX_SKILL_CHARS} characters"));
        }
        Ok(())
    }
}
