//! The records of actions, and the commits that change them.

use chrono::{DateTime, Utc};
use gam_access::{AuditKind, AuditRow, Requester};
use gam_store::{
    Error as StoreError, Expectation, KeyPart, Record, RecordCommit, RecordCommitId, RecordKey, RecordKind,
    RecordRange, RecordStore, Result,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::action::{Action, ActionId, FORMAT, FailureCode, Phase, Step};
use super::requests::DecisionSource;
use super::{ActionError, KEEP_ENDED};

/// Keys of actions begin with what is left to this time, so that the newest one comes first.
const LAST_MILLISECOND: u64 = 9_999_999_999_999;

/// Returns the key of an action.
pub(super) fn action_key(id: &ActionId) -> Result<RecordKey> {
    let parts = [KeyPart::Number(LAST_MILLISECOND.saturating_sub(id.milliseconds)), KeyPart::Text(&id.nonce)];
    RecordKey::new(Some(&id.org), RecordKind::Action, &parts)
}

/// Returns the range of an organization's actions, the newest first.
pub(super) fn action_range(org: &str) -> Result<RecordRange> {
    RecordRange::new(Some(org), RecordKind::Action, &[])
}

/// Returns the range of the actions that have work to do, in the order of their times.
pub(super) fn due_range() -> Result<RecordRange> {
    RecordRange::new(None, RecordKind::ActionDue, &[])
}

fn due_key(due: DateTime<Utc>, id: &ActionId) -> Result<RecordKey> {
    let milliseconds = u64::try_from(due.timestamp_millis()).unwrap_or_default();
    RecordKey::new(
        None,
        RecordKind::ActionDue,
        &[KeyPart::Number(milliseconds), KeyPart::Text(&id.to_string())],
    )
}

/// Returns the key under which a client's key is. The store holds only its hash.
pub(super) fn client_key(principal: &str, key: &str) -> Result<RecordKey> {
    let hash = hex::encode(Sha256::digest(key));
    RecordKey::new(None, RecordKind::ActionKey, &[KeyPart::Text(principal), KeyPart::Text(&hash)])
}

/// Returns the key of the pace of an account.
pub(super) fn pace_key(account: &str) -> Result<RecordKey> {
    RecordKey::new(None, RecordKind::ActionPace, &[KeyPart::Text(account)])
}

/// What the index of due actions has of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DueEntry {
    pub(super) id: ActionId,
    pub(super) due: DateTime<Utc>,
}

/// The action that a client's key stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClientKeyEntry {
    pub(super) id: ActionId,
    pub(super) request_hash: String,
}

/// Parses the body of an entry.
pub(super) fn parse_entry<T: for<'a> Deserialize<'a>>(record: &Record) -> Result<T> {
    serde_json::from_str(&record.body).map_err(|error| damaged(&error.to_string()))
}

fn damaged(what: &str) -> StoreError {
    StoreError::Unusable {
        what: format!("the record of an action cannot be read ({what}): upgrade github-metrics"),
        source: None,
    }
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the fields have only text keys")
}

/// Parses the record of an action.
///
/// # Errors
/// If it is damaged, or a newer program wrote it.
pub(super) fn parse_action(record: &Record) -> Result<Action> {
    let action: Action = parse_entry(record)?;
    if action.format > FORMAT {
        return Err(damaged(&format!("its format is {}, this program reads {FORMAT}", action.format)));
    }
    Ok(action)
}

/// Reads an action with the revision of its record.
pub(super) async fn load_action(
    records: &dyn RecordStore,
    id: &ActionId,
    now: DateTime<Utc>,
) -> Result<Option<(Action, RecordCommitId)>> {
    let record = records.get(&action_key(id)?, now).await?;
    record.map(|record| Ok((parse_action(&record)?, record.revision))).transpose()
}

/// What happened to an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ActionEvent {
    Requested,
    ApprovalRequested,
    Approved(DecisionSource),
    Rejected(DecisionSource),
    ApprovalVoided,
    ApprovalExpired,
    Attempted(Step),
    Succeeded,
    Failed(FailureCode),
    Unknown,
    Resolved(bool),
    Retried,
}

/// A change of an action, which becomes writes of a commit.
pub(super) struct ActionChange {
    /// The action before, with its revision. `None` if it is new.
    pub(super) before: Option<(Action, RecordCommitId)>,
    pub(super) after: Action,
    pub(super) events: Vec<ActionEvent>,
}

