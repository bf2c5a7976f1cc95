//! Orders, one after another, within the time of an invocation.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use aws_lambda_events::event::sqs::SqsBatchResponse;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use gam_collect::reconcile::reconcile;
use gam_collect::{CollectError, CollectRequest, Limited, WorkItem, WorkReport, plan, work};
use gam_functions::messages::of_event;
use gam_functions::{Deadline, LambdaContext, Message, Metric, Outcome, Settler, environment};
use gam_github::{Client, Error as GitHubError};
use gam_model::error_chain;
use serde_json::Value;

use crate::order::{Order, Trail};
use crate::sign_in::{SignIn, SignInError};

/// When to look again where GitHub does not say when its limits are reset.
const LATER: TimeDelta = TimeDelta::minutes(2);
/// When to try again where another invocation reads the same repository.
const AFTER_ANOTHER: TimeDelta = TimeDelta::seconds(30);
/// When to try again what the function was called with and failed for now.
const AFTER_FAILURE: TimeDelta = TimeDelta::minutes(1);

/// The function.
pub(crate) struct Collector {
    context: LambdaContext,
    settler: Settler,
    sign_in: SignIn,
    organizations: Vec<String>,
    since: Option<NaiveDate>,
}

/// An order to read a repository, with the message that brought it.
type Work = (Message, Order, WorkItem);

/// Why an order could not be followed.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    SignIn(#[from] SignInError),
    #[error(transparent)]
    Collect(#[from] CollectError),
    #[error("the plan could not be handed out: {0}")]
    HandOut(anyhow::Error),
}

/// What an invocation has done.
#[derive(Default)]
struct Totals {
    events: usize,
    requests: u64,
    failed: usize,
    share_left: Option<f64>,
}

impl Collector {
    pub(crate) fn new(context: LambdaContext, settler: Settler, sign_in: SignIn) -> anyhow::Result<Self> {
        let since = environment::optional("COLLECT_SINCE");
        let day = |text: String| {
            text.parse().with_context(|| format!("COLLECT_SINCE {text:?} is no day: give YYYY-MM-DD"))
        };
        let since = since.map(day).transpose()?;
        Ok(Collector { context, settler, sign_in, organizations: environment::organizations()?, since })
    }

    /// Opens the connections that every invocation needs, while that costs nobody time.
    pub(crate) async fn warm(&self) {
        let Some(org) = self.organizations.first() else { return };
        if let Err(error) = self.context.org_checkpoint(org).await {
            tracing::warn!(%error, "the store does not answer yet");
        }
    }

    /// Follows the orders of an event.
    pub(crate) async fn handle(&self, event: Value, deadline_ms: u64) -> anyhow::Result<SqsBatchResponse> {
        let deadline = Deadline::of(deadline_ms, self.now());
        let mut totals = Totals::default();
        let outcomes = self.follow(of_event(event), deadline, &mut totals).await;
        let settled = self.settler.settle(outcomes).await;
        self.tell(&totals, settled.set_aside).await;
        settled.answer()
    }

    fn now(&self) -> DateTime<Utc> {
        self.context.clock.now()
    }

    async fn follow(
        &self,
        messages: Vec<Message>,
        deadline: Deadline,
        totals: &mut Totals,
    ) -> Vec<(Message, Outcome)> {
        let mut outcomes = Vec::new();
        let mut works: BTreeMap<(String, Option<NaiveDate>), Vec<Work>> = BTreeMap::new();
        for message in messages {
            let mut order = match Order::parse(&message.body) {
                Ok(order) => order,
                Err(why) => {
                    outcomes.push((message, Outcome::Aside { why }));
                    continue;
                }
            };
            if let Some(after) = order.waits(self.now()) {
                let body = message.body.clone();
                outcomes.push((message, Outcome::Again { body, after }));
                continue;
            }
            match order.clone() {
                Order::Plan { organizations, .. } | Order::Reconcile { organizations, .. } => {
                    let outcome = self.each_org(&message, &order, organizations, deadline, totals).await;
                    outcomes.push((message, outcome));
                }
                Order::Work { org, repo, since, .. } => {
                    works.entry((org, since)).or_default().push((message, order, repo));
                }
            }
        }
        for ((org, since), items) in works {
            outcomes.extend(self.work(&org, since, items, deadline, totals).await);
        }
        outcomes
    }

