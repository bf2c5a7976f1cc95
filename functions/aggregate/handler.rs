//! Processes the commands of an event, within the time of an invocation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lambda_events::event::sqs::SqsBatchResponse;
use gam_aggregate::{
    AggregateError, AggregateObserver, AggregateOptions, AggregateProgress, AggregateReport,
    MonthTaskOutcome, aggregate_with, fold_month, orgs_in_lake, plan_months,
};
use gam_functions::messages::parse_event;
use gam_functions::{
    Deadline, FunctionMetric, LambdaContext, Message, MessageOutcome, MessageSettlement, environment,
};
use gam_model::error_chain;
use gam_store::NameStore;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::command::{AggregateCommand, FoldMonthCommand, SweepCommand};

/// Memory of the decoded events that are processed together, in bytes. While they are
/// processed, the next batch waits decoded, so up to twice as much is in memory.
const CHUNK_BYTES: u64 = 128 * 1024 * 1024;
/// Size of the largest batch that is read, in bytes. `collect` writes far smaller ones, of 32 pages each.
const MAX_BATCH_BYTES: u64 = 16 * 1024 * 1024;

/// The function `aggregate`.
pub(crate) struct Aggregator {
    context: LambdaContext,
    settlement: MessageSettlement,
    /// The queue of the months that are to be folded.
    months: MessageSettlement,
    /// The organizations of the deployment, whose lag is written as a metric.
    organizations: Vec<String>,
}

/// What an invocation has done.
#[derive(Default)]
struct AggregateTotals {
    batches: usize,
    rollups: usize,
    rejected: usize,
    dead_lettered: usize,
    /// Whether there was a sweep. Only then the lag is written.
    has_swept: bool,
}

/// The outcome of aggregating an organization.
enum OrgOutcome {
    Complete,
    /// Time ran out.
    Unfinished,
    Failed {
        reason: String,
        is_transient: bool,
    },
}

/// Collects rejected batches, because a run that fails or is cancelled returns no report.
#[derive(Default)]
struct RejectedBatches(Mutex<Vec<(String, String)>>);

impl RejectedBatches {
    fn into_list(self) -> Vec<(String, String)> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AggregateObserver for RejectedBatches {
    fn notice(&self, progress: AggregateProgress) {
        if let AggregateProgress::Rejected { path, why } = progress {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((path, why));
        }
    }
}

impl Aggregator {
    pub(crate) fn new(
        context: LambdaContext,
        settlement: MessageSettlement,
        months: MessageSettlement,
    ) -> anyhow::Result<Self> {
        Ok(Aggregator { context, settlement, months, organizations: environment::organizations()? })
    }

    /// Opens the connections to store and lake during the cold start, so that no invocation waits for them.
    pub(crate) async fn warm_up(&self) {
        let (store, lake) = tokio::join!(self.context.store.orgs(), orgs_in_lake(&*self.context.lake));
        if let Err(error) = store {
            tracing::warn!(%error, "cannot reach the store yet");
        }
        if let Err(error) = lake {
            tracing::warn!(%error, "cannot reach the lake yet");
        }
    }

    /// Processes and settles the messages of an event.
    ///
    /// # Errors
    /// If the message of a direct invocation failed.
    pub(crate) async fn handle(&self, event: Value, deadline_ms: u64) -> anyhow::Result<SqsBatchResponse> {
        let deadline = Deadline::new(deadline_ms, self.context.clock.now());
        let mut totals = AggregateTotals::default();
        let messages = parse_event(event);
        // All messages of an event come from one queue.
        let is_of_months = messages.iter().any(Message::is_from_fifo_queue);
        let outcomes = self.process(messages, deadline, &mut totals).await;
        let settlement = if is_of_months { &self.months } else { &self.settlement };
        let settled = settlement.settle(outcomes).await;
        totals.dead_lettered += settled.dead_lettered;
        self.write_metrics(&totals).await;
        settled.response()
    }

