//! Connects the environment of a function to the use cases' ports.

use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use gam_aggregate::AggregatePorts;
use gam_aws::{DynamoStore, S3Objects, SdkConfig};
use gam_collect::CollectPorts;
use gam_lake::{ObjectStore, paths};
use gam_model::{Clock, Identity, SystemClock, configuration};
use gam_query::QueryPorts;
use gam_store::{Checkpoint, CheckpointKey, CheckpointStore, OrgCheckpoint};

use crate::environment::required;
use crate::metrics::Metrics;

/// The clients and settings of every function, read from its environment once per cold start.
pub struct LambdaContext {
    /// How AWS is reached.
    pub config: SdkConfig,
    /// The lake.
    pub lake: Arc<S3Objects>,
    /// The store.
    pub store: Arc<DynamoStore>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Receives numbers about the function itself.
    pub metrics: Metrics,
}

impl LambdaContext {
    /// Reads the environment and makes the clients. It sends nothing.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub async fn load() -> anyhow::Result<Self> {
        // Two dependencies bring a TLS provider; both use this one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let lake = required("GITHUB_METRICS_LAKE")?;
        let (bucket, prefix) = gam_aws::s3::parse(&lake)
            .with_context(|| format!("invalid GITHUB_METRICS_LAKE {lake:?}: expected s3://BUCKET/PREFIX"))?;
        let store = required("GITHUB_METRICS_STORE")?;
        let table = gam_aws::dynamo::parse(&store)
            .with_context(|| format!("invalid GITHUB_METRICS_STORE {store:?}: expected dynamodb:TABLE"))?;
        let config = gam_aws::load().await;
        Ok(LambdaContext {
            lake: Arc::new(S3Objects::new(&config, bucket, prefix)),
            store: Arc::new(DynamoStore::new(&config, table)),
            clock: Arc::new(SystemClock),
            metrics: Metrics::new(required("STACK_NAME")?),
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

    /// The ports of an aggregation that applies those bots and aliases.
    pub fn aggregate_ports(&self, identity: Arc<Identity>) -> AggregatePorts {
        AggregatePorts {
            objects: self.lake.clone(),
            rollups: self.store.clone(),
            names: self.store.clone(),
            clock: self.clock.clone(),
            identity,
        }
    }

    /// The ports of all queries, which apply those aliases.
    pub fn query_ports(&self, identity: Arc<Identity>) -> QueryPorts {
        QueryPorts {
            rollups: self.store.clone(),
            names: self.store.clone(),
            checkpoints: self.store.clone(),
            clock: self.clock.clone(),
            identity,
        }
    }

    /// Reads the bots and aliases that are configured in the lake; none if there is no configuration.
    ///
    /// # Errors
    /// If the configuration cannot be read or is invalid.
    pub async fn identity(&self) -> anyhow::Result<Arc<Identity>> {
        let path = paths::configuration();
        let Some(object) = self.lake.get(&path).await? else { return Ok(Arc::default()) };
        let text = std::str::from_utf8(&object.bytes).with_context(|| format!("{path} is not UTF-8 text"))?;
        let identity = configuration::parse(text, no_mailmap)
            .map_err(|why| anyhow::anyhow!("{path} is malformed: {why}"))?;
        Ok(Arc::new(identity))
    }

    /// Loads what is known about the collection of an organization.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn org_checkpoint(&self, org: &str) -> gam_store::Result<OrgCheckpoint> {
        org_checkpoint(&*self.store, org).await
    }

    /// Returns how far the organization that lags most is behind GitHub at `now`, in seconds. `None` if one
    /// of them was never read completely, or its checkpoint cannot be read.
    pub async fn lag_seconds(&self, orgs: &[String], now: DateTime<Utc>) -> Option<f64> {
        lag_seconds(&*self.store, orgs, now).await
    }
}

async fn org_checkpoint(checkpoints: &dyn CheckpointStore, org: &str) -> gam_store::Result<OrgCheckpoint> {
    Ok(Checkpoint::load(checkpoints, &CheckpointKey::Org(org.to_owned())).await?.value)
}

async fn lag_seconds(checkpoints: &dyn CheckpointStore, orgs: &[String], now: DateTime<Utc>) -> Option<f64> {
    let mut lag = None;
    for org in orgs {
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

/// A mailmap would be a second object: aliases do the same.
fn no_mailmap(file: &std::path::Path) -> Result<String, String> {
    Err(format!("mailmap {} cannot be read here: write its names into [aliases]", file.display()))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use gam_store::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn no_organization_hides_behind_another() {
        let store = MemoryStore::default();
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let lag = async |named: &'static str| {
            let orgs: Vec<String> = named.split(',').map(str::to_owned).collect();
            lag_seconds(&store, &orgs, now).await
        };
        for (org, seconds) in [("fresh", 60), ("late", 7_000)] {
            let complete_until = Some(now - TimeDelta::seconds(seconds));
            let read = OrgCheckpoint { complete_until, ..OrgCheckpoint::default() };
            let body = serde_json::to_string(&read).unwrap();
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
