//! Actions that another process does, as on AWS: the process that takes requests has no credential of GitHub.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use gam_store::{
    CommitOutcome, Expectation, KeyPart, RecordCommit, RecordCommitId, RecordKey, RecordKind, RecordRange,
    commit_until_answered,
};
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::entries::{parse_entry, to_json};
use super::prepare::prepare;
use super::preview::MAX_WAIT;
use super::requests::POLL_PAUSE;
use super::{ActionError, Actions};

/// How long the store has the question of a preview, and its answer.
const KEEP_PREVIEWS: TimeDelta = TimeDelta::minutes(2);
/// Number of previews that are read at once.
const PAGE_PREVIEWS: usize = 50;

/// Wakes the process that does actions.
#[async_trait]
pub trait ActionWaker: Send + Sync {
    /// Has the other process look for work soon.
    ///
    /// # Errors
    /// If it cannot be reached. It then finds the work at its next look.
    async fn wake(&self) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// The question what an action would become, and the answer.
#[derive(Serialize, Deserialize)]
struct StoredPreview {
    action: Action,
    /// `None` until it is answered. The error says why GitHub cannot be read.
    answer: Option<Result<Action, String>>,
}

fn preview_range() -> gam_store::Result<RecordRange> {
    RecordRange::new(None, RecordKind::ActionPreview, &[])
}

impl Actions {
    /// Has actions done by another process, which runs [`Actions::run_due`] over the same store.
    pub fn done_by(self, waker: Arc<dyn ActionWaker>) -> Self {
        Actions { remote: Some(waker), ..self }
    }

    pub(super) fn check_credential(&self) -> Result<(), ActionError> {
        match self.github.is_none() && self.remote.is_none() {
            true => Err(ActionError::NoCredential),
            false => Ok(()),
        }
    }

    /// Wakes whoever does actions.
    pub(super) async fn wake_runner(&self) {
        self.wake.notify_one();
        if let Some(remote) = &self.remote
            && let Err(error) = remote.wake().await
        {
            // The other process also looks without being woken.
            tracing::warn!(error = &*error, "cannot wake the process that does actions; it looks by itself");
        }
    }

    /// Has the other process answer what an action would become.
    pub(super) async fn preview_elsewhere(&self, action: Action) -> Result<Action, ActionError> {
        let key = RecordKey::new(None, RecordKind::ActionPreview, &[KeyPart::Text(&action.id.to_string())])?;
        let question = StoredPreview { action, answer: None };
        let now = self.clock.now();
        let commit = RecordCommit::new(RecordCommitId::random()).put_until(
            key.clone(),
            to_json(&question),
            now + KEEP_PREVIEWS,
            Expectation::Any,
        );
        commit_until_answered(&*self.records, &commit, now).await?;
        self.wake_runner().await;
        let end = tokio::time::Instant::now() + MAX_WAIT;
        while tokio::time::Instant::now() < end {
            tokio::time::sleep(POLL_PAUSE).await;
            let Some(record) = self.records.get(&key, self.clock.now()).await? else { break };
            if let Some(answer) = parse_entry::<StoredPreview>(&record)?.answer {
                return answer.map_err(ActionError::GitHub);
            }
        }
        Err(ActionError::GitHub("the service is busy with other requests: retry later".to_owned()))
    }

    /// Answers the previews that other processes ask for in the store. Does nothing without a credential.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn answer_previews(&self) -> Result<(), ActionError> {
        let Some(github) = self.github.clone() else { return Ok(()) };
        let now = self.clock.now();
        for (key, record) in self.records.range(&preview_range()?, PAGE_PREVIEWS, now).await? {
            // One that cannot be read expires.
            let Ok(StoredPreview { action, answer: None }) = parse_entry(&record) else { continue };
            let mut prepared = action.clone();
            let answer = prepare(&*github, &mut prepared, now).await;
            let answer = answer.map(|()| prepared).map_err(|error| error.message);
            let answered = StoredPreview { action, answer: Some(answer) };
            let commit = RecordCommit::new(RecordCommitId::random()).put_until(
                key,
                to_json(&answered),
                now + KEEP_PREVIEWS,
                Expectation::Revision(record.revision),
            );
            match commit_until_answered(&*self.records, &commit, now).await? {
                // A conflict says that another process has answered.
                CommitOutcome::Committed | CommitOutcome::Conflict(_) => {}
            }
        }
        Ok(())
    }
}
