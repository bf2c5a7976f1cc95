//! Orders, within the time of an invocation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lambda_events::event::sqs::SqsBatchResponse;
use gam_aggregate::{
    AggregateError, AggregateObserver, AggregateOptions, AggregatePorts, AggregateProgress, AggregateReport,
    aggregate_with, orgs_in_lake,
};
use gam_functions::messages::of_event;
use gam_functions::{Deadline, LambdaContext, Message, Metric, Outcome, Settler, environment};
use gam_model::error_chain;
use gam_store::NameStore;
use serde_json::{Value, json};

use crate::order::{Order, Sweep};

/// How much of the inbox is worked off at once, in bytes of Parquet: events take many times that in memory.
const CHUNK_BYTES: u64 = 16 * 1024 * 1024;
/// What `collect` writes is far smaller: it puts 32 pages into a batch. More need not fit into the memory.
const LARGEST_BATCH_BYTES: u64 = 16 * 1024 * 1024;

/// The function.
pub(crate) struct Aggregator {
    context: LambdaContext,
    settler: Settler,
    /// Those whose lag is told.
    organizations: Vec<String>,
}

/// What an invocation has done.
#[derive(Default)]
struct Totals {
    batches: usize,
    rollups: usize,
    rejected: usize,
    set_aside: usize,
    /// Whether a sweep was made, which tells the lag.
    swept: bool,
}

/// What became of an organization.
enum Done {
    Whole,
    /// Time ran out.
    Unfinished,
    Failed {
        why: String,
        is_transient: bool,
    },
}

/// Remembers batches that were set aside: a run that ends early reports nothing.
#[derive(Default)]
struct Rejected(Mutex<Vec<(String, String)>>);

impl Rejected {
    fn into_list(self) -> Vec<(String, String)> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AggregateObserver for Rejected {
    fn notice(&self, progress: AggregateProgress) {
        if let AggregateProgress::Rejected { path, why } = progress {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((path, why));
        }
    }
}

impl Aggregator {
    pub(crate) fn new(context: LambdaContext, settler: Settler) -> anyhow::Result<Self> {
        Ok(Aggregator { context, settler, organizations: environment::organizations()? })
    }

    /// Opens the connections that every invocation needs, while that costs nobody time.
    pub(crate) async fn warm(&self) {
        let (store, lake) = tokio::join!(self.context.store.orgs(), self.context.identity());
        if let Err(error) = store {
            tracing::warn!(%error, "the store does not answer yet");
        }
        if let Err(error) = lake {
            tracing::warn!(%error, "the configuration cannot be read yet");
        }
    }

    /// Follows the orders of an event.
    pub(crate) async fn handle(&self, event: Value, deadline_ms: u64) -> anyhow::Result<SqsBatchResponse> {
        let now = self.context.clock.now();
        let deadline = Deadline::of(deadline_ms, now);
        let mut totals = Totals::default();
        let outcomes = self.follow(of_event(event), deadline, &mut totals).await;
        let settled = self.settler.settle(outcomes).await;
        totals.set_aside += settled.set_aside;
        self.tell(&totals).await;
        settled.answer()
    }

    async fn follow(
        &self,
        messages: Vec<Message>,
        deadline: Deadline,
        totals: &mut Totals,
    ) -> Vec<(Message, Outcome)> {
        let mut outcomes = Vec::new();
        let mut waiting: Vec<(Message, BTreeSet<String>)> = Vec::new();
        let mut sweeps: Vec<(Message, Sweep)> = Vec::new();
        for message in messages {
            match Order::parse(&message.body, |bucket, key| self.context.lake.path_of(bucket, key)) {
                Ok(Order::Nothing) => outcomes.push((message, Outcome::Done)),
                Ok(Order::Inbox { orgs }) => waiting.push((message, orgs)),
                Ok(Order::Sweep(sweep)) => sweeps.push((message, sweep)),
                Err(why) => outcomes.push((message, Outcome::Aside { why })),
            }
        }
        if waiting.is_empty() && sweeps.is_empty() {
            return outcomes;
        }
        // Read anew each time: a change is to be seen by warm functions, too.
        let ports = match self.context.identity().await {
            Ok(identity) => self.context.aggregate_ports(identity),
            Err(error) => {
                let why = format!("{error:#}");
                let all = waiting.into_iter().map(|(message, _)| message);
                let all = all.chain(sweeps.into_iter().map(|(message, _)| message));
                outcomes.extend(all.map(|message| (message, Outcome::Retry { why: why.clone() })));
                return outcomes;
            }
        };
        outcomes.extend(self.work_off(&ports, waiting, deadline, totals).await);
        for (message, sweep) in sweeps {
            let outcome = self.sweep(&ports, &sweep, deadline, totals).await;
            outcomes.push((message, outcome));
        }
        outcomes
    }

