//! Connects the environment of a function to the use cases' ports.

use std::error::Error;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gam_access::{LogReadings, RefusalLog, Tokens};
use gam_aggregate::AggregatePorts;
use gam_audit::{AuditPorts, SegmentLog};
use gam_aws::{CachedSecret, DynamoStore, Queue, S3Objects, SdkConfig};
use gam_collect::CollectPorts;
use gam_http::{ApiPorts, DigestCharts, LogPorts, NotificationPorts, WorkPorts};
use gam_lake::configuration::CachedConfigurations;
use gam_lake::registry::CachedRegistry;
use gam_lake::{ObjectStore, SplitLake};
use gam_model::{Clock, Identity, OrgRegistry, SystemClock};
use gam_notify::{ApprovalLinkSource, NotifyPorts, SecretSource};
use gam_notify_ports::{ActionLinks, LakeFacts, PngPictures, QueryDigests};
use gam_query::{IdentitySource, QueryPorts, RegistrySource};
use gam_store::{Checkpoint, CheckpointKey, CheckpointStore, OrgCheckpoint};
use gam_work::actions::{Actions, ApprovalLinks, GitHubActions};
use gam_work::tasks::Tasks;
use gam_work::{IssueReader, PushedSessions};
use gam_work_ports::{LakeActionSettings, LakeSessionInbox};

use crate::actions::QueueWaker;
use crate::environment::{optional, required};
use crate::metrics::{FunctionMetric, MetricLog};

/// The clients and settings of every function, read from its environment once per cold start.
pub struct LambdaContext {
    /// Region, credentials and transport of AWS clients.
    pub config: SdkConfig,
    /// The lake on S3.
    pub lake: Arc<S3Objects>,
    /// The store on DynamoDB.
    pub store: Arc<DynamoStore>,
    /// The clock of the host.
    pub clock: Arc<dyn Clock>,
    /// The registry of organizations, at most a minute old.
    pub registry: Arc<CachedRegistry>,
    /// Writes metrics of the function itself.
    pub metrics: MetricLog,
}

