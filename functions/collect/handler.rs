//! Processes the commands of an event, within the time of an invocation.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use aws_lambda_events::event::sqs::SqsBatchResponse;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use gam_collect::reconcile::{ReconcileRequest, reconcile};
use gam_collect::{
    CollectError, CollectRequest, CollectWarning, Limited, ReportedGap, WorkItem, WorkReport, plan, work,
};
use gam_functions::messages::parse_event;
use gam_functions::{
    Attempts, ClientError, ClientProvider, CollectCommand, Deadline, FunctionMetric, LambdaContext, Message,
    MessageOutcome, MessageSettlement, environment,
};
use gam_github::{Client, Error as GitHubError};
use gam_model::error_chain;
use gam_store::Gap;
use gam_work_ports::MarkedRepos;
use serde_json::Value;

/// Delay of a command that GitHub's limits stopped, if GitHub does not say when they reset.
const UNKNOWN_RESET_DELAY: TimeDelta = TimeDelta::minutes(2);
/// Delay of a command if another invocation reads the same repository.
const CONFLICT_DELAY: TimeDelta = TimeDelta::seconds(30);
/// Delay of a directly invoked command that failed and may succeed later.
const FAILURE_DELAY: TimeDelta = TimeDelta::minutes(1);

/// The function `collect`.
pub(crate) struct Collector {
    context: LambdaContext,
    settlement: MessageSettlement,
    clients: ClientProvider,
    organizations: Vec<String>,
    since: Option<NaiveDate>,
}

/// A command to read a repository, with its message.
type RepoCommand = (Message, CollectCommand, WorkItem);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Collect(#[from] CollectError),
    #[error("cannot send the planned repositories to the queue: {0}")]
    SendPlan(anyhow::Error),
}

/// What an invocation has done.
#[derive(Default)]
struct CollectTotals {
    events: usize,
    requests: u64,
    failed_repos: usize,
    /// The remaining share of GitHub's rate limits, 0 to 1. `None` if it is unknown.
    share_left: Option<f64>,
}

impl Collector {
    pub(crate) fn new(
        context: LambdaContext,
        settlement: MessageSettlement,
        clients: ClientProvider,
    ) -> anyhow::Result<Self> {
        let since = environment::optional("COLLECT_SINCE");
        let parse_day = |text: String| {
            text.parse().with_context(|| format!("invalid COLLECT_SINCE {text:?}: expected YYYY-MM-DD"))
        };
        let since = since.map(parse_day).transpose()?;
        Ok(Collector { context, settlement, clients, organizations: environment::organizations()?, since })
    }

    /// Opens the connection to the store during the cold start, so that no invocation waits for it.
    pub(crate) async fn warm_up(&self) {
        let Some(org) = self.organizations.first() else { return };
        if let Err(error) = self.context.org_checkpoint(org).await {
            tracing::warn!(%error, "cannot reach the store yet");
        }
    }

    /// Processes and settles the messages of an event.
    ///
    /// # Errors
    /// If the message of a direct invocation failed.
    pub(crate) async fn handle(&self, event: Value, deadline_ms: u64) -> anyhow::Result<SqsBatchResponse> {
        let deadline = Deadline::new(deadline_ms, self.now());
        let mut totals = CollectTotals::default();
        let outcomes = self.process(parse_event(event), deadline, &mut totals).await;
        let settled = self.settlement.settle(outcomes).await;
        self.write_metrics(&totals, settled.dead_lettered).await;
        settled.response()
    }

    fn now(&self) -> DateTime<Utc> {
        self.context.clock.now()
    }

    async fn process(
        &self,
        messages: Vec<Message>,
        deadline: Deadline,
        totals: &mut CollectTotals,
    ) -> Vec<(Message, MessageOutcome)> {
        let mut outcomes = Vec::new();
        let mut repo_commands: BTreeMap<(String, Option<NaiveDate>), Vec<RepoCommand>> = BTreeMap::new();
        let mut marked_commands: BTreeMap<String, Vec<(Message, i64)>> = BTreeMap::new();
        for message in messages {
            let mut command = match CollectCommand::parse(&message.body) {
                Ok(command) => command,
                Err(reason) => {
                    outcomes.push((message, MessageOutcome::DeadLetter { reason }));
                    continue;
                }
            };
            if let Some(after) = command.remaining_delay(self.now()) {
                let body = message.body.clone();
                outcomes.push((message, MessageOutcome::Requeue { body, after }));
                continue;
            }
            match command.clone() {
                CollectCommand::Plan { organizations, .. }
                | CollectCommand::Reconcile { organizations, .. } => {
                    let outcome =
                        self.run_for_orgs(&message, &command, organizations, deadline, totals).await;
                    outcomes.push((message, outcome));
                }
                CollectCommand::Work { org, repo, since, .. } => {
                    repo_commands.entry((org, since)).or_default().push((message, command, repo));
                }
                CollectCommand::ReadMarked { org, repo_id, .. } => {
                    marked_commands.entry(org).or_default().push((message, repo_id));
                }
            }
        }
        for ((org, since), commands) in repo_commands {
            outcomes.extend(self.read_repos(&org, since, commands, deadline, totals).await);
        }
        for (org, commands) in marked_commands {
            let (messages, repo_ids): (Vec<Message>, Vec<i64>) = commands.into_iter().unzip();
            // The marks say what is left to do. If they cannot be settled, the messages come again.
            let outcome = match self.read_marked(&org, &repo_ids, deadline, totals).await {
                Ok(()) => MessageOutcome::Done,
                Err(reason) => MessageOutcome::Retry { reason },
            };
            outcomes.extend(messages.into_iter().map(|message| (message, outcome.clone())));
        }
        outcomes
    }

