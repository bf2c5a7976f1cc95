//! What clients, approvers and operators do with actions.

use std::time::Duration;

use chrono::TimeDelta;
use gam_access::{Principal, Requester};
use gam_model::ActionKind;
use gam_store::{
    CommitOutcome, Expectation, RecordCommit, RecordCommitId, commit_until_answered, work_org_key,
};

use super::action::{Action, ActionId, ActionSeed, Approval, FailureCode, Phase, Step};
use super::entries::{
    ActionChange, ActionEvent, ClientKeyEntry, client_key, load_action, parse_entry, to_json,
};
use super::request::{ActionRequest, RepositoryName};
use super::{ActionError, Actions, KEEP_KEYS, MAX_CONFLICTS};

/// The longest request, in bytes of JSON. A record holds 380,000 bytes.
const MAX_REQUEST_BYTES: usize = 300_000;
/// The longest key of a client, in bytes.
const MAX_KEY_BYTES: usize = 255;
/// Pause between two reads of an action that a client waits for.
pub(super) const POLL_PAUSE: Duration = Duration::from_millis(100);
/// The longest reason of a rejection, in characters.
const MAX_REASON_CHARS: usize = 500;

/// What a client requests.
#[derive(Debug, Clone)]
pub struct NewAction {
    /// The storage key of the organization.
    pub org: String,
    /// The repository.
    pub repo: RepositoryName,
    /// What to do there.
    pub request: ActionRequest,
    /// The client's key. A repetition with the same key is the same action.
    pub key: Option<String>,
}

/// An action that was requested.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// The action.
    pub action: Action,
    /// Whether an earlier request had the same key.
    pub is_repeated: bool,
}

/// What an approver decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The action may be done.
    Approve,
    /// It must not be done.
    Reject {
        /// Why, if the approver says it.
        reason: Option<String>,
    },
}

/// How a decision came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionSource {
    /// By a request of a principal who has signed in.
    Request,
    /// By a signed link.
    Link,
}

/// What a person found out about an unknown action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionResolution {
    /// It was done.
    Done {
        /// The address of what it made.
        url: String,
    },
    /// It was not done.
    NotDone,
}

impl Actions {
    /// Completes and checks a request: the default comment, and what the policy allows at all.
    async fn seed(&self, principal: &str, new: &NewAction) -> Result<ActionSeed, ActionError> {
        let mut request = new.request.clone();
        let settings = self.settings.settings(&new.org).await.map_err(ActionError::Settings)?;
        let (policy_revision, settings) = settings;
        if let ActionRequest::CreateIssue { comment: comment @ None, .. } = &mut request {
            comment.clone_from(&settings.default_comment);
        }
        request.validate()?;
        if to_json(&request).len() > MAX_REQUEST_BYTES {
            return Err(ActionError::Invalid(format!(
                "the texts together are too long: send at most {MAX_REQUEST_BYTES} bytes of JSON"
            )));
        }
        let policy = settings.policy_of(request.kind(), &new.repo.name);
        if request.takes_newest() && !policy.allow_newest {
            let (parameter, noun) = match request.kind() {
                ActionKind::ApproveMergePr => ("pr_number", "number of the pull request"),
                _ => ("branch", "branch"),
            };
            return Err(ActionError::Forbidden(format!(
                "the policy of {} does not allow to take the newest one: send the {noun} as `{parameter}`",
                new.repo
            )));
        }
        if matches!(request, ActionRequest::ApproveMergePr { allow_fork: true, .. }) && !policy.allow_fork {
            return Err(ActionError::Forbidden(format!(
                "the policy of {} does not allow pull requests from forks: leave out `allow_fork`",
                new.repo
            )));
        }
        let (repo, principal) = (new.repo.clone(), principal.to_owned());
        Ok(ActionSeed { repo, principal, request, policy, policy_revision })
    }

