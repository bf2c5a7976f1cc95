//! Does what is due: prepares actions, sends requests, and looks for their results.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use gam_access::{AuditKind, AuditRow};
use gam_model::BreakerChange;
use gam_store::{CommitOutcome, Expectation, RecordCommit, RecordCommitId, RecordKey, commit_until_answered};

use super::action::{Action, ActionId, FailureCode, HEAD_CHECK_EVERY, Phase, Step};
use super::check::look;
use super::entries::{
    ActionChange, ActionEvent, DueEntry, due_range, load_action, pace_key, parse_entry, to_json,
};
use super::github::{GitHubActions, ReadErrorKind, RefusalKind, WriteOutcome};
use super::next_call::{NextCall, next_call, voided};
use super::outcome::{
    GIVE_UP_AFTER, apply_merge_status, apply_outcome, look_for_result, pause, put_off_unreachable,
};
use super::pace::Pace;
use super::prepare::{apply_head, fail_if_final, prepare, present_head};
use super::{ActionError, Actions, MAX_CONFLICTS};
use crate::SERVICE;

/// How long a process has for a request. One that has not recorded the answer by then is dead.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// How long GitHub has for a merge that it accepted.
const MAX_MERGE_TIME: TimeDelta = TimeDelta::hours(1);
/// Number of due actions that one run reads at once.
const PAGE_ENTRIES: usize = 200;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Number of actions that changed.
    pub changed: usize,
    /// Number of actions that became unknown.
    pub unknown: usize,
    /// Number of actions that wait for the pace or for GitHub.
    pub held_back: usize,
    /// Number of times that the circuit breaker of an account opened.
    pub breakers_opened: usize,
    /// When there is something to do next, UTC. `None` if nothing waits.
    pub next_due: Option<DateTime<Utc>>,
}

impl RunReport {
    fn expect_at(&mut self, due: DateTime<Utc>) {
        self.next_due = Some(self.next_due.map_or(due, |earlier| earlier.min(due)));
    }
}

/// What one look at an action did.
enum Advance {
    Nothing,
    Changed {
        is_unknown: bool,
        is_breaker_opened: bool,
    },
    /// No request of the account may be sent before this time, UTC.
    HeldBack(DateTime<Utc>),
}