    async fn process(
        &self,
        messages: Vec<Message>,
        deadline: Deadline,
        totals: &mut AggregateTotals,
    ) -> Vec<(Message, MessageOutcome)> {
        let mut outcomes = Vec::new();
        let mut inboxes: Vec<(Message, BTreeSet<String>)> = Vec::new();
        let mut sweeps: Vec<(Message, SweepCommand)> = Vec::new();
        for message in messages {
            match AggregateCommand::parse(&message.body, |bucket, key| self.context.lake.path_of(bucket, key))
            {
                Ok(AggregateCommand::Ignore) => outcomes.push((message, MessageOutcome::Done)),
                Ok(AggregateCommand::ProcessInboxes { orgs }) => inboxes.push((message, orgs)),
                Ok(AggregateCommand::Sweep(sweep)) => sweeps.push((message, sweep)),
                Ok(AggregateCommand::FoldMonth(month)) => {
                    let outcome = self.fold_month(&month, deadline, totals).await;
                    outcomes.push((message, outcome));
                }
                Err(reason) => outcomes.push((message, MessageOutcome::DeadLetter { reason })),
            }
        }
        if inboxes.is_empty() && sweeps.is_empty() {
            return outcomes;
        }
        outcomes.extend(self.process_inboxes(inboxes, deadline, totals).await);
        let mut finished: Vec<SweepCommand> = Vec::new();
        for (message, sweep) in sweeps {
            // The message of the first of equal sweeps stays in its queue, or is replaced, if the sweep is not done.
            let outcome = match finished.iter().any(|other| other.has_same_work(&sweep)) {
                true => MessageOutcome::Done,
                false => self.sweep(&sweep, deadline, totals).await,
            };
            outcomes.push((message, outcome));
            finished.push(sweep);
        }
        outcomes
    }

    /// Processes the inboxes that events are about, each of them once.
    async fn process_inboxes(
        &self,
        inboxes: Vec<(Message, BTreeSet<String>)>,
        deadline: Deadline,
        totals: &mut AggregateTotals,
    ) -> Vec<(Message, MessageOutcome)> {
        let orgs: BTreeSet<String> = inboxes.iter().flat_map(|(_, orgs)| orgs).cloned().collect();
        let mut unfinished = BTreeSet::new();
        let mut failed = BTreeMap::new();
        for org in orgs {
            match self.aggregate_org(&org, &options(deadline, false), deadline, totals).await {
                OrgOutcome::Complete => {}
                OrgOutcome::Unfinished => {
                    unfinished.insert(org);
                }
                OrgOutcome::Failed { reason, is_transient } => {
                    failed.insert(org, MessageOutcome::from_error(reason, is_transient));
                }
            }
        }
        let mut outcomes = Vec::new();
        for (message, orgs) in inboxes {
            let failure = orgs.iter().find_map(|org| failed.get(org).cloned());
            let remaining: Vec<String> = orgs.intersection(&unfinished).cloned().collect();
            let outcome = match (failure, remaining.is_empty()) {
                (Some(failure), _) => failure,
                (None, true) => MessageOutcome::Done,
                (None, false) => self.requeue(&SweepCommand::default(), &remaining).await,
            };
            outcomes.push((message, outcome));
        }
        outcomes
    }

    /// Processes the inbox and checks all months of the organizations. If time runs out, the command is requeued
    /// for the remaining organizations.
    async fn sweep(
        &self,
        sweep: &SweepCommand,
        deadline: Deadline,
        totals: &mut AggregateTotals,
    ) -> MessageOutcome {
        let keys = match self.keys_to_sweep(sweep).await {
            Ok(keys) => keys,
            Err(error) => return MessageOutcome::from_error(error_chain(&error), is_transient(&error)),
        };
        totals.has_swept = true;
        let mut failure = None;
        let mut fanned_out = BTreeSet::new();
        let mut unplanned_from = None;
        for (index, org) in keys.iter().enumerate() {
            match self.fan_out_in_time(org, sweep.rebuild, deadline).await {
                Some(Ok(true)) => _ = fanned_out.insert(org),
                Some(Ok(false)) => {}
                Some(Err(outcome)) => failure = failure.or(Some(outcome)),
                None => {
                    unplanned_from = Some(index);
                    break;
                }
            }
        }
        if sweep.rebuild
            && let Some(failure) = failure
        {
            // The message is delivered again, and the months that were sent twice are folded twice.
            return failure;
        }
        if let Some(index) = unplanned_from {
            return self.requeue_unplanned(sweep, keys.split_at(index)).await;
        }
        // The messages of a rebuild are sent. Requeued is what is left.
        let sweep = &sweep.without_rebuild();
        for (index, org) in keys.iter().enumerate() {
            let options = options(deadline, !fanned_out.contains(org));
            match self.aggregate_org(org, &options, deadline, totals).await {
                OrgOutcome::Complete => {}
                OrgOutcome::Unfinished => return self.requeue(sweep, &keys[index..]).await,
                // The other organizations may succeed.
                OrgOutcome::Failed { reason, is_transient } => {
                    let reason = format!("{org}: {reason}");
                    failure = failure.or(Some(MessageOutcome::from_error(reason, is_transient)));
                }
            }
        }
        failure.unwrap_or(MessageOutcome::Done)
    }

    /// Does what [`Self::fan_out`] does, or returns `None` if time runs out first.
    async fn fan_out_in_time(
        &self,
        org: &str,
        rebuild: bool,
        deadline: Deadline,
    ) -> Option<Result<bool, MessageOutcome>> {
        if Instant::now() >= deadline.stop_at() {
            return None;
        }
        tokio::time::timeout_at(deadline.cancel_at(), self.fan_out(org, rebuild)).await.ok()
    }