    /// Runs a use case with the client; once more where the token was refused and there is a new one.
    async fn with_client<T>(
        &self,
        deadline: Deadline,
        totals: &mut Totals,
        run: impl AsyncFn(&Client) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let mut client = self.sign_in.client().await?;
        client.stop_at(Some(deadline.stop_at()));
        let mut done = run(&client).await;
        if let Err(Trouble::Collect(CollectError::GitHub(GitHubError::Unauthorized(_)))) = &done
            && let Some(anew) = self.sign_in.client_anew().await?
        {
            tracing::info!("GitHub refused the token, and there is a new one");
            client = anew;
            client.stop_at(Some(deadline.stop_at()));
            done = run(&client).await;
        }
        totals.share_left = client.share_left();
        done
    }

    fn request(&self, org: &str, since: Option<NaiveDate>) -> CollectRequest {
        CollectRequest {
            org: org.to_owned(),
            since,
            parallelism: self.sign_in.parallelism(),
            ..CollectRequest::default()
        }
    }

    /// Plans or reconciles each organization; what is left, where the time or GitHub's limits end, comes later.
    async fn each_org(
        &self,
        message: &Message,
        order: &Order,
        organizations: Vec<String>,
        deadline: Deadline,
        totals: &mut Totals,
    ) -> Outcome {
        let orgs = if organizations.is_empty() { self.organizations.clone() } else { organizations };
        let mut left = orgs.into_iter();
        while let Some(org) = left.next() {
            let done = match order {
                Order::Plan { since, .. } => {
                    self.plan_org(&org, since.or(self.since), deadline, totals).await
                }
                Order::Reconcile { .. } | Order::Work { .. } => {
                    self.reconcile_org(&org, deadline, totals).await
                }
            };
            if let Err(trouble) = done {
                // The organizations before it are done; the others are not.
                let rest = order.clone().for_orgs(std::iter::once(org).chain(left).collect());
                let outcome = self.outcome(rest.clone(), &trouble);
                return self.by_the_queue(message, rest, outcome);
            }
        }
        Outcome::Done
    }

