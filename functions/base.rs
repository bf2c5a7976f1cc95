//! From the environment to the pipeline's context.

use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use gam_aws::{DynamoStore, S3Objects, SdkConfig};
use gam_lake::{MemoryObjects, ObjectStore, paths};
use gam_model::Identity;
use gam_pipeline::collect::complete_until;
use gam_pipeline::{Context, SystemClock, configuration};

use crate::environment::required;
use crate::metrics::Metrics;

/// What every function is made of.
pub struct Base {
    /// How AWS is reached.
    pub config: SdkConfig,
    /// Ports and clock; with no bots and aliases yet, see [`Base::with_identity`].
    pub context: Context,
    /// The lake, also where the context does without it.
    pub lake: Arc<S3Objects>,
    /// Where numbers about the function itself go.
    pub metrics: Metrics,
}

impl Base {
    /// Reads the environment, and makes the clients. It sends nothing.
    ///
    /// # Errors
    /// Where a variable is missing or cannot be used.
    pub async fn load() -> anyhow::Result<Self> {
        // Two crates bring TLS along; both use this one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let lake = required("GITHUB_METRICS_LAKE")?;
        let (bucket, prefix) = gam_aws::s3::parse(&lake)
            .with_context(|| format!("GITHUB_METRICS_LAKE {lake:?} is no lake: give s3://BUCKET"))?;
        let store = required("GITHUB_METRICS_STORE")?;
        let table = gam_aws::dynamo::parse(&store)
            .with_context(|| format!("GITHUB_METRICS_STORE {store:?} is no store: give dynamodb:TABLE"))?;
        let config = gam_aws::load().await;
        let lake = Arc::new(S3Objects::new(&config, bucket, prefix));
        let store = Arc::new(DynamoStore::new(&config, table));
        let context = Context {
            objects: lake.clone(),
            rollups: store.clone(),
            checkpoints: store,
            clock: Arc::new(SystemClock),
            identity: Arc::new(Identity::default()),
        };
        Ok(Base { config, context, lake, metrics: Metrics::new(required("STACK_NAME")?) })
    }

    /// The context of a function that has no business in the lake.
    pub fn without_lake(&self) -> Context {
        Context { objects: Arc::new(MemoryObjects::new()), ..self.context.clone() }
    }

    /// The bots and aliases that are configured with the lake; none where there is no configuration.
    ///
    /// # Errors
    /// Where the configuration cannot be read or understood.
    pub async fn identity(&self) -> anyhow::Result<Arc<Identity>> {
        let path = paths::configuration();
        let Some(object) = self.lake.get(&path).await? else { return Ok(Arc::default()) };
        let text = std::str::from_utf8(&object.bytes).with_context(|| format!("{path} is no UTF-8 text"))?;
        let identity = configuration::parse(text, no_mailmap)
            .map_err(|why| anyhow::anyhow!("{path} is malformed: {why}"))?;
        Ok(Arc::new(identity))
    }

    /// The context, with the bots and aliases as they are configured now.
    ///
    /// # Errors
    /// As [`Base::identity`].
    pub async fn with_identity(&self) -> anyhow::Result<Context> {
        Ok(Context { identity: self.identity().await?, ..self.context.clone() })
    }

    /// How far, in seconds, the organization that lags most is behind GitHub now, UTC; `None` where one of
    /// them was never read whole or cannot be told of, as none is to hide behind another.
    pub async fn lag_seconds(&self, orgs: &[String], now: DateTime<Utc>) -> Option<f64> {
        lag_seconds(&self.context, orgs, now).await
    }
}

async fn lag_seconds(context: &Context, orgs: &[String], now: DateTime<Utc>) -> Option<f64> {
    let mut lag = None;
    for org in orgs {
        match complete_until(context, org).await {
            Ok(Some(until)) => lag = lag.max(Some((now - until).num_seconds())),
            Ok(None) => {
                tracing::info!(org, "it was not read whole yet, so nobody is told how far behind it is");
                return None;
            }
            Err(error) => {
                tracing::warn!(org, %error, "how far behind it is cannot be told");
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
    use gam_pipeline::checkpoint::OrgCheckpoint;
    use gam_store::keys::CheckpointKey;
    use gam_store::{CheckpointStore, MemoryStore};

    use super::*;

    #[tokio::test]
    async fn no_organization_hides_behind_another() {
        let store = MemoryStore::default();
        let context = Context {
            objects: Arc::new(MemoryObjects::new()),
            rollups: Arc::new(store.clone()),
            checkpoints: Arc::new(store.clone()),
            clock: Arc::new(SystemClock),
            identity: Arc::default(),
        };
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let lag = async |named: &'static str| {
            let orgs: Vec<String> = named.split(',').map(str::to_owned).collect();
            lag_seconds(&context, &orgs, now).await
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