    /// Runs a use case with a client. If GitHub rejects the credentials and there are new ones, runs it again.
    async fn with_client<T>(
        &self,
        deadline: Deadline,
        totals: &mut CollectTotals,
        run: impl AsyncFn(&Client) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let mut client = self.clients.client().await?;
        client.stop_at(Some(deadline.stop_at()));
        let mut result = run(&client).await;
        if let Err(CommandError::Collect(CollectError::GitHub(GitHubError::Unauthorized(_)))) = &result
            && let Some(new_client) = self.clients.refresh().await?
        {
            tracing::info!("GitHub rejected the token; trying again with the new one");
            client = new_client;
            client.stop_at(Some(deadline.stop_at()));
            result = run(&client).await;
        }
        totals.share_left = client.share_left();
        result
    }

    fn request(&self, org: &str, since: Option<NaiveDate>) -> CollectRequest {
        CollectRequest {
            org: org.to_owned(),
            since,
            parallelism: self.clients.parallelism(),
            ..CollectRequest::default()
        }
    }

    /// Plans or reconciles the organizations one after the other. If time or GitHub's limits run out, the command
    /// is requeued for the remaining ones.
    async fn run_for_orgs(
        &self,
        message: &Message,
        command: &CollectCommand,
        organizations: Vec<String>,
        deadline: Deadline,
        totals: &mut CollectTotals,
    ) -> MessageOutcome {
        let orgs = if organizations.is_empty() { self.organizations.clone() } else { organizations };
        let mut orgs = orgs.into_iter();
        while let Some(org) = orgs.next() {
            let running = async {
                match command {
                    CollectCommand::Plan { since, .. } => {
                        self.plan_org(&org, since.or(self.since), deadline, totals).await
                    }
                    CollectCommand::Reconcile { .. }
                    | CollectCommand::Work { .. }
                    | CollectCommand::ReadMarked { .. } => self.reconcile_org(&org, deadline, totals).await,
                }
            };
            let Ok(result) = tokio::time::timeout_at(deadline.cancel_at(), running).await else {
                // The checkpoints hold what was compared before the cancellation.
                let remaining = command.clone().for_orgs(std::iter::once(org).chain(orgs).collect());
                return self.requeue(remaining, None);
            };
            if let Err(error) = result {
                let remaining = command.clone().for_orgs(std::iter::once(org).chain(orgs).collect());
                let outcome = self.outcome_of_error(remaining.clone(), &error);
                return self.retry_by_queue(message, remaining, outcome);
            }
        }
        MessageOutcome::Done
    }

    /// Requeues the command of a direct invocation if trying again may help. The caller of the function would try
    /// only once more.
    fn retry_by_queue(
        &self,
        message: &Message,
        command: CollectCommand,
        outcome: MessageOutcome,
    ) -> MessageOutcome {
        match outcome {
            MessageOutcome::Retry { reason } if message.receipt.is_none() => {
                tracing::warn!(body = message.body, reason, "failed, will be tried again by the queue");
                self.requeue(command, Some(self.now() + FAILURE_DELAY))
            }
            outcome => outcome,
        }
    }

    /// Plans the collection of an organization, and sends a message for every repository with something to read.
    async fn plan_org(
        &self,
        org: &str,
        since: Option<NaiveDate>,
        deadline: Deadline,
        totals: &mut CollectTotals,
    ) -> Result<(), CommandError> {
        let request = self.request(org, since);
        let plan = self
            .with_client(deadline, totals, async |client| {
                Ok(plan(&self.context.collect_ports(), client, &request, &()).await?)
            })
            .await?;
        totals.requests += plan.requests;
        totals.failed_repos += plan.failed.len();
        log_warnings(&plan.org, &plan.warnings);
        for (repo, reason) in &plan.failed {
            tracing::error!(org = plan.org, repo, reason, "cannot read the repository");
        }
        tracing::info!(org = plan.org, repos = plan.repos, changed = plan.items.len(), "planned");
        let command = |repo: WorkItem| CollectCommand::Work {
            org: plan.org.clone(),
            repo,
            since,
            attempts: Attempts::default(),
        };
        let bodies: Vec<String> = plan.items.iter().map(|item| command(item.clone()).to_json()).collect();
        self.settlement.send(&bodies).await.map_err(CommandError::SendPlan)
    }