    /// Lets the queue bring back what failed for now: whoever calls the function tries once more at most.
    fn by_the_queue(&self, message: &Message, order: Order, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Retry { why } if message.receipt.is_none() => {
                tracing::warn!(body = message.body, why, "failed, to be tried again by the queue");
                self.again(order, Some(self.now() + AFTER_FAILURE))
            }
            outcome => outcome,
        }
    }

    async fn plan_org(
        &self,
        org: &str,
        since: Option<NaiveDate>,
        deadline: Deadline,
        totals: &mut Totals,
    ) -> Result<(), Trouble> {
        let request = self.request(org, since);
        let plan = self
            .with_client(deadline, totals, async |client| {
                Ok(plan(&self.context.collect_ports(), client, &request, &()).await?)
            })
            .await?;
        totals.requests += plan.requests;
        totals.failed += plan.failed.len();
        for (repo, why) in &plan.failed {
            tracing::error!(org = plan.org, repo, why, "cannot be read");
        }
        tracing::info!(org = plan.org, repos = plan.repos, changed = plan.items.len(), "planned");
        let work = |repo: WorkItem| {
            Order::Work { org: plan.org.clone(), repo, since, trail: Trail::default() }.to_json()
        };
        let bodies: Vec<String> = plan.items.iter().cloned().map(work).collect();
        self.settler.send(&bodies).await.map_err(Trouble::HandOut)
    }

    async fn reconcile_org(&self, org: &str, deadline: Deadline, totals: &mut Totals) -> Result<(), Trouble> {
        let report = self
            .with_client(deadline, totals, async |client| {
                Ok(reconcile(&self.context.collect_ports(), client, org, &()).await?)
            })
            .await?;
        totals.requests += report.usage.requests;
        totals.events += report.events;
        totals.failed += report.failed.len();
        for (repo, why) in &report.failed {
            tracing::error!(org = report.org, repo, why, "could not be compared");
        }
        let differences: usize = report.differences.iter().map(|difference| difference.entries).sum();
        tracing::info!(org = report.org, repos = report.repos, differences, "reconciled");
        if let Some(Limited { until, why }) = report.limited {
            let error = GitHubError::Limited { until, why };
            return Err(Trouble::Collect(CollectError::GitHub(error)));
        }
        Ok(())
    }

    /// Reads repositories of one organization.
    async fn work(
        &self,
        org: &str,
        since: Option<NaiveDate>,
        orders: Vec<Work>,
        deadline: Deadline,
        totals: &mut Totals,
    ) -> Vec<(Message, Outcome)> {
        let request = self.request(org, since);
        let items: Vec<WorkItem> = orders.iter().map(|(_, _, item)| item.clone()).collect();
        let reading = self.with_client(deadline, totals, async |client| {
            Ok(work(&self.context.collect_ports(), client, &request, &items, &()).await?)
        });
        match tokio::time::timeout_at(deadline.give_up_at(), reading).await {
            Ok(Ok(done)) => {
                totals.note(&done);
                orders
                    .into_iter()
                    .map(|(message, order, item)| (message, self.of_item(order, &item, &done)))
                    .collect()
            }
            Ok(Err(trouble)) => orders
                .into_iter()
                .map(|(message, order, _)| (message, self.outcome(order, &trouble)))
                .collect(),
            // Whatever was read and saved counts; the rest is read again.
            Err(_) => {
                orders.into_iter().map(|(message, order, _)| (message, self.again(order, None))).collect()
            }
        }
    }

    /// What became of one repository.
    fn of_item(&self, order: Order, item: &WorkItem, done: &WorkReport) -> Outcome {
        if let Some(refusal) = done.failed.get(&item.repo_id) {
            return Outcome::of_error(format!("{}: {}", item.repo, refusal.why), refusal.is_transient);
        }
        if done.stopped.contains(&item.repo_id) {
            return self.again(order, done.report.limited.as_ref().and_then(|limited| limited.until));
        }
        Outcome::Done
    }

    fn outcome(&self, order: Order, trouble: &Trouble) -> Outcome {
        let is_transient = match trouble {
            Trouble::Collect(CollectError::GitHub(GitHubError::Limited { until, .. })) => {
                return self.again(order, until.or_else(|| Some(self.now() + LATER)));
            }
            Trouble::Collect(CollectError::Concurrent(_)) => {
                return self.again(order, Some(self.now() + AFTER_ANOTHER));
            }
            Trouble::Collect(CollectError::GitHub(error)) => matches!(error, GitHubError::Unavailable { .. }),
            Trouble::Collect(CollectError::Lake(error)) => error.is_retryable(),
            Trouble::Collect(CollectError::Store(error)) => error.is_retryable(),
            Trouble::Collect(CollectError::Invalid(_)) => false,
            Trouble::SignIn(error) => error.is_transient(),
            Trouble::HandOut(_) => true,
        };
        Outcome::of_error(error_chain(trouble), is_transient)
    }

    /// Puts an order back, not to be followed before that time.
    fn again(&self, order: Order, not_before: Option<DateTime<Utc>>) -> Outcome {
        let after = not_before.and_then(|at| (at - self.now()).to_std().ok()).unwrap_or(Duration::ZERO);
        match order.again(not_before) {
            Some(body) => Outcome::Again { body, after },
            None => Outcome::Aside {
                why: "it was put back too often: look at what keeps it from being done".to_owned(),
            },
        }
    }

    /// Tells what the invocation has done, and how far behind GitHub the deployment's organizations are.
    async fn tell(&self, totals: &Totals, set_aside: usize) {
        let now = self.now();
        let mut values = vec![
            (Metric::EventsCollected, totals.events as f64),
            (Metric::GitHubRequests, totals.requests as f64),
            (Metric::RepositoriesFailed, totals.failed as f64),
            (Metric::DeadLettered, set_aside as f64),
        ];
        values.extend(totals.share_left.map(|share| (Metric::ApiBudgetLeft, share * 100.0)));
        let lag = self.context.lag_seconds(&self.organizations, now).await;
        values.extend(lag.map(|seconds| (Metric::LagSeconds, seconds)));
        self.context.metrics.tell(now, &values);
    }
}

impl Totals {
    fn note(&mut self, done: &WorkReport) {
        let report = &done.report;
        self.events += report.events;
        self.requests += report.requests;
        self.failed += done.failed.len();
        for (repo, why) in &report.blocked {
            tracing::warn!(org = report.org, repo, why, "GitHub blocks it; what was collected of it stays");
        }
        tracing::info!(
            org = report.org,
            repos = report.repos,
            events = report.events,
            requests = report.requests,
            stopped = done.stopped.len(),
            failed = done.failed.len(),
            "collected"
        );
    }
}