    /// Works off the inboxes that events have told of, each once.
    async fn work_off(
        &self,
        ports: &AggregatePorts,
        waiting: Vec<(Message, BTreeSet<String>)>,
        deadline: Deadline,
        totals: &mut Totals,
    ) -> Vec<(Message, Outcome)> {
        let orgs: BTreeSet<String> = waiting.iter().flat_map(|(_, orgs)| orgs).cloned().collect();
        let mut unfinished = BTreeSet::new();
        let mut failed = BTreeMap::new();
        for org in orgs {
            match self.org(ports, &org, &options(deadline, false, false), deadline, totals).await {
                Done::Whole => {}
                Done::Unfinished => {
                    unfinished.insert(org);
                }
                Done::Failed { why, is_transient } => {
                    failed.insert(org, Outcome::of_error(why, is_transient));
                }
            }
        }
        let outcome = |(message, orgs): (Message, BTreeSet<String>)| {
            let failure = orgs.iter().find_map(|org| failed.get(org).cloned());
            let left: Vec<String> = orgs.intersection(&unfinished).cloned().collect();
            let outcome = match (failure, left.is_empty()) {
                (Some(failure), _) => failure,
                (None, true) => Outcome::Done,
                (None, false) => again(&Sweep::default(), left),
            };
            (message, outcome)
        };
        waiting.into_iter().map(outcome).collect()
    }

    /// Looks at everything of the organizations; what is left, where the time ends, is looked at later.
    async fn sweep(
        &self,
        ports: &AggregatePorts,
        sweep: &Sweep,
        deadline: Deadline,
        totals: &mut Totals,
    ) -> Outcome {
        let mut orgs = sweep.organizations.clone();
        if orgs.is_empty() {
            match orgs_in_lake(&*ports.objects).await {
                Ok(found) => orgs = found,
                Err(error) => return Outcome::of_error(error_chain(&error), is_transient(&error)),
            }
        }
        totals.swept = true;
        let mut failure = None;
        for (at, org) in orgs.iter().enumerate() {
            match self.org(ports, org, &options(deadline, true, sweep.rebuild), deadline, totals).await {
                Done::Whole => {}
                Done::Unfinished => return again(sweep, orgs[at..].to_vec()),
                // The other organizations may fare better.
                Done::Failed { why, is_transient } => {
                    failure = failure.or(Some(Outcome::of_error(format!("{org}: {why}"), is_transient)));
                }
            }
        }
        failure.unwrap_or(Outcome::Done)
    }

    async fn org(
        &self,
        ports: &AggregatePorts,
        org: &str,
        options: &AggregateOptions,
        deadline: Deadline,
        totals: &mut Totals,
    ) -> Done {
        let rejected = Rejected::default();
        let aggregating = aggregate_with(ports, org, options, &rejected);
        let ended_early = match tokio::time::timeout_at(deadline.give_up_at(), aggregating).await {
            Ok(Ok(report)) => {
                self.note(org, &report, totals).await;
                return if report.unfinished { Done::Unfinished } else { Done::Whole };
            }
            Ok(Err(error)) => Done::Failed { why: error_chain(&error), is_transient: is_transient(&error) },
            Err(_) => {
                tracing::warn!(org, "given up, as the time is over: what is in the lake and the store stays");
                Done::Unfinished
            }
        };
        let rejected = rejected.into_list();
        let report = AggregateReport { rejected, unfinished: true, ..AggregateReport::default() };
        self.note(org, &report, totals).await;
        ended_early
    }

    /// Takes note of what was done, and sets aside word of every batch that cannot be read.
    async fn note(&self, org: &str, report: &AggregateReport, totals: &mut Totals) {
        tracing::info!(
            org,
            batches = report.batches,
            events = report.events,
            months = report.months.len(),
            rollups = report.rollups,
            rejected = report.rejected.len(),
            deferred = report.deferred,
            unfinished = report.unfinished,
            "aggregated"
        );
        totals.batches += report.batches;
        totals.rollups += report.rollups;
        totals.rejected += report.rejected.len() + report.oversized.len();
        let rejected = report.rejected.iter().map(|(aside, why)| (json!({ "rejected": aside }), why.clone()));
        let oversized = report.oversized.iter().map(|(path, bytes)| {
            let why = format!("{bytes} bytes are too many for a batch: move it out of the inbox");
            (json!({ "oversized": path }), why)
        });
        for (body, why) in rejected.chain(oversized) {
            totals.set_aside += usize::from(self.settler.put_aside(&body.to_string(), &why).await);
        }
    }

    async fn tell(&self, totals: &Totals) {
        let now = self.context.clock.now();
        let mut values = vec![
            (Metric::BatchesMerged, totals.batches as f64),
            (Metric::RollupsWritten, totals.rollups as f64),
            (Metric::BatchesRejected, totals.rejected as f64),
            (Metric::DeadLettered, totals.set_aside as f64),
        ];
        if totals.swept {
            let lag = self.context.lag_seconds(&self.organizations, now).await;
            values.extend(lag.map(|seconds| (Metric::LagSeconds, seconds)));
        }
        self.context.metrics.tell(now, &values);
    }
}

fn options(deadline: Deadline, check_months: bool, rebuild: bool) -> AggregateOptions {
    AggregateOptions {
        rebuild,
        check_months,
        chunk_bytes: CHUNK_BYTES,
        largest_batch_bytes: LARGEST_BATCH_BYTES,
        until: Some(deadline.stop_time()),
    }
}

fn again(sweep: &Sweep, orgs: Vec<String>) -> Outcome {
    match sweep.again(orgs) {
        Some(body) => Outcome::Again { body, after: Duration::ZERO },
        None => Outcome::Aside {
            why: "it was put back too often: look at what keeps it from being done".to_owned(),
        },
    }
}

fn is_transient(error: &AggregateError) -> bool {
    match error {
        AggregateError::Lake(error) => error.is_retryable(),
        AggregateError::Store(error) => error.is_retryable(),
        AggregateError::Fold { .. } => false,
        AggregateError::Contended { .. } => true,
    }
}