    async fn reconcile_org(
        &self,
        org: &str,
        deadline: Deadline,
        totals: &mut CollectTotals,
    ) -> Result<(), CommandError> {
        let request = reconcile_request(org, deadline);
        let report = self
            .with_client(deadline, totals, async |client| {
                Ok(reconcile(&self.context.collect_ports(), client, &request, &()).await?)
            })
            .await?;
        totals.requests += report.usage.requests;
        totals.events += report.events;
        totals.failed_repos += report.failed.len();
        for (repo, reason) in &report.failed {
            tracing::error!(org = report.org, repo, reason, "cannot compare the repository with GitHub");
        }
        let differences: usize = report.differences.iter().map(|difference| difference.entries).sum();
        tracing::info!(org = report.org, repos = report.repos, differences, "reconciled");
        if let Some(Limited { until, why }) = report.limited {
            let error = GitHubError::Limited { until, why };
            return Err(CommandError::Collect(CollectError::GitHub(error)));
        }
        Ok(())
    }

    /// Reads repositories of one organization.
    async fn read_repos(
        &self,
        org: &str,
        since: Option<NaiveDate>,
        commands: Vec<RepoCommand>,
        deadline: Deadline,
        totals: &mut CollectTotals,
    ) -> Vec<(Message, MessageOutcome)> {
        let request = self.request(org, since);
        let items: Vec<WorkItem> = commands.iter().map(|(_, _, item)| item.clone()).collect();
        let reading = self.with_client(deadline, totals, async |client| {
            Ok(work(&self.context.collect_ports(), client, &request, &items, &()).await?)
        });
        match tokio::time::timeout_at(deadline.cancel_at(), reading).await {
            Ok(Ok(report)) => {
                totals.add(&report);
                commands
                    .into_iter()
                    .map(|(message, command, item)| (message, self.outcome_of_repo(command, &item, &report)))
                    .collect()
            }
            Ok(Err(error)) => commands
                .into_iter()
                .map(|(message, command, _)| (message, self.outcome_of_error(command, &error)))
                .collect(),
            // Checkpoints keep what was saved before the cancellation. Only the rest is read again.
            Err(_) => commands
                .into_iter()
                .map(|(message, command, _)| (message, self.requeue(command, None)))
                .collect(),
        }
    }

    /// Reads repositories of one organization that webhooks marked, and settles their marks. A repository without a mark
    /// was read already. Whose mark is kept, because it could not be read or was marked meanwhile, gets another order
    /// from the function `work`.
    ///
    /// # Errors
    /// If the store fails. The text says why.
    async fn read_marked(
        &self,
        org: &str,
        repo_ids: &[i64],
        deadline: Deadline,
        totals: &mut CollectTotals,
    ) -> Result<(), String> {
        let registry = self.context.registry.get().await.map_err(|error| error_chain(&error))?;
        let (store, clock) = (self.context.store.clone(), self.context.clock.clone());
        // Remembered before the first request: what is marked later may not have been read.
        let marked = MarkedRepos::of_repos(store, clock, &registry.key_of(org), repo_ids).await;
        let marked = marked.map_err(|error| error_chain(&error))?;
        if marked.is_empty() {
            return Ok(());
        }
        let (request, items) = (self.request(org, None), marked.items());
        let reading = self.with_client(deadline, totals, async |client| {
            Ok(work(&self.context.collect_ports(), client, &request, &items, &()).await?)
        });
        let settled = match tokio::time::timeout_at(deadline.cancel_at(), reading).await {
            Ok(Ok(report)) => {
                totals.add(&report);
                for failure in report.failed.values() {
                    tracing::warn!(org, reason = failure.why, "cannot read a marked repository");
                }
                marked.settle(&report).await
            }
            Ok(Err(error)) => {
                tracing::warn!(org, reason = error_chain(&error), "cannot read marked repositories yet");
                marked.keep_all(self.next_try(&error)).await
            }
            // Checkpoints keep what was saved before the cancellation.
            Err(_) => marked.keep_all(Some(self.now())).await,
        };
        settled.map_err(|error| error_chain(&error))
    }