    /// Requeues a sweep for which time ran out before the months of all organizations were planned. Takes the
    /// storage keys of those that were planned, and of those that were not.
    async fn requeue_unplanned(
        &self,
        sweep: &SweepCommand,
        (planned, unplanned): (&[String], &[String]),
    ) -> MessageOutcome {
        if !sweep.rebuild {
            return self.requeue(sweep, &[unplanned, planned].concat()).await;
        }
        // The messages of a rebuild were sent for the planned ones, so their months must not be planned again.
        if !planned.is_empty() {
            let body = match self.requeue(&sweep.without_rebuild(), planned).await {
                MessageOutcome::Requeue { body, .. } => body,
                outcome => return outcome,
            };
            if let Err(error) = self.settlement.send(&[body]).await {
                return MessageOutcome::Retry { reason: error.to_string() };
            }
        }
        self.requeue(sweep, unplanned).await
    }

    /// Sends a message for each month that has to be folded under new rules, or with `rebuild` for each month. Returns
    /// whether there are such months. A few months that do not match their snapshot are no reason: the sweep folds them.
    async fn fan_out(&self, org: &str, rebuild: bool) -> Result<bool, MessageOutcome> {
        let ports = self.context.aggregate_ports();
        let plan = plan_months(&ports, org, rebuild, &()).await.map_err(|error| {
            MessageOutcome::from_error(format!("{org}: {}", error_chain(&error)), is_transient(&error))
        })?;
        let Some(plan) = plan.filter(|plan| (plan.is_target || rebuild) && !plan.months.is_empty()) else {
            return Ok(false);
        };
        let requested_at = rebuild.then(|| self.context.clock.now());
        let messages = FoldMonthCommand::messages(org, &plan, requested_at);
        let sent = self.months.send_grouped(&messages).await;
        sent.map_err(|error| MessageOutcome::Retry { reason: format!("{org}: {error}") })?;
        tracing::info!(
            org,
            epoch = plan.epoch.0,
            months = plan.months.len(),
            rebuild,
            "queued months to fold"
        );
        Ok(true)
    }

    /// Folds one month. If new rules were found, a sweep plans the months again.
    async fn fold_month(
        &self,
        command: &FoldMonthCommand,
        deadline: Deadline,
        totals: &mut AggregateTotals,
    ) -> MessageOutcome {
        let Some(task) = command.task() else { return MessageOutcome::Done };
        let (org, month, epoch) = (task.org.as_str(), task.month, task.epoch.0);
        let (ports, options) = (self.context.aggregate_ports(), options(deadline, false));
        let folding = fold_month(&ports, &task, &options, &());
        match tokio::time::timeout_at(deadline.cancel_at(), folding).await {
            Ok(Ok(MonthTaskOutcome::Done { rollups })) => {
                tracing::info!(org, %month, epoch, rollups, "folded a month");
                totals.rollups += rollups;
                MessageOutcome::Done
            }
            Ok(Ok(MonthTaskOutcome::Outdated { needs_plan })) => {
                tracing::info!(org, %month, epoch, "nothing to fold: the epoch is not the newest one");
                if needs_plan { self.request_sweep(org).await } else { MessageOutcome::Done }
            }
            Ok(Ok(MonthTaskOutcome::OutOfTime)) | Err(_) => MessageOutcome::Retry {
                reason: format!(
                    "time ran out while folding {month} of {org}: raise AggregateMemory, which gives the function \
                     more processor too"
                ),
            },
            Ok(Err(error)) => MessageOutcome::from_error(error_chain(&error), is_transient(&error)),
        }
    }

    /// Queues a sweep of the organization with this storage key.
    async fn request_sweep(&self, org: &str) -> MessageOutcome {
        let registry = match self.context.registry.get().await {
            Ok(registry) => registry,
            Err(error) => return MessageOutcome::from_error(error_chain(&error), error.is_retryable()),
        };
        let sweep = SweepCommand::for_org(registry.name_of_stored(org));
        match self.settlement.send(&[sweep.to_json()]).await {
            Ok(()) => MessageOutcome::Done,
            Err(error) => MessageOutcome::Retry { reason: error.to_string() },
        }
    }

    /// Returns the storage keys of the organizations of a sweep: those that it names, or all in the lake.
    async fn keys_to_sweep(&self, sweep: &SweepCommand) -> Result<Vec<String>, AggregateError> {
        if sweep.organizations.is_empty() {
            return orgs_in_lake(&*self.context.lake).await;
        }
        let registry = self.context.registry.get().await?;
        Ok(sweep.organizations.iter().map(|org| registry.key_of(org)).collect())
    }