impl LambdaContext {
    /// Reads the environment and creates the clients. Sends no request.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub async fn load() -> anyhow::Result<Self> {
        let lake = required("GITHUB_METRICS_LAKE")?;
        let (bucket, prefix) = parse_bucket("GITHUB_METRICS_LAKE", &lake)?;
        let store = required("GITHUB_METRICS_STORE")?;
        let table = gam_aws::dynamo::parse(&store)
            .with_context(|| format!("invalid GITHUB_METRICS_STORE {store:?}: expected dynamodb:TABLE"))?;
        let config = load_config().await;
        let (lake, clock) = (Arc::new(S3Objects::new(&config, bucket, prefix)), Arc::new(SystemClock));
        Ok(LambdaContext {
            registry: Arc::new(CachedRegistry::new(lake.clone(), clock.clone())),
            lake,
            store: Arc::new(DynamoStore::new(&config, table)),
            clock,
            metrics: MetricLog::new(required("STACK_NAME")?),
            config,
        })
    }

    /// The ports of a collection.
    pub fn collect_ports(&self) -> CollectPorts {
        CollectPorts {
            objects: self.lake.clone(),
            names: self.store.clone(),
            checkpoints: self.store.clone(),
            clock: self.clock.clone(),
        }
    }

    /// The ports of an aggregation.
    pub fn aggregate_ports(&self) -> AggregatePorts {
        AggregatePorts {
            objects: self.lake.clone(),
            rollups: self.store.clone(),
            names: self.store.clone(),
            checkpoints: self.store.clone(),
            clock: self.clock.clone(),
        }
    }

    /// The ports of all queries.
    pub fn query_ports(&self) -> QueryPorts {
        let configurations = CachedConfigurations::new(self.lake.clone(), self.clock.clone());
        QueryPorts {
            rollups: self.store.clone(),
            names: self.store.clone(),
            checkpoints: self.store.clone(),
            clock: self.clock.clone(),
            identities: Arc::new(LakeIdentities(configurations)),
            registry: Arc::new(LakeRegistry(self.registry.clone())),
        }
    }

    /// The ports of the API: queries, tasks, actions, and the cache of issues. The role of the function decides whether it
    /// can change them.
    pub fn api_ports(&self) -> ApiPorts {
        let issues = IssueReader::new(self.store.clone(), self.clock.clone());
        let actions = self.actions_with(None);
        // The function that does actions is woken by its queue.
        let actions = match optional("ACTION_QUEUE_URL") {
            Some(url) => actions.done_by(Arc::new(QueueWaker(Queue::new(&self.config, &url)))),
            None => actions,
        };
        let default_owner = optional("GITHUB_OWNER");
        let work = WorkPorts { tasks: self.tasks(), issues, actions, default_owner, links: None };
        ApiPorts { query: self.query_ports(), work: Some(work), log: None }
    }

    /// The ports of the audit log: its segments have a bucket of their own, and configurations are in the lake.
    ///
    /// # Errors
    /// If `GITHUB_METRICS_AUDIT_LOG` is missing or invalid.
    pub fn audit_ports(&self) -> anyhow::Result<AuditPorts> {
        let log = required("GITHUB_METRICS_AUDIT_LOG")?;
        let (bucket, prefix) = parse_bucket("GITHUB_METRICS_AUDIT_LOG", &log)?;
        let segments = Arc::new(S3Objects::new(&self.config, bucket, prefix));
        let objects = Arc::new(SplitLake::new(self.lake.clone(), segments));
        Ok(AuditPorts { objects, records: self.store.clone(), clock: self.clock.clone() })
    }

    /// What the routes of the audit log use.
    ///
    /// # Errors
    /// As [`LambdaContext::audit_ports`].
    pub fn log_ports(&self) -> anyhow::Result<LogPorts> {
        let readings = LogReadings::new(self.store.clone(), self.clock.clone());
        // An answer of Lambda is sent when it is complete.
        Ok(LogPorts { log: Arc::new(SegmentLog::new(self.audit_ports()?)), readings, is_streaming: false })
    }

    /// What takes session events of other machines. The bucket starts the function `aggregate` for their batches.
    pub fn pushed_sessions(&self) -> PushedSessions {
        let inbox = LakeSessionInbox::new(self.lake.clone());
        PushedSessions::new(self.store.clone(), Arc::new(inbox), self.clock.clone())
    }

    /// The ports of notifications. `secrets` has the secrets of channels.
    ///
    /// # Errors
    /// As [`LambdaContext::audit_ports`].
    pub async fn notify_ports(&self, secrets: Arc<dyn SecretSource>) -> anyhow::Result<NotifyPorts> {
        let audit = self.audit_ports()?;
        let links = self.approval_links().await.map(|links| {
            let source = ActionLinks::new(self.actions_with(None), self.tokens(), links);
            Arc::new(source) as Arc<dyn ApprovalLinkSource>
        });
        Ok(NotifyPorts {
            records: self.store.clone(),
            clock: self.clock.clone(),
            facts: Arc::new(self.notify_facts(audit.objects.clone())),
            log: Some(Arc::new(SegmentLog::new(audit))),
            digests: Some(Arc::new(QueryDigests::new(self.query_ports()))),
            pictures: Some(Arc::new(PngPictures::new(Arc::new(DigestCharts::new(self.query_ports()))))),
            secrets,
            approval_links: links,
        })
    }

    /// What the page of notifications reads. It looks at no audit log.
    pub fn notification_ports(&self) -> NotificationPorts {
        NotificationPorts {
            facts: Arc::new(self.notify_facts(self.lake.clone())),
            records: self.store.clone(),
            clock: self.clock.clone(),
        }
    }

    fn notify_facts(&self, objects: Arc<dyn ObjectStore>) -> LakeFacts {
        let names_and_checkpoints = (self.store.clone() as _, self.store.clone() as _);
        LakeFacts::new(objects, names_and_checkpoints, self.store.clone(), self.clock.clone())
    }

    /// Reads the key that signs links for approvers. `None` if the deployment has none, or if it cannot be read: then there
    /// are no links, and everything else works. The log says why.
    pub async fn approval_links(&self) -> Option<ApprovalLinks> {
        self.read_approval_links().await.unwrap_or_else(|error| {
            tracing::error!(error = %format!("{error:#}"), "there are no links for approvers: the key cannot be read");
            None
        })
    }

    /// # Errors
    /// If the key cannot be read or is too short, or `PUBLIC_URL` is missing. The text does not contain the key.
    async fn read_approval_links(&self) -> anyhow::Result<Option<ApprovalLinks>> {
        let Some(secret) = optional("LINK_KEY_SECRET") else { return Ok(None) };
        let public_url = required("PUBLIC_URL")?;
        let key = CachedSecret::new(&self.config, &secret).get().await?;
        let links = ApprovalLinks::new(key.as_bytes(), &public_url);
        links.map(Some).map_err(|why| anyhow!("the key of links in the secret {secret} {why}"))
    }

    /// The tasks of the store.
    pub fn tasks(&self) -> Tasks {
        let pick = Arc::new(|count| fastrand::usize(..count));
        Tasks::new(self.store.clone(), self.clock.clone(), pick)
    }

    /// The actions of the store. Without `github` this process does none of them.
    pub fn actions_with(&self, github: Option<Arc<dyn GitHubActions>>) -> Actions {
        let settings = Arc::new(LakeActionSettings(self.lake.clone()));
        Actions::new(self.store.clone(), self.clock.clone(), settings, github)
    }

    /// The tokens of the store.
    pub fn tokens(&self) -> Tokens {
        Tokens::new(self.store.clone(), self.clock.clone())
    }

    /// What counts refused requests in the audit log.
    pub fn refusal_log(&self) -> RefusalLog {
        RefusalLog::new(self.store.clone(), self.clock.clone())
    }

    /// Loads the checkpoint of the organization with this storage key.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn org_checkpoint(&self, key: &str) -> gam_store::Result<OrgCheckpoint> {
        org_checkpoint(&*self.store, key).await
    }

    /// Returns how far the organization that lags most is behind GitHub at `now`, in seconds, if that is known.
    async fn lag_seconds(&self, orgs: &[String], now: DateTime<Utc>) -> Option<f64> {
        if orgs.is_empty() {
            return None;
        }
        match self.registry.get().await {
            Ok(registry) => {
                let keys: Vec<String> = orgs.iter().map(|org| registry.key_of(org)).collect();
                lag_seconds(&*self.store, &keys, now).await
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read how far behind the organizations are");
                None
            }
        }
    }

    /// Writes metrics of the function, and how far `lagging_orgs` are behind GitHub if that is known.
    pub async fn write_metrics(&self, mut values: Vec<(FunctionMetric, f64)>, lagging_orgs: &[String]) {
        let now = self.clock.now();
        values.extend(self.lag_seconds(lagging_orgs, now).await.map(|lag| (FunctionMetric::LagSeconds, lag)));
        self.metrics.write(now, &values);
    }
}

