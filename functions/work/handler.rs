//! Processes the messages of an event, within the time of an invocation.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::SqsBatchResponse;
use chrono::{DateTime, Utc};
use gam_aws::Queue;
use gam_functions::messages::parse_event;
use gam_functions::{
    ClientError, ClientProvider, CollectCommand, Deadline, FunctionMetric, LambdaContext, Message,
    MessageOutcome, MessageSettlement, environment,
};
use gam_model::error_chain;
use gam_work::dirty::{list_marks_without_order, note_order};
use gam_work::{
    DrainReport, IssueFollower, IssueSource, OrderOutcome, OrgScopes, Processor, RecordQueue, RulesReport,
    WebhookOrder, WorkError,
};
use gam_work_ports::{CachedAttempts, CachedScopes, GitHubSource, LakeScopes};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::command::{WorkCommand, WorkMessage};

/// Number of orders that are read from the store at once.
const DRAIN_LIMIT: usize = 10;
/// How long a sweep goes on. The next one starts a minute later, and both must not carry out the same orders.
const SWEEP_TIME: Duration = Duration::from_secs(45);
/// How long an invocation with messages of the queue goes on with orders of the store. The messages stay in the queue
/// until it ends. The next sweep does the rest.
const DRAIN_AFTER_MESSAGES: Duration = Duration::from_secs(10);

/// The function `work`.
pub(crate) struct Worker {
    context: LambdaContext,
    settlement: MessageSettlement,
    /// The queue of the function `collect`.
    collector: Queue,
    clients: ClientProvider,
    organizations: Vec<String>,
    scopes: Arc<dyn OrgScopes>,
}

/// Why something failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Work(#[from] WorkError),
    #[error(transparent)]
    Queue(#[from] gam_aws::queue::QueueError),
}

impl From<gam_store::Error> for CommandError {
    fn from(error: gam_store::Error) -> Self {
        CommandError::Work(WorkError::Store(error))
    }
}

impl CommandError {
    /// Returns whether trying again may help.
    fn is_transient(&self) -> bool {
        match self {
            CommandError::Client(error) => error.is_transient(),
            CommandError::Work(error) => is_transient(error),
            CommandError::Queue(_) => true,
        }
    }
}

fn is_transient(error: &WorkError) -> bool {
    match error {
        WorkError::Store(error) => error.is_retryable(),
        WorkError::Source(error) => error.is_temporary,
        WorkError::NoSource | WorkError::Scope(_) => true,
    }
}

/// What an invocation has done.
#[derive(Default)]
struct WorkTotals {
    processed: u64,
    given_up: u64,
    /// Number of missed deliveries. `None` if nobody looked for them.
    missed: Option<usize>,
    /// Number of repaired issues. `None` if they were not compared.
    repaired: Option<usize>,
}

impl Worker {
    pub(crate) fn new(
        context: LambdaContext,
        settlement: MessageSettlement,
        collector: Queue,
        clients: ClientProvider,
    ) -> anyhow::Result<Self> {
        let organizations = environment::organizations()?;
        // The collector reads no others.
        let scopes = LakeScopes { lake: context.lake.clone(), names: None, orgs: organizations.clone() };
        let scopes = Arc::new(CachedScopes::new(scopes, context.clock.clone()));
        Ok(Worker { context, settlement, collector, clients, organizations, scopes })
    }

    /// Processes and settles the messages of an event.
    ///
    /// # Errors
    /// If the message of a direct invocation failed.
    pub(crate) async fn handle(&self, event: Value, deadline_ms: u64) -> anyhow::Result<SqsBatchResponse> {
        let deadline = Deadline::new(deadline_ms, self.now());
        let mut totals = WorkTotals::default();
        let mut outcomes = Vec::new();
        let mut has_orders = false;
        for message in parse_event(event) {
            let outcome = match WorkMessage::parse(&message.body) {
                Err(reason) => MessageOutcome::DeadLetter { reason },
                Ok(WorkMessage::Order(order)) => {
                    has_orders = true;
                    self.outcome_of_order(&order, deadline, &mut totals).await
                }
                Ok(WorkMessage::Command(command)) => {
                    self.outcome_of_command(&message, command, deadline, &mut totals).await
                }
            };
            outcomes.push((message, outcome));
        }
        // What follows from the orders is in the store, so a failure is repaired by the next sweep.
        let stop_at = deadline.stop_at().min(Instant::now() + DRAIN_AFTER_MESSAGES);
        if has_orders && let Err(error) = self.sweep(deadline, stop_at, &mut totals).await {
            tracing::warn!(
                error = error_chain(&error),
                "cannot do what follows from orders; the next sweep does"
            );
        }
        let settled = self.settlement.settle(outcomes).await;
        self.write_metrics(&totals, settled.dead_lettered);
        settled.response()
    }