    /// Requeues a sweep for the organizations with these storage keys. The message has their names.
    async fn requeue(&self, sweep: &SweepCommand, keys: &[String]) -> MessageOutcome {
        let registry = match self.context.registry.get().await {
            Ok(registry) => registry,
            Err(error) => return MessageOutcome::from_error(error_chain(&error), error.is_retryable()),
        };
        let names = keys.iter().map(|key| registry.name_of_stored(key).to_owned());
        MessageOutcome::requeue(sweep.requeue(names.collect()), Duration::ZERO)
    }

    /// Processes the inbox of the organization with this storage key.
    async fn aggregate_org(
        &self,
        org: &str,
        options: &AggregateOptions,
        deadline: Deadline,
        totals: &mut AggregateTotals,
    ) -> OrgOutcome {
        let rejected = RejectedBatches::default();
        let aggregating = async {
            let ports = self.context.aggregate_ports();
            aggregate_with(&ports, org, options, &rejected).await
        };
        let outcome = match tokio::time::timeout_at(deadline.cancel_at(), aggregating).await {
            Ok(Ok(report)) => {
                self.record_report(org, &report, totals).await;
                return if report.unfinished { OrgOutcome::Unfinished } else { OrgOutcome::Complete };
            }
            Ok(Err(error)) => {
                OrgOutcome::Failed { reason: error_chain(&error), is_transient: is_transient(&error) }
            }
            Err(_) => {
                tracing::warn!(org, "cancelled because time ran out; what was saved stays");
                OrgOutcome::Unfinished
            }
        };
        let rejected = rejected.into_list();
        let report = AggregateReport { rejected, unfinished: true, ..AggregateReport::default() };
        self.record_report(org, &report, totals).await;
        outcome
    }

    /// Logs a report, adds it to the totals, and sends a dead letter about every batch that cannot be read.
    async fn record_report(&self, org: &str, report: &AggregateReport, totals: &mut AggregateTotals) {
        tracing::info!(
            org,
            batches = report.batches,
            events = report.events,
            months = report.months.len(),
            rollups = report.rollups,
            session_batches = report.sessions.batches,
            rejected = report.rejected.len() + report.sessions.rejected.len(),
            deferred = report.deferred + report.sessions.deferred,
            waiting = report.waiting,
            unfinished = report.unfinished,
            "aggregated"
        );
        let sessions = &report.sessions;
        totals.batches += report.batches + sessions.batches;
        totals.rollups += report.rollups + sessions.rollups;
        totals.rejected += report.rejected.len() + sessions.rejected.len() + report.oversized.len();
        let rejected = report
            .rejected
            .iter()
            .chain(&sessions.rejected)
            .map(|(path, reason)| (json!({ "rejected": path }), reason.clone()));
        let oversized = report.oversized.iter().map(|(path, bytes)| {
            let reason = format!("a batch of {bytes} bytes is too large: move it out of the inbox");
            (json!({ "oversized": path }), reason)
        });
        for (body, reason) in rejected.chain(oversized) {
            let is_sent = self.settlement.send_dead_letter(&body.to_string(), &reason).await;
            totals.dead_lettered += usize::from(is_sent);
        }
    }

    async fn write_metrics(&self, totals: &AggregateTotals) {
        let values = vec![
            (FunctionMetric::BatchesMerged, totals.batches as f64),
            (FunctionMetric::RollupsWritten, totals.rollups as f64),
            (FunctionMetric::BatchesRejected, totals.rejected as f64),
            (FunctionMetric::DeadLettered, totals.dead_lettered as f64),
        ];
        let lagging_orgs = if totals.has_swept { self.organizations.as_slice() } else { &[] };
        self.context.write_metrics(values, lagging_orgs).await;
    }
}

fn options(deadline: Deadline, check_months: bool) -> AggregateOptions {
    AggregateOptions {
        check_months,
        chunk_bytes: CHUNK_BYTES,
        max_batch_bytes: MAX_BATCH_BYTES,
        // The function has one processor, and the memory for one month.
        max_concurrent_months: 1,
        until: Some(deadline.stop_at_utc()),
        ..AggregateOptions::default()
    }
}

fn is_transient(error: &AggregateError) -> bool {
    match error {
        AggregateError::Lake(error) => error.is_retryable(),
        AggregateError::Store(error) => error.is_retryable(),
        AggregateError::Fold { .. } => false,
        // Of erasures, too: the revision that has them may have been added a moment ago.
        AggregateError::Contended { .. }
        | AggregateError::HeadContended { .. }
        | AggregateError::ConfigurationContended { .. }
        | AggregateError::LacksErasures { .. } => true,
    }
}