impl ActionChange {
    /// Adds the writes of the change, made at `now`, and its audit rows to a commit. `requester` is who makes it.
    pub(super) fn add_to(
        &mut self,
        mut commit: RecordCommit,
        requester: &Requester,
        now: DateTime<Utc>,
    ) -> std::result::Result<RecordCommit, ActionError> {
        self.after.changed_at = now;
        let after = &self.after;
        let expectation = match &self.before {
            Some((_, revision)) => Expectation::Revision(*revision),
            None => Expectation::Absent,
        };
        let key = action_key(&after.id)?;
        commit = match after.phase {
            Phase::Succeeded | Phase::Failed { .. } => {
                commit.put_until(key, to_json(after), now + KEEP_ENDED, expectation)
            }
            _ => commit.put(key, to_json(after), expectation),
        };
        let due_before = self.before.as_ref().and_then(|(before, _)| before.due);
        let old = due_before.map(|due| due_key(due, &after.id)).transpose()?;
        let new = after.due.map(|due| due_key(due, &after.id)).transpose()?;
        if let Some(old) = old.filter(|old| Some(old) != new.as_ref()) {
            commit = commit.delete(old, Expectation::Any);
        }
        if let (Some(key), Some(due)) = (new, after.due) {
            commit = commit.put(key, to_json(&DueEntry { id: after.id.clone(), due }), Expectation::Any);
        }
        for event in self.all_events() {
            commit = audit_row(after, &event, commit.id(), requester, now).add_to(commit)?;
        }
        Ok(commit)
    }

    /// Returns the events, with the end of the action if it has come.
    fn all_events(&self) -> Vec<ActionEvent> {
        let mut events = self.events.clone();
        let was_settled = self.before.as_ref().is_some_and(|(before, _)| before.is_settled());
        let end = match &self.after.phase {
            Phase::Succeeded => Some(ActionEvent::Succeeded),
            Phase::Failed { code, .. } => Some(ActionEvent::Failed(*code)),
            Phase::Unknown { .. } => Some(ActionEvent::Unknown),
            _ => None,
        };
        let is_resolved = events.iter().any(|event| matches!(event, ActionEvent::Resolved(_)));
        events.extend(end.filter(|_| !was_settled || is_resolved));
        events
    }
}

/// Returns a row about an action. Its id begins with that of the action, and ends with `what`.
pub(super) fn row_about(
    action: &Action,
    what: &str,
    kind: AuditKind,
    requester: &Requester,
    now: DateTime<Utc>,
) -> AuditRow {
    let subject = format!("action {} {}", action.id, action.kind().as_str());
    let id = format!("action:{}:{what}", action.id);
    AuditRow::new(id, Some(&action.id.org), now, &requester.id, kind, subject)
        .with_origin(requester.origin.clone())
        .about(None, &*action.repo.name, action.number())
        .with_detail("action_id", action.id.to_string())
        .with_detail("hash", action.content_hash())
}

fn audit_row(
    action: &Action,
    event: &ActionEvent,
    commit: RecordCommitId,
    requester: &Requester,
    now: DateTime<Utc>,
) -> AuditRow {
    let ok = || "ok".to_owned();
    let (what, kind, outcome) = match event {
        ActionEvent::Requested => ("requested".to_owned(), AuditKind::ActionRequested, ok()),
        ActionEvent::ApprovalRequested => (
            format!("approval_requested:{commit}"),
            AuditKind::ApprovalRequested,
            format!("{} of {}", action.approvals.len(), action.policy.approvals),
        ),
        ActionEvent::Approved(_) => (format!("approved:{commit}"), AuditKind::ActionApproved, ok()),
        ActionEvent::Rejected(_) => (format!("rejected:{commit}"), AuditKind::ActionRejected, ok()),
        ActionEvent::ApprovalVoided => {
            (format!("approval_voided:{commit}"), AuditKind::ApprovalVoided, "head_moved".to_owned())
        }
        ActionEvent::ApprovalExpired => {
            (format!("approval_expired:{commit}"), AuditKind::ApprovalExpired, ok())
        }
        ActionEvent::Attempted(step) => {
            (format!("attempt:{}", action.attempts), AuditKind::ActionAttempted, step.as_str().to_owned())
        }
        ActionEvent::Succeeded => (format!("succeeded:{commit}"), AuditKind::ActionSucceeded, ok()),
        ActionEvent::Failed(code) => {
            (format!("failed:{commit}"), AuditKind::ActionFailed, code.as_str().to_owned())
        }
        ActionEvent::Unknown => (format!("unknown:{commit}"), AuditKind::ActionUnknown, "unknown".to_owned()),
        ActionEvent::Resolved(is_done) => {
            let outcome = if *is_done { "done" } else { "not_done" };
            (format!("resolved:{commit}"), AuditKind::ActionResolved, outcome.to_owned())
        }
        ActionEvent::Retried => (format!("retried:{commit}"), AuditKind::ActionRetried, ok()),
    };
    let row = row_about(action, &what, kind, requester, now).with_outcome(outcome);
    let row = match event {
        ActionEvent::Approved(DecisionSource::Link) | ActionEvent::Rejected(DecisionSource::Link) => {
            row.with_detail("by", "link")
        }
        _ => row,
    };
    match action.head_sha() {
        "" => row,
        sha => row.with_detail("head_sha", sha),
    }
}

impl Step {
    /// Returns the name in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Issue => "issue",
            Step::Comment => "comment",
            Step::Pull => "pull",
            Step::Review => "review",
            Step::Merge => "merge",
        }
    }
}
