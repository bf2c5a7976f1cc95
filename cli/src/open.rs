//! Opens the lake and the store that the settings name, and connects them to the ports of the use cases.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use gam_aggregate::AggregatePorts;
use gam_collect::{CollectPorts, DryRunPorts};
use gam_lake::configuration::{self, CachedConfigurations};
use gam_lake::{FileStore, ObjectStore};
use gam_model::{Clock, Identity, SystemClock};
use gam_query::{IdentitySource, QueryPorts};
use gam_store_sql::SqliteStore;

use crate::aws;
use crate::error::failure;
use crate::location::{LakeLocation, StoreLocation};
use crate::settings::CliSettings;
use crate::store::StorePorts;

/// An open store, and the lake for reading configurations: everything that queries need.
pub(crate) struct OpenStore {
    ports: StorePorts,
    clock: Arc<dyn Clock>,
    /// The lake, opened for reading.
    lake: Arc<dyn ObjectStore>,
}

/// The rules for bots and aliases that the lake configures.
struct LakeIdentities(CachedConfigurations);

#[async_trait]
impl IdentitySource for LakeIdentities {
    async fn identity(&self, org: &str) -> Result<Arc<Identity>, Box<dyn Error + Send + Sync>> {
        Ok(Arc::new(self.0.get(org).await?.identity.clone()))
    }
}

/// An open lake and an open store.
pub(crate) struct OpenData {
    /// The objects of the lake.
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// The store.
    pub(crate) store: OpenStore,
}

impl OpenStore {
    /// Opens the store. A local file is created if it is missing.
    ///
    /// # Errors
    /// If the store cannot be opened.
    pub(crate) async fn open(settings: &CliSettings) -> anyhow::Result<Self> {
        let lake = open_lake_for_reading(&settings.lake).await?;
        let ports = match &settings.store {
            StoreLocation::Sqlite(path) => StorePorts::sqlite(SqliteStore::open(path).await?),
            StoreLocation::Dynamo(table) => aws::open_store(table).await?,
        };
        Ok(OpenStore { ports, clock: Arc::new(SystemClock), lake })
    }

    /// Opens the store if it exists.
    ///
    /// # Errors
    /// If there is no store yet, or as [`OpenStore::open`].
    pub(crate) async fn open_existing(settings: &CliSettings) -> anyhow::Result<Self> {
        match &settings.store {
            StoreLocation::Sqlite(path) if is_missing(path) => Err(failure(format!(
                "there is no store at {} yet: run `github-metrics up ORG` first, or name another directory \
                 with --data-dir, or a server with --api",
                path.display()
            ))),
            _ => Self::open(settings).await,
        }
    }

    /// Returns the clock of all use cases.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Returns the ports of queries.
    pub(crate) fn query_ports(&self) -> QueryPorts {
        QueryPorts {
            rollups: self.ports.rollups.clone(),
            names: self.ports.names.clone(),
            checkpoints: self.ports.checkpoints.clone(),
            clock: self.clock.clone(),
            identities: Arc::new(LakeIdentities(CachedConfigurations::new(
                self.lake.clone(),
                self.clock.clone(),
            ))),
        }
    }

    /// Returns the display name of every organization in the store.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) async fn orgs(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.ports.names.orgs().await?)
    }

    /// Closes the store.
    pub(crate) async fn close(self) {
        self.ports.close().await;
    }
}

impl OpenData {
    /// Opens the lake and the store. Local ones are created if they are missing.
    ///
    /// # Errors
    /// If one of them cannot be opened.
    pub(crate) async fn open(settings: &CliSettings) -> anyhow::Result<Self> {
        let objects = open_lake(&settings.lake).await?;
        Ok(OpenData { objects, store: OpenStore::open(settings).await? })
    }

    /// Returns the ports of a collection.
    pub(crate) fn collect_ports(&self) -> CollectPorts {
        CollectPorts {
            objects: self.objects.clone(),
            names: self.store.ports.names.clone(),
            checkpoints: self.store.ports.checkpoints.clone(),
            clock: self.store.clock.clone(),
        }
    }

    /// Returns the ports of an aggregation of the organization, with its newest configuration.
    ///
    /// # Errors
    /// If the configuration cannot be read.
    pub(crate) async fn aggregate_ports(&self, org: &str) -> anyhow::Result<AggregatePorts> {
        let revision = configuration::latest(&*self.objects, org).await?;
        Ok(AggregatePorts {
            objects: self.objects.clone(),
            rollups: self.store.ports.rollups.clone(),
            names: self.store.ports.names.clone(),
            clock: self.store.clock.clone(),
            identity: Arc::new(revision.configuration.identity),
        })
    }

    /// Returns the clock of all use cases.
    pub(crate) fn clock(&self) -> &dyn Clock {
        self.store.clock()
    }

    /// Closes the store.
    pub(crate) async fn close(self) {
        self.store.close().await;
    }
}

/// Opens the lake. A local directory is created if it is missing.
///
/// # Errors
/// If the lake cannot be opened.
pub(crate) async fn open_lake(location: &LakeLocation) -> anyhow::Result<Arc<dyn ObjectStore>> {
    match location {
        LakeLocation::Dir(dir) => Ok(Arc::new(FileStore::open(dir)?)),
        LakeLocation::S3 { bucket, prefix } => aws::open_lake(bucket, prefix).await,
    }
}

/// Opens the lake for reading. A missing local directory is not created, and counts as empty.
///
/// # Errors
/// If the lake cannot be opened.
pub(crate) async fn open_lake_for_reading(location: &LakeLocation) -> anyhow::Result<Arc<dyn ObjectStore>> {
    match location {
        LakeLocation::Dir(dir) => Ok(Arc::new(FileStore::open_for_reading(dir))),
        LakeLocation::S3 { bucket, prefix } => aws::open_lake(bucket, prefix).await,
    }
}

/// Opens the ports of a dry run, which writes nothing: a missing local store is not created. The caller
/// closes the store, if there is one.
///
/// # Errors
/// As [`OpenStore::open`].
pub(crate) async fn open_dry_run(settings: &CliSettings) -> anyhow::Result<(DryRunPorts, Option<OpenStore>)> {
    let store = match &settings.store {
        StoreLocation::Sqlite(path) if is_missing(path) => None,
        _ => Some(OpenStore::open(settings).await?),
    };
    let checkpoints = store.as_ref().map(|open| open.ports.checkpoints.clone());
    let objects = open_lake_for_reading(&settings.lake).await?;
    Ok((DryRunPorts { objects, checkpoints, clock: Arc::new(SystemClock) }, store))
}

/// Returns the number of batches of the organization that wait in a local inbox. Returns 0 if it cannot
/// be determined cheaply.
pub(crate) async fn waiting_batches(settings: &CliSettings, org: &str) -> usize {
    // A remote lake is not listed: that takes time, and may be refused.
    let LakeLocation::Dir(dir) = &settings.lake else { return 0 };
    // Opening a missing directory would create it.
    if settings.api.is_some() || !dir.is_dir() {
        return 0;
    }
    let Ok(objects) = FileStore::open(dir) else { return 0 };
    gam_lake::inbox::list(&objects, org).await.map_or(0, |batches| batches.len())
}

/// Returns whether the file is missing. If that cannot be determined, opening the file reports why.
fn is_missing(path: &Path) -> bool {
    !path.try_exists().unwrap_or(true)
}
