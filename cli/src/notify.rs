//! Notifications on one machine: the variables with the secrets of channels, and the loop that sends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gam_aggregate::AggregateError;
use gam_audit::{AuditPorts, SegmentLog};
use gam_github::Client;
use gam_http::{DigestCharts, NotificationPorts};
use gam_model::ChannelSettings;
use gam_model::notify::SecretName;
use gam_notify::{
    ApprovalLinkSource, ChannelSecrets, NoSecret, Notifier, NotifyPorts, RateLimit, RunOutcome, SecretSource,
};
use gam_notify_ports::{ActionLinks, LakeFacts, NetTransport, PngPictures, QueryDigests};
use gam_store::RecordStore;
use secrecy::SecretString;

use crate::error::{failure, one_line};
use crate::open::{OpenData, OpenStore};
use crate::secret_variable::SecretVariable;
use crate::session::CliSession;
use crate::settings::CliSettings;

/// Reads the secrets of channels from the variables that the configuration names, or from the files that the same
/// names with `_FILE` name. They are read for each message, so that a changed file needs no restart.
pub(crate) struct EnvironmentSecrets;

impl EnvironmentSecrets {
    /// Returns the value of one name.
    ///
    /// # Errors
    /// If it is not set, or its file cannot be read. The message contains no secret.
    pub(crate) fn value(name: &SecretName) -> Result<SecretString, String> {
        let name = name.as_str();
        let file = variable(&format!("{name}_FILE")).map(PathBuf::from);
        let secret = SecretVariable::new(name.to_owned(), variable(name).map(SecretString::from), file);
        match secret.read().map_err(|error| one_line(&error))? {
            Some(value) => Ok(value.into()),
            None => Err(format!("{name} is not set: set it, or {name}_FILE, where github-metrics runs")),
        }
    }
}

/// Returns a variable that is set and not empty. Its name comes from the configuration, so the command line cannot
/// declare it.
#[expect(
    clippy::disallowed_methods,
    reason = "this is a composition root, and the names are not known before"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

#[async_trait]
impl SecretSource for EnvironmentSecrets {
    async fn secrets(&self, channel: &ChannelSettings) -> Result<ChannelSecrets, NoSecret> {
        let mut secrets = ChannelSecrets::new();
        for name in channel.secret_names() {
            secrets.insert(name.as_str().to_owned(), Self::value(name).map_err(NoSecret::Missing)?);
        }
        Ok(secrets)
    }
}

/// Returns the organizations with channels, and what is the case for them. `records` are those of the store.
pub(crate) fn facts(store: &OpenStore, records: Arc<dyn RecordStore>) -> LakeFacts {
    let query = store.query_ports();
    LakeFacts::new(store.lake(), (query.names, query.checkpoints), records, query.clock)
}

/// Returns what the page of notifications reads.
pub(crate) fn page_ports(store: &OpenStore) -> NotificationPorts {
    let AuditPorts { records, clock, .. } = store.audit_ports_for_reading();
    NotificationPorts { facts: Arc::new(facts(store, records.clone())), records, clock }
}

/// Connects notifications to a store. `None` if the user may only read it.
///
/// # Errors
/// If there is no client of HTTP, or the settings of links are invalid.
pub(crate) fn notifier(settings: &CliSettings, store: &OpenStore) -> anyhow::Result<Option<Notifier>> {
    let AuditPorts { objects, records, clock } = match store.audit_ports(store.lake()) {
        Some(ports) => ports,
        None => return Ok(None),
    };
    let links = settings.approval_links()?.map(|links| {
        let source = ActionLinks::new(store.actions(), store.tokens(), links);
        Arc::new(source) as Arc<dyn ApprovalLinkSource>
    });
    let log = SegmentLog::new(AuditPorts { objects, records: records.clone(), clock: clock.clone() });
    let ports = NotifyPorts {
        log: Some(Arc::new(log)),
        facts: Arc::new(facts(store, records.clone())),
        digests: Some(Arc::new(QueryDigests::new(store.query_ports()))),
        pictures: Some(Arc::new(PngPictures::new(Arc::new(DigestCharts::new(store.query_ports()))))),
        secrets: Arc::new(EnvironmentSecrets),
        approval_links: links,
        records,
        clock,
    };
    let transport = NetTransport::new().map_err(failure)?;
    Ok(Some(Notifier::new(ports, Arc::new(transport))))
}

/// Sends notifications. Never returns.
pub(crate) async fn keep_sending(session: &CliSession, store: &OpenStore) {
    match notifier(&session.settings, store) {
        Ok(Some(notifier)) => notifier.run().await,
        Ok(None) => {}
        Err(error) => session.console.print_error(format!("no notifications are sent: {}", one_line(&error))),
    }
    std::future::pending().await
}

/// The name of collections in notifications and numbers.
const COLLECT_JOB: &str = "collect";
/// The name of aggregations.
const AGGREGATE_JOB: &str = "aggregate";

/// Records how a collection of an organization ended, and what is left of GitHub's limit, so that people are notified.
pub(crate) async fn record_collection(
    data: &OpenData,
    github: &Client,
    org: &str,
    (error, took): (Option<&anyhow::Error>, Duration),
) {
    // A failed aggregation has recorded itself.
    let error = error.filter(|error| !error.is::<AggregateError>());
    let Ok(key) = data.key_of(org).await else { return };
    let limit = github.graphql_quota(org).map(|quota| RateLimit {
        name: "GraphQL API of GitHub".to_owned(),
        limit: quota.limit,
        remaining: quota.remaining,
        resets_at: quota.reset,
    });
    let outcome = RunOutcome { error: error.map(one_line), limit, seconds: Some(took.as_secs_f64()) };
    record_run(&data.store, (&key, COLLECT_JOB), &outcome).await;
}

/// Records how an aggregation of an organization, by its storage key, ended. `took` is how long it folded, unless there
/// was nothing to fold.
pub(crate) async fn record_aggregation(
    data: &OpenData,
    key: &str,
    error: Option<&anyhow::Error>,
    took: Option<Duration>,
) {
    let seconds = took.map(|took| took.as_secs_f64());
    let outcome = RunOutcome { error: error.map(one_line), limit: None, seconds };
    record_run(&data.store, (key, AGGREGATE_JOB), &outcome).await;
}

/// Records how a run ended. A failure to record is only logged.
async fn record_run(store: &OpenStore, (org, job): (&str, &str), outcome: &RunOutcome) {
    let Some(records) = store.writable_records() else { return };
    let now = store.clock().now();
    if let Err(error) = gam_notify::record_run(&*records, (org, job), outcome, now).await {
        tracing::warn!(org, job, %error, "cannot record how a run ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_secret_is_named() {
        let text =
            "[[notify.channels]]\nname = \"ops\"\ntype = \"slack\"\nurl = \"NOTIFY_NEVER_SET_IN_TESTS\"\n";
        let configuration = gam_model::configuration::Configuration::parse_stored(text).unwrap();
        let error = EnvironmentSecrets.secrets(&configuration.notify.channels[0]).await.unwrap_err();
        let NoSecret::Missing(why) = error else { panic!("{error:?}") };
        assert!(why.starts_with("NOTIFY_NEVER_SET_IN_TESTS is not set"), "{why}");
    }
}
