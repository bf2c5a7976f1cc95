//! Does what is due, within the time of an invocation.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::SqsBatchResponse;
use gam_functions::messages::parse_event;
use gam_functions::{
    ClientError, ClientProvider, Deadline, FunctionMetric, LambdaContext, MessageOutcome, MessageSettlement,
};
use gam_model::error_chain;
use gam_work::actions::{ActionError, Actions};
use gam_work_ports::GitHubWriter;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

/// How long an invocation begins new steps, and waits for those that are due soon. The schedule starts the next one a
/// minute later.
const RUN_TIME: Duration = Duration::from_secs(50);
/// Pause after a run that changed nothing though something was due: another invocation was faster.
const MIN_PAUSE: Duration = Duration::from_millis(500);

/// What the queue and the schedule send, as JSON. The work itself is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
enum ActCommand {
    /// Do what is due.
    Run {},
}

impl ActCommand {
    /// Parses a message.
    ///
    /// # Errors
    /// If it is no command. The text says what one looks like.
    fn parse(body: &str) -> Result<Self, String> {
        serde_json::from_str(body)
            .map_err(|error| format!("invalid command ({error}): expected {{\"action\": \"run\"}}"))
    }
}

/// Why nothing could be done.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Action(#[from] ActionError),
}

impl RunError {
    /// Returns whether trying again may help.
    fn is_transient(&self) -> bool {
        match self {
            RunError::Client(error) => error.is_transient(),
            RunError::Action(ActionError::Store(error)) => error.is_retryable(),
            RunError::Action(_) => true,
        }
    }
}

/// What an invocation has done.
#[derive(Default)]
struct ActTotals {
    steps: usize,
    unknown: usize,
    breakers_opened: usize,
}

/// The function `act`.
pub(crate) struct Actor {
    context: LambdaContext,
    settlement: MessageSettlement,
    clients: ClientProvider,
}

impl Actor {
    pub(crate) fn new(
        context: LambdaContext,
        settlement: MessageSettlement,
        clients: ClientProvider,
    ) -> Self {
        Actor { context, settlement, clients }
    }

    /// Does what is due, and settles the messages of an event. Any number of messages are one run.
    ///
    /// # Errors
    /// If the run failed, and the schedule sent the message.
    pub(crate) async fn handle(&self, event: Value, deadline_ms: u64) -> anyhow::Result<SqsBatchResponse> {
        let deadline = Deadline::new(deadline_ms, self.context.clock.now());
        let mut totals = ActTotals::default();
        let messages = parse_event(event).into_iter().map(|message| {
            let command = ActCommand::parse(&message.body);
            (message, command)
        });
        let messages = messages.collect::<Vec<_>>();
        let outcome = match messages.iter().any(|(_, command)| command.is_ok()) {
            true => self.run(deadline, &mut totals).await,
            false => MessageOutcome::Done,
        };
        let outcomes = messages.into_iter().map(|(message, command)| match command {
            Ok(ActCommand::Run {}) => (message, outcome.clone()),
            Err(reason) => (message, MessageOutcome::DeadLetter { reason }),
        });
        let settled = self.settlement.settle(outcomes.collect()).await;
        self.write_metrics(&totals, settled.dead_lettered);
        settled.response()
    }

    async fn run(&self, deadline: Deadline, totals: &mut ActTotals) -> MessageOutcome {
        match timeout_at(deadline.cancel_at(), self.run_until_idle(deadline, totals)).await {
            Ok(Ok(())) => MessageOutcome::Done,
            Ok(Err(error)) => MessageOutcome::from_error(error_chain(&error), error.is_transient()),
            Err(_) => {
                // A request without an answer is looked for when its lease ends.
                tracing::warn!("the time of the invocation is over; the schedule goes on");
                MessageOutcome::Done
            }
        }
    }

    /// Does steps until nothing is due soon, or the time to begin one is over.
    async fn run_until_idle(&self, deadline: Deadline, totals: &mut ActTotals) -> Result<(), RunError> {
        let stop_at = deadline.stop_at().min(Instant::now() + RUN_TIME);
        let client = self.clients.client().await?;
        let actions = self.context.actions_with(Some(Arc::new(GitHubWriter::new(client))));
        let running = self.run_steps(&actions, stop_at, totals);
        let stopping = async {
            tokio::time::sleep_until(stop_at).await;
            // The step in progress is finished.
            actions.stop();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            done = running => done,
            () = stopping => Ok(()),
        }
    }

    async fn run_steps(
        &self,
        actions: &Actions,
        stop_at: Instant,
        totals: &mut ActTotals,
    ) -> Result<(), RunError> {
        loop {
            actions.answer_previews().await?;
            let report = actions.run_due().await?;
            totals.steps += report.changed;
            totals.unknown += report.unknown;
            totals.breakers_opened += report.breakers_opened;
            if actions.is_stopping() {
                return Ok(());
            }
            if report.changed > 0 {
                continue;
            }
            let Some(due) = report.next_due else { return Ok(()) };
            let pause = (due - self.context.clock.now()).to_std().unwrap_or_default().max(MIN_PAUSE);
            if Instant::now() + pause >= stop_at {
                return Ok(());
            }
            sleep(pause).await;
        }
    }

    fn write_metrics(&self, totals: &ActTotals, dead_lettered: usize) {
        let values = [
            (FunctionMetric::ActionSteps, totals.steps as f64),
            (FunctionMetric::ActionsUnknown, totals.unknown as f64),
            (FunctionMetric::BreakersOpened, totals.breakers_opened as f64),
            (FunctionMetric::DeadLettered, dead_lettered as f64),
        ];
        self.context.metrics.write(self.context.clock.now(), &values);
    }
}

#[cfg(test)]
mod tests {
    use gam_functions::actions::RUN_ACTIONS;

    use super::*;

    #[test]
    fn the_queue_and_the_schedule_send_one_command() {
        assert_eq!(ActCommand::parse(RUN_ACTIONS), Ok(ActCommand::Run {}));
        for body in ["", "{}", "[]", "{\"action\":\"plan\"}", "{\"action\":\"run\",\"id\":1}"] {
            let reason = ActCommand::parse(body).unwrap_err();
            assert!(reason.contains("\"action\": \"run\""), "{body}: {reason}");
        }
    }
}
