//! Events of runs of GitHub Actions workflows, which count as deployments.

use chrono::{DateTime, Utc};
use gam_model::{Event, EventId, EventKind, Facts, Member};

use super::{EventBuilder, SETTLED_AFTER};
use crate::rest::WorkflowRun;

/// When a run of a workflow first succeeded or failed, within [`SETTLED_AFTER`] of its creation.
///
/// The time is that of the start of the attempt. GitHub does not say when an attempt ended, and the time of a
/// run's last change moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkflowRunOutcome {
    /// The start of the first successful attempt, UTC; `None` if there was none in time.
    pub success: Option<DateTime<Utc>>,
    /// The start of the first failed attempt before that, UTC; `None` if there was none in time.
    pub failure: Option<DateTime<Utc>>,
}

impl WorkflowRunOutcome {
    /// Adds the outcome of the next attempt. An attempt that was cancelled or skipped, or that still runs, has
    /// none.
    pub fn add(&mut self, attempt: &WorkflowRun) {
        let at = attempt.run_started_at.unwrap_or(attempt.created_at);
        if self.success.is_some() || at > attempt.created_at + SETTLED_AFTER {
            return;
        }
        match attempt.conclusion.as_deref() {
            Some("success") => self.success = Some(at),
            Some("failure" | "timed_out" | "startup_failure") => {
                self.failure.get_or_insert(at);
            }
            _ => {}
        }
    }
}

impl EventBuilder {
    /// Builds the events of a run of the workflow in the file `workflow`: its first success, and its first failure
    /// if that came earlier. The failure is retracted once the run has succeeded.
    pub fn workflow_run(&self, workflow: &str, run: &WorkflowRun, outcome: WorkflowRunOutcome) -> Vec<Event> {
        let account = run.actor.as_ref().and_then(|actor| Some((actor.login.as_deref()?, actor)));
        let member = account.map_or_else(Member::unknown, |(login, actor)| {
            Member::account(login, actor.id, actor.kind.as_deref() == Some("Bot"))
        });
        let facts = Facts {
            sha: run.head_sha.clone(),
            created_at: Some(run.created_at),
            workflow: Some(workflow.to_owned()),
            ..Facts::default()
        };
        let event = |id, kind, version: DateTime<Utc>, at| {
            let event = self.event(id, kind, version.timestamp(), member.clone(), at);
            Event { facts: facts.clone(), ..event }
        };
        let WorkflowRunOutcome { success, failure } = outcome;
        let succeeded = success
            .map(|at| event(EventId::workflow_run_success(run.id), EventKind::DeploymentSuccess, at, at));
        let failed = failure.map(|at| {
            // The retraction keeps the time of the failure and takes the version of the success.
            let id = EventId::workflow_run_failure(run.id);
            let event = event(id, EventKind::DeploymentFailure, success.unwrap_or(at), at);
            Event { retracted: success.is_some(), ..event }
        });
        succeeded.into_iter().chain(failed).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn attempt(number: i64, conclusion: &str, started: &str) -> WorkflowRun {
        serde_json::from_value(json!({
            "id": 5, "event": "push", "status": "completed", "conclusion": conclusion, "run_attempt": number,
            "created_at": "2025-01-01T00:00:00Z", "run_started_at": started, "head_sha": "abc",
            "actor": { "login": "ann", "id": 3, "type": "User" }, "head_repository": { "id": 7 },
        }))
        .unwrap()
    }

    fn outcome(attempts: &[WorkflowRun]) -> Vec<(String, bool, String)> {
        let mut outcome = WorkflowRunOutcome::default();
        attempts.iter().for_each(|attempt| outcome.add(attempt));
        let builder = EventBuilder {
            org: "acme".into(),
            repo: "site".into(),
            repo_id: 7,
            collected_at: DateTime::UNIX_EPOCH,
        };
        let events = builder.workflow_run("deploy.yml", &attempts[0], outcome).into_iter();
        events.map(|e| (e.id.to_string(), e.retracted, e.occurred_at.format("%m-%d").to_string())).collect()
    }

    #[test]
    fn the_first_success_of_all_attempts_counts() {
        let first = attempt(1, "failure", "2025-01-01T00:00:00Z");
        let failure = |retracted| ("workflow_run:5:failure".to_owned(), retracted, "01-01".to_owned());
        assert_eq!(outcome(std::slice::from_ref(&first)), [failure(false)]);
        let again = attempt(2, "success", "2025-01-03T00:00:00Z");
        let later = attempt(3, "failure", "2025-01-04T00:00:00Z");
        let expected = [("workflow_run:5:success".to_owned(), false, "01-03".to_owned()), failure(true)];
        assert_eq!(outcome(&[first.clone(), again, later]), expected);
        let late = attempt(2, "success", "2025-04-01T00:00:01Z");
        assert_eq!(outcome(&[first, late]), [failure(false)]);
        assert_eq!(outcome(&[attempt(1, "cancelled", "2025-01-01T00:00:00Z")]), []);
    }
}