    /// Returns when what failed is tried again, UTC. `None` if the error does not say.
    fn next_try(&self, error: &CommandError) -> Option<DateTime<Utc>> {
        match error {
            CommandError::Collect(CollectError::GitHub(GitHubError::Limited { until, .. })) => *until,
            CommandError::Collect(CollectError::Concurrent(_)) => Some(self.now() + CONFLICT_DELAY),
            _ => None,
        }
    }

    fn outcome_of_repo(
        &self,
        command: CollectCommand,
        item: &WorkItem,
        report: &WorkReport,
    ) -> MessageOutcome {
        if let Some(failure) = report.failed.get(&item.repo_id) {
            let reason = format!("{}: {}", item.repo, failure.why);
            return MessageOutcome::from_error(reason, failure.is_transient);
        }
        if report.stopped.contains(&item.repo_id) {
            return self.requeue(command, report.report.limited.as_ref().and_then(|limited| limited.until));
        }
        MessageOutcome::Done
    }

    fn outcome_of_error(&self, command: CollectCommand, error: &CommandError) -> MessageOutcome {
        let is_transient = match error {
            CommandError::Collect(CollectError::GitHub(GitHubError::Limited { until, .. })) => {
                return self.requeue(command, until.or_else(|| Some(self.now() + UNKNOWN_RESET_DELAY)));
            }
            CommandError::Collect(CollectError::Concurrent(_)) => {
                return self.requeue(command, Some(self.now() + CONFLICT_DELAY));
            }
            CommandError::Collect(CollectError::GitHub(error)) => error.is_transient(),
            CommandError::Collect(CollectError::Lake(error)) => error.is_retryable(),
            CommandError::Collect(CollectError::Store(error)) => error.is_retryable(),
            CommandError::Collect(CollectError::Invalid(_) | CollectError::Org(_)) => false,
            CommandError::Client(error) => error.is_transient(),
            CommandError::SendPlan(_) => true,
        };
        MessageOutcome::from_error(error_chain(error), is_transient)
    }

    /// Requeues a command that waits until `not_before`, UTC.
    fn requeue(&self, command: CollectCommand, not_before: Option<DateTime<Utc>>) -> MessageOutcome {
        let after = not_before.and_then(|at| (at - self.now()).to_std().ok()).unwrap_or(Duration::ZERO);
        MessageOutcome::requeue(command.requeue(not_before), after)
    }

    async fn write_metrics(&self, totals: &CollectTotals, dead_lettered: usize) {
        let mut values = vec![
            (FunctionMetric::EventsCollected, totals.events as f64),
            (FunctionMetric::GitHubRequests, totals.requests as f64),
            (FunctionMetric::RepositoriesFailed, totals.failed_repos as f64),
            (FunctionMetric::DeadLettered, dead_lettered as f64),
        ];
        values.extend(totals.share_left.map(|share| (FunctionMetric::ApiBudgetLeft, share * 100.0)));
        self.context.write_metrics(values, &self.organizations).await;
    }
}

impl CollectTotals {
    fn add(&mut self, work: &WorkReport) {
        let report = &work.report;
        self.events += report.events;
        self.requests += report.requests;
        self.failed_repos += work.failed.len();
        log_warnings(&report.org, &report.warnings);
        for ReportedGap { gap, is_new } in &report.gaps {
            let Gap { repo, kind, number, why, .. } = gap;
            tracing::warn!(org = report.org, repo, kind, number, is_new, reason = why, "missing in the data");
        }
        for (repo, reason) in &report.blocked {
            tracing::warn!(
                org = report.org,
                repo,
                reason,
                "GitHub blocks the repository; its collected events stay"
            );
        }
        tracing::info!(
            org = report.org,
            repos = report.repos,
            events = report.events,
            requests = report.requests,
            stopped = work.stopped.len(),
            failed = work.failed.len(),
            "collected"
        );
    }
}

/// Returns the request to compare an organization. It ends on its own while there is time to save its progress.
fn reconcile_request(org: &str, deadline: Deadline) -> ReconcileRequest {
    ReconcileRequest { org: org.to_owned(), lists_everything: false, stop_at: Some(deadline.stop_at()) }
}

/// Logs what a person should know about the numbers.
fn log_warnings(org: &str, warnings: &[CollectWarning]) {
    for CollectWarning { repo, text } in warnings {
        tracing::warn!(org, repo, "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reconciliation_stops_before_the_invocation_is_cancelled() {
        let now = DateTime::from_timestamp(1_000, 0).unwrap();
        let deadline = Deadline::new(1_900_000, now);
        let request = reconcile_request("acme", deadline);
        let stop_at = request.stop_at.expect("it stops by itself");
        assert_eq!(stop_at - tokio::time::Instant::now(), Duration::from_secs(840));
        assert!(stop_at < deadline.cancel_at());
        assert!(!request.lists_everything, "the listings are spread over a week");
    }
}