    fn now(&self) -> DateTime<Utc> {
        self.context.clock.now()
    }

    fn processor(&self, source: Option<Arc<dyn IssueSource>>) -> Processor {
        let follower: Arc<dyn IssueFollower> = Arc::new(self.context.tasks().follower());
        Processor {
            records: self.context.store.clone(),
            clock: self.context.clock.clone(),
            scopes: self.scopes.clone(),
            source,
            followers: vec![follower],
            // Only `gate` and `act` may write actions.
            wakes_actions: false,
        }
    }

    /// Returns GitHub. Its client sends no request after the invocation must end.
    async fn source(&self, deadline: Deadline) -> Result<Arc<GitHubSource>, ClientError> {
        let client = self.clients.client().await?;
        client.stop_at(Some(deadline.stop_at()));
        Ok(Arc::new(GitHubSource::new(client)))
    }

    /// Carries out the order of a delivery. It changes the store alone: what must ask GitHub becomes an order in the
    /// store.
    async fn outcome_of_order(
        &self,
        order: &WebhookOrder,
        deadline: Deadline,
        totals: &mut WorkTotals,
    ) -> MessageOutcome {
        if order.format > WebhookOrder::format() {
            let reason = "the order has a newer format: deploy all functions of one version".to_owned();
            return MessageOutcome::Retry { reason };
        }
        let processor = self.processor(None);
        match timeout_at(deadline.cancel_at(), processor.process(order, None)).await {
            Ok(Ok(outcome)) => {
                totals.processed += 1;
                let (event, org, outcome) = (&order.event, &order.org, OrderOutcome::as_str(outcome));
                tracing::info!(event, org, guid = order.id, outcome, "webhook processed");
                MessageOutcome::Done
            }
            Ok(Err(error)) => MessageOutcome::from_error(error_chain(&error), is_transient(&error)),
            Err(_) => MessageOutcome::Retry { reason: "the time of the invocation is over".to_owned() },
        }
    }

    async fn outcome_of_command(
        &self,
        message: &Message,
        command: WorkCommand,
        deadline: Deadline,
        totals: &mut WorkTotals,
    ) -> MessageOutcome {
        let running = async {
            match command {
                WorkCommand::Sweep {} => {
                    let stop_at = deadline.stop_at().min(Instant::now() + SWEEP_TIME);
                    // The rules first: they say what may be handed out, and need no GitHub.
                    let ruled = self.apply_task_rules().await;
                    ruled.and(self.sweep(deadline, stop_at, totals).await)
                }
                WorkCommand::SweepDeliveries {} => self.sweep_deliveries(deadline, totals).await,
                WorkCommand::ReconcileIssues {} => self.reconcile_issues(deadline, totals).await,
            }
        };
        match timeout_at(deadline.cancel_at(), running).await {
            Ok(Ok(())) => MessageOutcome::Done,
            // The next one comes soon, and goes on where this one ended.
            Ok(Err(error)) if error.is_transient() => {
                let reason = error_chain(&error);
                tracing::warn!(body = message.body, reason, "failed; the schedule tries again");
                MessageOutcome::Done
            }
            Ok(Err(error)) => MessageOutcome::from_error(error_chain(&error), false),
            Err(_) => {
                tracing::warn!(
                    body = message.body,
                    "the time of the invocation is over; the schedule goes on"
                );
                MessageOutcome::Done
            }
        }
    }

    /// Carries out what earlier orders left in the store until `stop_at`, and sends orders to the collector.
    async fn sweep(
        &self,
        deadline: Deadline,
        stop_at: Instant,
        totals: &mut WorkTotals,
    ) -> Result<(), CommandError> {
        // Marks first: they need no GitHub.
        let ordered = self.order_marked().await;
        let drained = self.drain(deadline, stop_at, totals).await;
        ordered.and(drained)
    }

    async fn drain(
        &self,
        deadline: Deadline,
        stop_at: Instant,
        totals: &mut WorkTotals,
    ) -> Result<(), CommandError> {
        let queue = RecordQueue::new(self.context.store.clone(), self.context.clock.clone());
        // GitHub is needed only if there is something to do.
        if queue.due(1).await?.is_empty() {
            return Ok(());
        }
        let processor = self.processor(Some(self.source(deadline).await?));
        while Instant::now() < stop_at {
            let report = processor.drain(&queue, DRAIN_LIMIT).await?;
            if report.is_empty() {
                break;
            }
            totals.processed += report.outcomes.values().sum::<u64>();
            totals.given_up += report.given_up;
            let DrainReport { outcomes, postponed, given_up } = &report;
            tracing::info!(?outcomes, postponed, given_up, "orders of the store processed");
        }
        Ok(())
    }