    /// Stores an action, unless an earlier request of the principal has the same key. It is done later, by
    /// [`Actions::run_due`].
    ///
    /// # Errors
    /// If the request is invalid, the policy forbids it, the key stands for another request, this service has no credential,
    /// or the store fails.
    pub async fn submit(&self, principal: &Principal, new: &NewAction) -> Result<Submitted, ActionError> {
        self.check_credential()?;
        let is_printable = |key: &String| key.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if new.key.as_ref().is_some_and(|key| !(1..=MAX_KEY_BYTES).contains(&key.len()) || !is_printable(key))
        {
            return Err(ActionError::Invalid(format!(
                "invalid `Idempotency-Key`: expected 1 to {MAX_KEY_BYTES} printable ASCII characters"
            )));
        }
        // What was sent, and not what the configuration adds to it.
        let request_hash = new.request.hash(&new.repo);
        for _ in 0..MAX_CONFLICTS {
            let mut key_expectation = Expectation::Absent;
            if let Some(key) = &new.key {
                let (action, expectation) = self.find_by_key(&principal.id, key, &request_hash).await?;
                if let Some(action) = action {
                    return Ok(Submitted { action, is_repeated: true });
                }
                key_expectation = expectation;
            }
            let now = self.clock.now();
            let seed = self.seed(&principal.id, new).await?;
            let commit = RecordCommit::new(RecordCommitId::random());
            let id = ActionId::new(&new.org, now, commit.id());
            let action = Action::new(id.clone(), seed, now);
            let mut change =
                ActionChange { before: None, after: action, events: vec![ActionEvent::Requested] };
            let mut commit = change.add_to(commit, &principal.into(), now)?;
            let org_key = work_org_key(&new.org)?;
            if self.records.get(&org_key, now).await?.is_none() {
                commit = commit.put(org_key, new.org.clone(), Expectation::Absent);
            }
            if let Some(key) = &new.key {
                let entry = ClientKeyEntry { id, request_hash: request_hash.clone() };
                let key = client_key(&principal.id, key)?;
                commit = commit.put_until(key, to_json(&entry), now + KEEP_KEYS, key_expectation);
            }
            if commit_until_answered(&*self.records, &commit, now).await? == CommitOutcome::Committed {
                self.wake_runner().await;
                return Ok(Submitted { action: change.after, is_repeated: false });
            }
        }
        Err(ActionError::Busy)
    }

    /// Returns the action that the principal requested with this key, and what a commit expects of the key's record. The
    /// record outlives the action if the organization is removed.
    async fn find_by_key(
        &self,
        principal: &str,
        key: &str,
        request_hash: &str,
    ) -> Result<(Option<Action>, Expectation), ActionError> {
        let now = self.clock.now();
        let Some(record) = self.records.get(&client_key(principal, key)?, now).await? else {
            return Ok((None, Expectation::Absent));
        };
        let entry: ClientKeyEntry = parse_entry(&record)?;
        if entry.request_hash != request_hash {
            return Err(ActionError::KeyReused(
                "the `Idempotency-Key` was used for another request: use a new key for a new request"
                    .to_owned(),
            ));
        }
        let stored = load_action(&*self.records, &entry.id, now).await?;
        Ok((stored.map(|(action, _)| action), Expectation::Revision(record.revision)))
    }

    /// Returns what would be done, and stores no action: the action as it would be after it was prepared. The process that
    /// runs [`Actions::run_due`] reads GitHub for it.
    ///
    /// # Errors
    /// As [`Actions::submit`], and if GitHub cannot be read.
    pub async fn preview(&self, principal: &Principal, new: &NewAction) -> Result<Action, ActionError> {
        self.check_credential()?;
        let now = self.clock.now();
        let seed = self.seed(&principal.id, new).await?;
        let action = Action::new(ActionId::new(&new.org, now, RecordCommitId::random()), seed, now);
        if self.github.is_none() {
            return self.preview_elsewhere(action).await;
        }
        let answer = self.previews.request(action);
        self.wake.notify_one();
        answer.await
    }