impl Actions {
    /// Does everything that is due, one action after the other. Another process may do the same at the same time.
    ///
    /// # Errors
    /// If the store fails. What was sent is not sent again.
    pub async fn run_due(&self) -> Result<RunReport, ActionError> {
        let mut report = RunReport::default();
        let Some(github) = self.github.clone() else { return Ok(report) };
        self.previews.answer(&*github, self.clock.now()).await;
        let mut held_back: BTreeMap<String, DateTime<Utc>> = BTreeMap::new();
        let mut range = due_range()?;
        loop {
            let now = self.clock.now();
            let page = self.records.range(&range, PAGE_ENTRIES, now).await?;
            for (key, record) in &page {
                let Ok(entry) = parse_entry::<DueEntry>(record) else {
                    tracing::warn!(key = key.sort(), "an entry of the index of actions cannot be read");
                    continue;
                };
                if entry.due > now || self.is_stopping() {
                    report.expect_at(entry.due);
                    return Ok(report);
                }
                match self.advance(&*github, &entry, key, &mut held_back).await? {
                    Advance::Nothing => {}
                    Advance::Changed { is_unknown, is_breaker_opened } => {
                        report.changed += 1;
                        report.unknown += usize::from(is_unknown);
                        report.breakers_opened += usize::from(is_breaker_opened);
                    }
                    Advance::HeldBack(until) => {
                        report.held_back += 1;
                        report.expect_at(until);
                    }
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE_ENTRIES => range = range.after(last),
                _ => return Ok(report),
            }
        }
    }

    async fn advance(
        &self,
        github: &dyn GitHubActions,
        entry: &DueEntry,
        key: &RecordKey,
        held_back: &mut BTreeMap<String, DateTime<Utc>>,
    ) -> Result<Advance, ActionError> {
        let now = self.clock.now();
        let stored = load_action(&*self.records, &entry.id, now).await?;
        let Some((before, revision)) = stored.filter(|(action, _)| action.due == Some(entry.due)) else {
            // The organization was removed, or the entry is left over.
            let commit = RecordCommit::new(RecordCommitId::random()).delete(key.clone(), Expectation::Any);
            commit_until_answered(&*self.records, &commit, now).await?;
            return Ok(Advance::Nothing);
        };
        let mut after = before.clone();
        let events = match &before.phase {
            Phase::Requested => self.prepare(github, &mut after).await,
            Phase::Waiting { until } => check_waiting(github, &mut after, *until, now).await,
            Phase::Ready { .. } => {
                let account = github.account(&before.repo.owner);
                if let Some(until) = held_back.get(&account) {
                    return Ok(Advance::HeldBack(*until));
                }
                let advance = self.attempt(github, &account, (before, revision), after).await?;
                if let Advance::HeldBack(until) = advance {
                    held_back.insert(account, until);
                }
                return Ok(advance);
            }
            Phase::Attempting { step, .. } => {
                let why = "the service stopped before it recorded the answer".to_owned();
                look_for_result(&mut after, *step, why, now);
                Vec::new()
            }
            Phase::Checking { .. } => {
                look(github, &mut after, now).await;
                Vec::new()
            }
            Phase::Merging { uuid, since } => {
                check_merge(github, &mut after, (uuid, *since), now).await;
                Vec::new()
            }
            Phase::Succeeded | Phase::Failed { .. } | Phase::Unknown { .. } => {
                after.due = None;
                Vec::new()
            }
        };
        self.save((before, revision), after, events).await
    }

    /// Saves a change. Nothing is changed if somebody else was faster.
    async fn save(
        &self,
        before: (Action, RecordCommitId),
        after: Action,
        events: Vec<ActionEvent>,
    ) -> Result<Advance, ActionError> {
        if before.0 == after {
            return Ok(Advance::Nothing);
        }
        let is_unknown = matches!(after.phase, Phase::Unknown { .. });
        let mut change = ActionChange { before: Some(before), after, events };
        let now = self.clock.now();
        let commit = change.add_to(RecordCommit::new(RecordCommitId::random()), &SERVICE.into(), now)?;
        Ok(match commit_until_answered(&*self.records, &commit, now).await? {
            CommitOutcome::Committed => {
                report_end(&change.after);
                Advance::Changed { is_unknown, is_breaker_opened: false }
            }
            CommitOutcome::Conflict(_) => Advance::Nothing,
        })
    }

    async fn prepare(&self, github: &dyn GitHubActions, action: &mut Action) -> Vec<ActionEvent> {
        let now = self.clock.now();
        match prepare(github, action, now).await {
            Ok(()) if matches!(action.phase, Phase::Waiting { .. }) => vec![ActionEvent::ApprovalRequested],
            Ok(()) => Vec::new(),
            Err(error) => {
                if now - action.tried_since() > GIVE_UP_AFTER && action.delays > 0 {
                    action.fail(FailureCode::Unreachable, error.message);
                } else {
                    action.delay(now + pause(action.delays));
                }
                Vec::new()
            }
        }
    }

    /// Sends the next request of an action, if it may be sent now.
    async fn attempt(
        &self,
        github: &dyn GitHubActions,
        account: &str,
        before: (Action, RecordCommitId),
        mut after: Action,
    ) -> Result<Advance, ActionError> {
        let Some(step) = after.next_step() else {
            after.set_phase(Phase::Succeeded, None);
            return self.save(before, after, Vec::new()).await;
        };
        let now = self.clock.now();
        let (mut pace, pace_expectation) = self.load_pace(account, now).await?;
        if let Some((until, _)) = pace.wait(step, now) {
            return Ok(Advance::HeldBack(until));
        }
        let call = match next_call(github, &mut after, step, now).await {
            Ok(NextCall::Send(call)) => call,
            Ok(NextCall::Changed(events)) => return self.save(before, after, events).await,
            Err(error) => {
                if let Err(error) = fail_if_final(&mut after, error) {
                    put_off_unreachable(&mut after, error.message, now);
                }
                return self.save(before, after, Vec::new()).await;
            }
        };
        let now = self.clock.now();
        let lease_until = now + LEASE;
        after.attempts += 1;
        if let Phase::Ready { since, .. } = after.phase {
            after.ready_since = Some(since);
        }
        let delays = after.delays;
        after.set_phase(Phase::Attempting { step, lease_until }, Some(lease_until));
        after.delays = delays;
        pace.record_request(step, lease_until, now);
        let mut change =
            ActionChange { before: Some(before), after, events: vec![ActionEvent::Attempted(step)] };
        let commit = change.add_to(RecordCommit::new(RecordCommitId::random()), &SERVICE.into(), now)?;
        let commit = commit.put(pace_key(account)?, to_json(&pace), pace_expectation);
        if commit_until_answered(&*self.records, &commit, now).await? != CommitOutcome::Committed {
            return Ok(Advance::Nothing);
        }
        let after = change.after;
        tracing::info!(action = %after.id, step = step.as_str(), "sending a request to GitHub");
        let outcome = github.write(&after.repo, &call).await;
        self.record_outcome(&after.id, after.attempts, step, account, outcome).await
    }

    async fn load_pace(&self, account: &str, now: DateTime<Utc>) -> Result<(Pace, Expectation), ActionError> {
        match self.records.get(&pace_key(account)?, now).await? {
            Some(record) => Ok((parse_entry(&record)?, Expectation::Revision(record.revision))),
            None => Ok((Pace::default(), Expectation::Absent)),
        }
    }

    /// Records the outcome of a request. If the lease is over and another process looks for the result, the outcome ends
    /// that.
    async fn record_outcome(
        &self,
        id: &ActionId,
        attempt: u32,
        step: Step,
        account: &str,
        outcome: WriteOutcome,
    ) -> Result<Advance, ActionError> {
        for _ in 0..MAX_CONFLICTS {
            let now = self.clock.now();
            let Some((before, revision)) = load_action(&*self.records, id, now).await? else {
                return Ok(Advance::Nothing);
            };
            let is_current = match &before.phase {
                Phase::Attempting { step: current, .. } => *current == step,
                Phase::Checking { step: current, .. } => {
                    *current == step && !matches!(outcome, WriteOutcome::Unknown { .. })
                }
                _ => false,
            };
            if before.attempts != attempt || !is_current {
                return Ok(Advance::Nothing);
            }
            let mut after = before.clone();
            apply_outcome(&mut after, step, outcome.clone(), now);
            let (mut pace, expectation) = self.load_pace(account, now).await?;
            let breaker = match &outcome {
                WriteOutcome::Unknown { .. } | WriteOutcome::Refused { kind: RefusalKind::NotSent, .. } => {
                    pace.record_failure(now)
                }
                WriteOutcome::Refused { kind: RefusalKind::Limited(after), .. } => {
                    pace.record_limit(now + TimeDelta::from_std(*after).unwrap_or_default());
                    pace.record_answer()
                }
                _ => pace.record_answer(),
            };
            let mut change = ActionChange { before: Some((before, revision)), after, events: Vec::new() };
            let commit = change.add_to(RecordCommit::new(RecordCommitId::random()), &SERVICE.into(), now)?;
            let commit = commit.put(pace_key(account)?, to_json(&pace), expectation);
            let commit = match breaker_row(account, breaker, commit.id(), now) {
                Some(row) => row.add_to(commit)?,
                None => commit,
            };
            if commit_until_answered(&*self.records, &commit, now).await? == CommitOutcome::Committed {
                report_end(&change.after);
                if breaker == BreakerChange::Opened {
                    tracing::warn!(account, "GitHub fails again and again: actions wait until it answers");
                }
                let is_breaker_opened = breaker == BreakerChange::Opened;
                return Ok(Advance::Changed { is_unknown: false, is_breaker_opened });
            }
        }
        // The lease ends, and the result is looked for.
        Err(ActionError::Busy)
    }
}

fn breaker_row(
    account: &str,
    change: BreakerChange,
    commit: RecordCommitId,
    now: DateTime<Utc>,
) -> Option<AuditRow> {
    let (what, kind) = match change {
        BreakerChange::None => return None,
        BreakerChange::Opened => ("opened", AuditKind::BreakerOpened),
        BreakerChange::Closed => ("closed", AuditKind::BreakerClosed),
    };
    let id = format!("breaker:{account}:{what}:{commit}");
    Some(AuditRow::new(id, None, now, SERVICE, kind, format!("GitHub account {account}")))
}

fn report_end(action: &Action) {
    match &action.phase {
        Phase::Failed { code, reason } => {
            tracing::info!(action = %action.id, code = code.as_str(), reason, "the action failed");
        }
        Phase::Unknown { step, why } => tracing::warn!(
            action = %action.id,
            step = step.as_str(),
            why,
            "nobody knows whether the action is done: see `github-metrics action show`"
        ),
        Phase::Succeeded => tracing::info!(action = %action.id, "the action succeeded"),
        _ => {}
    }
}

/// Ends an action that waited too long, and voids approvals of a head that moved.
async fn check_waiting(
    github: &dyn GitHubActions,
    action: &mut Action,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Vec<ActionEvent> {
    if until <= now {
        let reason = format!("nobody approved it within {} hours: request it again", action.policy.hours);
        action.fail(FailureCode::ApprovalExpired, reason);
        return vec![ActionEvent::ApprovalExpired];
    }
    match present_head(github, action).await {
        Ok(Some(sha)) if apply_head(action, &sha, now) => voided(action),
        Ok(None) => {
            action.due = Some(until);
            Vec::new()
        }
        // GitHub is read again before anything is sent.
        Ok(Some(_)) | Err(_) => {
            action.due = Some(until.min(now + HEAD_CHECK_EVERY));
            Vec::new()
        }
    }
}

/// Reads from GitHub how far a merge is, and changes the action accordingly.
async fn check_merge(
    github: &dyn GitHubActions,
    action: &mut Action,
    (uuid, since): (&str, DateTime<Utc>),
    now: DateTime<Utc>,
) {
    let status = match action.number() {
        Some(number) => github.merge_status(&action.repo, number, uuid).await,
        None => Ok(None),
    };
    let is_too_late = now - since > MAX_MERGE_TIME;
    match status {
        Ok(Some(status)) if !(is_too_late && matches!(status, super::MergeStatus::Pending { .. })) => {
            apply_merge_status(action, status, now);
        }
        Err(error) if error.kind == ReadErrorKind::Temporary && !is_too_late => {
            action.delay(now + pause(action.delays));
        }
        Ok(_) | Err(_) => {
            let why = "GitHub does not say how its merge ended".to_owned();
            look_for_result(action, Step::Merge, why, now);
        }
    }
}
