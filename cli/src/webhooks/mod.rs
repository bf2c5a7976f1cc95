//! Webhooks on one machine: the route, the queue in the store, and the tasks that carry orders out, read marked
//! repositories, and repair what was missed.

mod secrets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use gam_collect::{CollectRequest, WorkReport};
use gam_github::Client;
use gam_http::{WebhookPorts, WebhookSecretSource, WebhookSecrets};
use gam_lake::ObjectStore;
use gam_model::Clock;
use gam_store::{NameStore, RecordStore};
use gam_work::{
    IssueFollower, IssueSource, OrderQueue as _, Processor, Received, RecordQueue, RulesReport, SweepReport,
    WebhookOrder, read_delivery,
};
use gam_work_ports::{CachedAttempts, GitHubSource, LakeScopes, MarkedRepos};

pub(crate) use secrets::WebhookSecretVariables;

use crate::console::Console;
use crate::error::one_line;
use crate::format::{count, utc};
use crate::open::OpenData;
use crate::progress::RunProgress;
use crate::session::CliSession;

/// Pause between two looks at an empty queue.
const QUEUE_PAUSE: Duration = Duration::from_secs(1);
/// Pause after the store failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(10);
/// Number of orders that are read at once.
const DRAIN_LIMIT: usize = 1_000;
/// Pause between two looks for a change of the rules about tasks.
const RULES_EVERY: Duration = Duration::from_secs(60);
/// How often the list of deliveries is compared.
const SWEEP_EVERY: Duration = Duration::from_secs(15 * 60);
/// How often the cache of issues is compared with GitHub.
const RECONCILE_EVERY: TimeDelta = TimeDelta::minutes(30);

/// What a server does with webhooks.
pub(crate) struct Webhooks {
    secrets: WebhookSecrets,
    queue: RecordQueue,
    scopes: Arc<LakeScopes>,
    processor: Processor,
    source: Option<Arc<GitHubSource>>,
}

/// What connects webhooks to a store.
pub(crate) struct WebhookStore {
    /// Records that can be written.
    pub(crate) records: Arc<dyn RecordStore>,
    /// The names of organizations.
    pub(crate) names: Arc<dyn NameStore>,
    /// The lake, for configurations and the registry.
    pub(crate) lake: Arc<dyn ObjectStore>,
    /// The wall clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// What changes together with an issue.
    pub(crate) followers: Vec<Arc<dyn IssueFollower>>,
}

impl Webhooks {
    /// Connects the store and, if there is one, the client of GitHub. `orgs` are collected even if the store does not
    /// know them yet.
    pub(crate) fn new(
        secrets: WebhookSecrets,
        store: WebhookStore,
        github: Option<&Client>,
        orgs: &[String],
    ) -> Self {
        let WebhookStore { records, names, lake, clock, followers } = store;
        let source = github.map(|client| Arc::new(GitHubSource::new(client.clone())));
        let scopes = Arc::new(LakeScopes { lake, names: Some(names), orgs: orgs.to_vec() });
        let processor = Processor {
            records: records.clone(),
            clock: clock.clone(),
            scopes: scopes.clone(),
            source: source.clone().map(|source| source as Arc<dyn IssueSource>),
            followers,
            wakes_actions: true,
        };
        Webhooks { secrets, queue: RecordQueue::new(records, clock), scopes, processor, source }
    }

    /// Takes a delivery from within the process.
    ///
    /// # Errors
    /// If the payload is invalid, or the queue fails.
    pub(crate) async fn deliver(&self, event: &str, guid: &str, body: &[u8]) -> anyhow::Result<()> {
        if let Received::Order(order) = read_delivery(event, guid, body, self.processor.clock.now())? {
            self.queue.put(&order).await?;
        }
        Ok(())
    }

    /// Returns the ports of the route.
    pub(crate) fn ports(&self) -> WebhookPorts {
        let secrets = self.secrets.clone();
        let secrets: WebhookSecretSource = Arc::new(move || {
            let secrets = secrets.clone();
            Box::pin(async move { Ok(secrets) })
        });
        WebhookPorts { queue: Arc::new(self.queue.clone()), secrets, clock: self.processor.clock.clone() }
    }

    /// Does what every server with webhooks does next to serving, until the future is dropped.
    pub(crate) async fn run(&self) {
        // Jobs ask GitHub, which may be slow or limited. Deliveries must not wait for them.
        tokio::join!(
            self.carry_out_orders(|order| order.is_delivery),
            self.carry_out_orders(|order| !order.is_delivery),
            self.apply_task_rules()
        );
    }