    /// Returns an action, or `None` if there is none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn get(&self, id: &ActionId) -> Result<Option<Action>, ActionError> {
        Ok(load_action(&*self.records, id, self.clock.now()).await?.map(|(action, _)| action))
    }

    /// Waits until an action is settled or waits for approvals, at most for a time. Returns its last state.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn wait_for(&self, mut action: Action, at_most: Duration) -> Result<Action, ActionError> {
        let end = tokio::time::Instant::now() + at_most;
        loop {
            let waits_long = matches!(action.phase, Phase::Waiting { .. } | Phase::Checking { .. });
            if action.is_settled() || waits_long || tokio::time::Instant::now() >= end {
                return Ok(action);
            }
            tokio::time::sleep(POLL_PAUSE).await;
            match self.get(&action.id).await? {
                Some(current) => action = current,
                None => return Ok(action),
            }
        }
    }

    /// Approves or rejects an action. `hash` is the content hash that the principal saw. An approval that is repeated
    /// changes nothing.
    ///
    /// # Errors
    /// `NotFound` if there is no such action in scope; `Forbidden` if the principal has requested it; `Conflict` if it does
    /// not wait, or has another content; `Expired` if it waited too long.
    pub async fn decide(
        &self,
        principal: &Principal,
        id: &ActionId,
        hash: &str,
        decision: &Decision,
    ) -> Result<Action, ActionError> {
        self.decide_from(principal, id, hash, decision, DecisionSource::Request).await
    }

    /// As [`Actions::decide`]; the audit row has where the decision came from.
    ///
    /// # Errors
    /// As [`Actions::decide`].
    pub async fn decide_from(
        &self,
        principal: &Principal,
        id: &ActionId,
        hash: &str,
        decision: &Decision,
        source: DecisionSource,
    ) -> Result<Action, ActionError> {
        self.change(&principal.into(), id, |action, now| {
            if !action.is_in(&principal.scope) {
                return Err(unknown_action());
            }
            if action.principal == principal.id {
                return Err(ActionError::Forbidden(
                    "you requested this action: another approver must decide about it".to_owned(),
                ));
            }
            let approved_by_them = |approval: &Approval| approval.principal == principal.id;
            if *decision == Decision::Approve
                && action.approvals.iter().any(|it| approved_by_them(it) && it.hash == hash)
            {
                return Ok(None);
            }
            let Phase::Waiting { until } = action.phase else {
                return Err(does_not_wait(action));
            };
            if until <= now {
                return Err(ActionError::Expired(format!("action {id} waited too long: request it again")));
            }
            if action.content_hash() != hash {
                return Err(ActionError::Conflict(format!(
                    "action {id} has another content than the one that `hash` stands for: read it again"
                )));
            }
            match decision {
                Decision::Approve => {
                    let (principal, hash) = (principal.id.clone(), hash.to_owned());
                    action.approvals.push(Approval { principal, at: now, hash });
                    action.wait_or_make_ready(until, now);
                    Ok(Some(vec![ActionEvent::Approved(source)]))
                }
                Decision::Reject { reason } => {
                    let reason = reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
                    let text: String = reason.unwrap_or_default().chars().take(MAX_REASON_CHARS).collect();
                    let text = if text.is_empty() { text } else { format!(": {text}") };
                    action.fail(FailureCode::Rejected, format!("{} rejected it{text}", principal.id));
                    Ok(Some(vec![ActionEvent::Rejected(source)]))
                }
            }
        })
        .await
    }

    /// Has a failed action attempted again. What is done is not repeated. It needs approvals again.
    ///
    /// # Errors
    /// `NotFound` if there is no such action; `Conflict` if it has not failed.
    pub async fn retry(&self, requester: &Requester, id: &ActionId) -> Result<Action, ActionError> {
        self.change(requester, id, |action, now| {
            if !matches!(action.phase, Phase::Failed { .. }) {
                let state = action.state().as_str();
                let advice = match action.phase {
                    Phase::Unknown { .. } => "; resolve it first",
                    _ => "",
                };
                return Err(ActionError::Conflict(format!(
                    "only a failed action can be retried, and action {id} is {state}{advice}"
                )));
            }
            action.approvals.clear();
            action.merge_retries = 0;
            action.retried_at = Some(now);
            if action.done.is_empty() {
                action.choice = None;
            }
            action.set_phase(Phase::Requested, Some(now));
            Ok(Some(vec![ActionEvent::Retried]))
        })
        .await
    }

    /// Settles an unknown action. After one that was done the rest of it follows.
    ///
    /// # Errors
    /// `NotFound` if there is no such action; `Conflict` if it is not unknown; `Invalid` if the address is not one of an
    /// issue, a comment or a pull request.
    pub async fn resolve(
        &self,
        requester: &Requester,
        id: &ActionId,
        resolution: &ActionResolution,
    ) -> Result<Action, ActionError> {
        self.change(requester, id, |action, now| {
            let Phase::Unknown { step, .. } = action.phase else {
                return Err(ActionError::Conflict(format!(
                    "only an unknown action can be resolved, and action {id} is {}",
                    action.state().as_str()
                )));
            };
            match resolution {
                ActionResolution::NotDone => {
                    action.fail(FailureCode::NotDone, format!("{} found that it was not done", requester.id));
                    Ok(Some(vec![ActionEvent::Resolved(false)]))
                }
                ActionResolution::Done { url } => {
                    record_resolved(action, step, url)?;
                    action.finish_step(step, now);
                    Ok(Some(vec![ActionEvent::Resolved(true)]))
                }
            }
        })
        .await
    }

    /// Changes an action. `change` returns what happened, or `None` if there is nothing to change.
    async fn change(
        &self,
        requester: &Requester,
        id: &ActionId,
        change: impl Fn(
            &mut Action,
            chrono::DateTime<chrono::Utc>,
        ) -> Result<Option<Vec<ActionEvent>>, ActionError>,
    ) -> Result<Action, ActionError> {
        for _ in 0..MAX_CONFLICTS {
            let now = self.clock.now();
            let (before, revision) =
                load_action(&*self.records, id, now).await?.ok_or_else(unknown_action)?;
            let mut after = before.clone();
            let Some(events) = change(&mut after, now)? else { return Ok(after) };
            let mut change = ActionChange { before: Some((before, revision)), after, events };
            let commit = change.add_to(RecordCommit::new(RecordCommitId::random()), requester, now)?;
            if commit_until_answered(&*self.records, &commit, now).await? == CommitOutcome::Committed {
                self.wake_runner().await;
                return Ok(change.after);
            }
        }
        Err(ActionError::Busy)
    }
}