/// Returns the bucket and the prefix of an address in a variable.
fn parse_bucket<'a>(variable: &str, address: &'a str) -> anyhow::Result<(&'a str, &'a str)> {
    gam_aws::s3::parse(address)
        .with_context(|| format!("invalid {variable} {address:?}: expected s3://BUCKET/PREFIX"))
}

/// Loads region, credentials and transport of AWS clients.
pub async fn load_config() -> SdkConfig {
    // Two dependencies bring a TLS provider; both use this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    gam_aws::load().await
}

async fn org_checkpoint(checkpoints: &dyn CheckpointStore, key: &str) -> gam_store::Result<OrgCheckpoint> {
    Ok(Checkpoint::load(checkpoints, &CheckpointKey::Org(key.to_owned())).await?.value)
}

/// Returns how far the organization that lags most is behind GitHub at `now`, in seconds. `keys` are storage keys.
/// `None` if one of them was never read completely, if its checkpoint cannot be read, or if there are none.
async fn lag_seconds(checkpoints: &dyn CheckpointStore, keys: &[String], now: DateTime<Utc>) -> Option<f64> {
    let mut lag = None;
    for org in keys {
        match org_checkpoint(checkpoints, org).await.map(|checkpoint| checkpoint.org_complete_until()) {
            Ok(Some(until)) => lag = lag.max(Some((now - until).num_seconds())),
            Ok(None) => {
                tracing::info!(org, "the organization was never read completely, so no lag is reported");
                return None;
            }
            Err(error) => {
                tracing::warn!(org, %error, "cannot read how far behind the organization is");
                return None;
            }
        }
    }
    lag.map(|seconds| seconds as f64)
}

/// The rules for bots and aliases that the lake configures.
struct LakeIdentities(CachedConfigurations);

#[async_trait]
impl IdentitySource for LakeIdentities {
    async fn identity(
        &self,
        org: &str,
        revision: u32,
    ) -> Result<Arc<Identity>, Box<dyn Error + Send + Sync>> {
        Ok(Arc::new(self.0.revision(org, revision).await?.identity.clone()))
    }
}

/// The registry of organizations of the lake.
struct LakeRegistry(Arc<CachedRegistry>);

#[async_trait]
impl RegistrySource for LakeRegistry {
    async fn registry(&self) -> Result<Arc<OrgRegistry>, Box<dyn Error + Send + Sync>> {
        Ok(self.0.get().await?)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use gam_store::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn the_lag_is_that_of_the_organization_furthest_behind() {
        let store = MemoryStore::default();
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let lag = async |logins: &'static str| {
            let orgs: Vec<String> = logins.split(',').map(str::to_owned).collect();
            lag_seconds(&store, &orgs, now).await
        };
        for (org, seconds) in [("fresh", 60), ("late", 7_000)] {
            let complete_until = Some(now - TimeDelta::seconds(seconds));
            let checkpoint = OrgCheckpoint { complete_until, ..OrgCheckpoint::default() };
            let body = serde_json::to_string(&checkpoint).unwrap();
            store.save(&CheckpointKey::Org(org.to_owned()), &body, None).await.unwrap();
        }
        store.save(&CheckpointKey::Org("damaged".to_owned()), "{", None).await.unwrap();
        assert_eq!(lag("fresh").await, Some(60.0));
        assert_eq!(lag("late,fresh").await, Some(7_000.0));
        assert_eq!(lag("fresh,late").await, Some(7_000.0));
        assert_eq!(lag("fresh,new").await, None);
        assert_eq!(lag("damaged,fresh").await, None);
    }
}