    /// Carries out orders as they come, until the future is dropped.
    async fn carry_out_orders(&self, is_wanted: fn(&WebhookOrder) -> bool) {
        loop {
            let pause = match self.processor.drain_where(&self.queue, DRAIN_LIMIT, is_wanted).await {
                Ok(report) if report.is_empty() => QUEUE_PAUSE,
                Ok(report) => {
                    tracing::info!(outcomes = ?report.outcomes, report.postponed, report.given_up, "webhooks processed");
                    Duration::ZERO
                }
                Err(error) => {
                    tracing::warn!("cannot process webhooks: {}", one_line(&error.into()));
                    FAILURE_PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Applies changed rules about tasks of all organizations to their issues, until the future is dropped.
    async fn apply_task_rules(&self) {
        loop {
            match self.scopes.orgs().await {
                Ok(orgs) => {
                    for org in orgs {
                        match self.processor.apply_task_rules(&org).await {
                            Ok(report) if report == RulesReport::default() => {}
                            Ok(report) => tracing::info!(org, report.tasks, "rules of tasks applied"),
                            Err(error) => {
                                tracing::warn!(
                                    org,
                                    "cannot apply the rules of tasks: {}",
                                    one_line(&error.into())
                                );
                            }
                        }
                    }
                }
                Err(error) => tracing::warn!("cannot list the organizations: {}", one_line(&error.into())),
            }
            tokio::time::sleep(RULES_EVERY).await;
        }
    }

    /// Finds missed deliveries and repairs the cache of issues from time to time, until the future is dropped.
    pub(crate) async fn repair(&self, console: &Console, orgs: &[String]) {
        let Some(source) = &self.source else { return std::future::pending().await };
        let clock = self.processor.clock.clone();
        let mut reconciled_at = None;
        let mut reported: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        loop {
            let is_reconcile_due = reconciled_at.is_none_or(|at| clock.now() - at >= RECONCILE_EVERY);
            // Organizations of one app share a list of deliveries.
            let hooks = CachedAttempts::new(&**source);
            for org in orgs {
                let failures = match self.processor.sweep(&hooks, org).await {
                    Ok(report) => {
                        print_gap(console, org, &report);
                        report.failures
                    }
                    Err(error) => vec![one_line(&error.into()).to_string()],
                };
                // Said once: a token without the permission stays one.
                if !failures.is_empty() && reported.get(org.as_str()) != Some(&failures) {
                    for text in &failures {
                        console.print_error(format!("{org}: cannot look for missed webhooks: {text}"));
                    }
                    reported.insert(org, failures);
                }
                if is_reconcile_due {
                    match self.processor.reconcile(org).await {
                        Ok(report) => {
                            tracing::info!(
                                org,
                                report.repos,
                                report.read,
                                report.repaired,
                                "issues reconciled"
                            );
                            for (repo, why) in &report.failed {
                                console.print_error(format!("cannot read the issues of {org}/{repo}: {why}"));
                            }
                        }
                        Err(error) => console.print_error(format!(
                            "{org}: cannot compare the issues: {}",
                            one_line(&error.into())
                        )),
                    }
                }
            }
            if is_reconcile_due {
                reconciled_at = Some(clock.now());
            }
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    }

    /// Remembers all marks of an organization, by its storage key.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) async fn marked(&self, key: &str) -> anyhow::Result<MarkedRepos> {
        let Processor { records, clock, .. } = &self.processor;
        Ok(MarkedRepos::all(records.clone(), clock.clone(), key).await?)
    }

    /// Reads the marked repositories of an organization whose time has come. Returns what was read, or `None` if no
    /// mark is due.
    ///
    /// # Errors
    /// If the lake or the store fails, or GitHub refuses the token. The marks stay then.
    pub(crate) async fn read_marked(
        &self,
        session: &CliSession,
        data: &OpenData,
        github: &Client,
        (org, key, parallelism): (&str, &str, usize),
    ) -> anyhow::Result<Option<WorkReport>> {
        let Processor { records, clock, .. } = &self.processor;
        let marked = MarkedRepos::due(records.clone(), clock.clone(), key).await?;
        if marked.is_empty() {
            return Ok(None);
        }
        let request = CollectRequest { org: org.to_owned(), parallelism, ..CollectRequest::default() };
        let progress = RunProgress::new(&session.console, org);
        let read =
            gam_collect::work(&data.collect_ports(), github, &request, &marked.items(), &progress).await;
        match &read {
            Ok(report) => marked.settle(report).await?,
            Err(_) => marked.keep_all(None).await?,
        }
        Ok(Some(read?))
    }
}

fn print_gap(console: &Console, org: &str, report: &SweepReport) {
    let Some((from, to)) = report.gap else { return };
    let repos: Vec<&str> = report.repos.iter().map(String::as_str).collect();
    console.print_error(format!(
        "{org}: {} did not arrive between {} and {}; what they were about is read again: {}",
        count(report.missed, "webhook", "webhooks"),
        utc(from),
        utc(to),
        if repos.is_empty() { "no known repository".to_owned() } else { repos.join(", ") }
    ));
}