pub(super) fn does_not_wait(action: &Action) -> ActionError {
    let (id, state) = (&action.id, action.state().as_str());
    ActionError::Conflict(format!("action {id} does not wait for approvals: it is {state}"))
}

pub(super) fn unknown_action() -> ActionError {
    ActionError::NotFound("there is no such action: use the id of an answer, or list the actions".to_owned())
}

/// Records what a person says that a request made.
fn record_resolved(action: &mut Action, step: Step, url: &str) -> Result<(), ActionError> {
    let invalid = || {
        ActionError::Invalid(
            "invalid address: expected https://HOST/OWNER/REPO/issues/NUMBER, .../pull/NUMBER or a comment of one"
                .to_owned(),
        )
    };
    let (page, _) = url.split_once('#').unwrap_or((url, ""));
    let number = page.rsplit('/').next().and_then(|it| it.parse::<i64>().ok()).filter(|number| *number > 0);
    let number = number.filter(|_| url.starts_with("https://") || url.starts_with("http://"));
    let number = number.ok_or_else(invalid)?;
    match step {
        Step::Issue | Step::Pull => {
            action.data.insert("number".to_owned(), number.into());
            action.data.insert("url".to_owned(), url.into());
        }
        Step::Comment => {
            action.data.insert("comment".to_owned(), serde_json::json!({ "url": url }));
        }
        Step::Review => {
            action.data.insert("review".to_owned(), serde_json::json!({ "url": url }));
        }
        Step::Merge => {
            action.data.insert("merged".to_owned(), true.into());
        }
    }
    Ok(())
}

/// How long an action waits for approvals, by its policy.
pub(super) fn approval_time(action: &Action) -> TimeDelta {
    TimeDelta::hours(i64::from(action.policy.hours))
}