    /// Sends the collector an order for each marked repository that has none. The order arrives when the mark is due.
    async fn order_marked(&self) -> Result<(), CommandError> {
        let registry = self.context.registry.get().await;
        let registry = registry.map_err(|error| WorkError::Scope(Box::new(error)))?;
        for org in &self.organizations {
            let (key, now) = (registry.key_of(org), self.now());
            for mark in list_marks_without_order(&*self.context.store, &key, now).await? {
                let command = CollectCommand::read_marked(org, mark.mark.repo.id).to_json();
                let delay = (mark.mark.due_at - now).to_std().unwrap_or(Duration::ZERO);
                self.collector.send(&[command], delay).await?;
                // If this fails, the next sweep sends the order once more, and the collector finds no mark the second time.
                note_order(&*self.context.store, &key, &mark, now).await?;
                let repo = &mark.mark.repo.name;
                tracing::info!(
                    org,
                    repo,
                    delay_s = delay.as_secs(),
                    "the collector will read the repository"
                );
            }
        }
        Ok(())
    }

    /// Applies changed rules about tasks to the issues of all organizations. One that fails does not stop the others.
    async fn apply_task_rules(&self) -> Result<(), CommandError> {
        let processor = self.processor(None);
        let mut failure = None;
        for org in &self.organizations {
            match processor.apply_task_rules(org).await {
                Ok(report) if report == RulesReport::default() => {}
                Ok(report) => tracing::info!(org, report.tasks, "rules of tasks applied"),
                Err(error) => failure = failure.or(Some(for_org(org, error))),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Looks for missed deliveries of all organizations. One that fails does not stop the others.
    async fn sweep_deliveries(
        &self,
        deadline: Deadline,
        totals: &mut WorkTotals,
    ) -> Result<(), CommandError> {
        let source = self.source(deadline).await?;
        let processor = self.processor(Some(source.clone()));
        let hooks = CachedAttempts::new(&*source);
        let mut failure = None;
        for org in &self.organizations {
            match processor.sweep(&hooks, org).await {
                Ok(report) => {
                    for reason in &report.failures {
                        tracing::warn!(org, reason, "cannot look for missed webhooks");
                    }
                    *totals.missed.get_or_insert_default() += report.missed;
                    if let Some((from, until)) = report.gap {
                        let repos = Vec::from_iter(report.repos).join(", ");
                        let (missed, from, until) = (report.missed, from.to_rfc3339(), until.to_rfc3339());
                        tracing::error!(
                            org,
                            missed,
                            from,
                            until,
                            repos,
                            "webhooks did not arrive; they are read again"
                        );
                    }
                }
                Err(error) => failure = failure.or(Some(for_org(org, error))),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Compares the cache of issues of all organizations. One that fails does not stop the others.
    async fn reconcile_issues(
        &self,
        deadline: Deadline,
        totals: &mut WorkTotals,
    ) -> Result<(), CommandError> {
        let processor = self.processor(Some(self.source(deadline).await?));
        let mut failure = None;
        for org in &self.organizations {
            match processor.reconcile(org).await {
                Ok(report) => {
                    *totals.repaired.get_or_insert_default() += report.repaired;
                    let (repos, read, repaired) = (report.repos, report.read, report.repaired);
                    tracing::info!(org, repos, read, repaired, "issues reconciled");
                    for (repo, reason) in &report.failed {
                        tracing::warn!(org, repo, reason, "cannot read the issues of a repository");
                    }
                }
                Err(error) => failure = failure.or(Some(for_org(org, error))),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn write_metrics(&self, totals: &WorkTotals, dead_lettered: usize) {
        let mut values = vec![
            (FunctionMetric::OrdersProcessed, totals.processed as f64),
            (FunctionMetric::OrdersGivenUp, totals.given_up as f64),
            (FunctionMetric::DeadLettered, dead_lettered as f64),
        ];
        values.extend(totals.missed.map(|missed| (FunctionMetric::WebhooksMissed, missed as f64)));
        values.extend(totals.repaired.map(|repaired| (FunctionMetric::IssuesRepaired, repaired as f64)));
        self.context.metrics.write(self.now(), &values);
    }
}

fn for_org(org: &str, error: WorkError) -> CommandError {
    tracing::warn!(org, error = error_chain(&error), "failed for the organization");
    CommandError::Work(error)
}
