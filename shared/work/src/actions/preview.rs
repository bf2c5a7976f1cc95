//! What would be done: the process that reads GitHub answers it to those that take requests.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use super::ActionError;
use super::action::Action;
use super::github::GitHubActions;
use super::prepare::prepare;

/// How long a request waits for its answer.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(20);
/// The most requests that wait at once.
const MAX_REQUESTS: usize = 100;

type Answer = Result<Action, ActionError>;

/// Requests that wait for an answer.
#[derive(Default)]
pub(super) struct Previews(Mutex<Vec<(Action, oneshot::Sender<Answer>)>>);

impl Previews {
    /// Requests what an action would become.
    pub(super) fn request(&self, action: Action) -> impl Future<Output = Answer> + Send + use<> {
        let (sender, receiver) = oneshot::channel();
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody waits for any more make room.
        requests.retain(|(_, sender)| !sender.is_closed());
        if requests.len() < MAX_REQUESTS {
            requests.push((action, sender));
        }
        async {
            match tokio::time::timeout(MAX_WAIT, receiver).await {
                Ok(Ok(answer)) => answer,
                _ => Err(ActionError::GitHub(
                    "the service is busy with other requests: retry later".to_owned(),
                )),
            }
        }
    }

    /// Answers the requests that wait.
    pub(super) async fn answer(&self, github: &dyn GitHubActions, now: DateTime<Utc>) {
        let requests = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (mut action, sender) in requests {
            let prepared = prepare(github, &mut action, now).await;
            let answer = prepared.map(|()| action).map_err(|error| ActionError::GitHub(error.message));
            // A client that went away needs no answer.
            _ = sender.send(answer);
        }
    }
}
