//! Opens the lake and the store that the settings name, and connects them to the use cases' ports.

use std::path::Path;
use std::sync::Arc;

use gam_aggregate::AggregatePorts;
use gam_collect::{CollectPorts, DryRunPorts};
use gam_lake::{FileStore, ObjectStore};
use gam_model::{Clock, Identity, SystemClock};
use gam_query::QueryPorts;
use gam_store::{CheckpointStore, NameStore, RollupStore};
use gam_store_sql::SqliteStore;

use crate::aws;
use crate::exit::failed;
use crate::location::{LakeLocation, StoreLocation};
use crate::settings::Settings;

/// The store's ports, and the file to close at the end.
pub(crate) struct Store {
    rollups: Arc<dyn RollupStore>,
    names: Arc<dyn NameStore>,
    checkpoints: Arc<dyn CheckpointStore>,
    sqlite: Option<Arc<SqliteStore>>,
}

/// An open store with the configuration, which is all that queries need.
pub(crate) struct OpenStore {
    store: Store,
    clock: Arc<dyn Clock>,
    identity: Arc<Identity>,
}

/// An open lake and an open store.
pub(crate) struct OpenData {
    /// The lake.
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// The store.
    pub(crate) store: OpenStore,
}

impl Store {
    /// Connects one adapter to all ports of the store.
    pub(crate) fn new<S>(store: Arc<S>) -> Self
    where
        S: RollupStore + NameStore + CheckpointStore + 'static,
    {
        Store { rollups: store.clone(), names: store.clone(), checkpoints: store, sqlite: None }
    }

    async fn open(location: &StoreLocation) -> anyhow::Result<Self> {
        match location {
            StoreLocation::Sqlite(path) => {
                let sqlite = Arc::new(SqliteStore::open(path).await?);
                Ok(Store { sqlite: Some(sqlite.clone()), ..Store::new(sqlite) })
            }
            StoreLocation::Dynamo(table) => aws::store(table).await,
        }
    }
}

impl OpenStore {
    /// Opens the store. A local file is created if it is missing.
    ///
    /// # Errors
    /// If the store cannot be used, or the configuration cannot be read.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let identity = Arc::new(settings.identity()?);
        Ok(OpenStore { store: Store::open(&settings.store).await?, clock: Arc::new(SystemClock), identity })
    }

    /// Opens the store if it exists.
    ///
    /// # Errors
    /// If there is no store yet, or as [`OpenStore::open`].
    pub(crate) async fn open_existing(settings: &Settings) -> anyhow::Result<Self> {
        match &settings.store {
            StoreLocation::Sqlite(path) if is_missing(path) => Err(failed(format!(
                "there is no store at {} yet: run `github-metrics up ORG` first, name another directory with \
                 --data-dir, or a served API with --api",
                path.display()
            ))),
            _ => Self::open(settings).await,
        }
    }

    /// The clock of all use cases.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The ports of all queries.
    pub(crate) fn query_ports(&self) -> QueryPorts {
        QueryPorts {
            rollups: self.store.rollups.clone(),
            names: self.store.names.clone(),
            checkpoints: self.store.checkpoints.clone(),
            clock: self.clock.clone(),
            identity: self.identity.clone(),
        }
    }

    /// Returns every organization in the store, spelled as GitHub does.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) async fn orgs(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.store.names.orgs().await?)
    }

    /// Closes the store.
    pub(crate) async fn close(self) {
        if let Some(sqlite) = self.store.sqlite {
            sqlite.close().await;
        }
    }
}

impl OpenData {
    /// Opens the lake and the store. Local ones are created if they are missing.
    ///
    /// # Errors
    /// If one of them cannot be used, or the configuration cannot be read.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let objects = lake(&settings.lake).await?;
        Ok(OpenData { objects, store: OpenStore::open(settings).await? })
    }

    /// The ports of a collection.
    pub(crate) fn collect_ports(&self) -> CollectPorts {
        CollectPorts {
            objects: self.objects.clone(),
            names: self.store.store.names.clone(),
            checkpoints: self.store.store.checkpoints.clone(),
            clock: self.store.clock.clone(),
        }
    }

    /// The ports of an aggregation.
    pub(crate) fn aggregate_ports(&self) -> AggregatePorts {
        AggregatePorts {
            objects: self.objects.clone(),
            rollups: self.store.store.rollups.clone(),
            names: self.store.store.names.clone(),
            clock: self.store.clock.clone(),
            identity: self.store.identity.clone(),
        }
    }

    /// The clock of all use cases.
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
/// If it cannot be used.
pub(crate) async fn lake(location: &LakeLocation) -> anyhow::Result<Arc<dyn ObjectStore>> {
    match location {
        LakeLocation::Dir(dir) => Ok(Arc::new(FileStore::open(dir)?)),
        LakeLocation::S3 { bucket, prefix } => aws::lake(bucket, prefix).await,
    }
}

/// Opens the ports of a dry run, which leaves nothing behind: a missing local store is not created.
/// Close the store at the end, if there is one.
///
/// # Errors
/// As [`OpenStore::open`].
pub(crate) async fn dry_run(settings: &Settings) -> anyhow::Result<(DryRunPorts, Option<OpenStore>)> {
    let store = match &settings.store {
        StoreLocation::Sqlite(path) if is_missing(path) => None,
        _ => Some(OpenStore::open(settings).await?),
    };
    let checkpoints = store.as_ref().map(|open| open.store.checkpoints.clone());
    Ok((DryRunPorts { checkpoints, clock: Arc::new(SystemClock) }, store))
}

/// Returns how many batches of the organization wait in a local inbox; 0 if that cannot be seen cheaply.
pub(crate) async fn waiting_batches(settings: &Settings, org: &str) -> usize {
    // A remote lake is not listed: that takes time, and may be refused.
    let LakeLocation::Dir(dir) = &settings.lake else { return 0 };
    // Opening a missing directory would create it.
    if settings.api.is_some() || !dir.is_dir() {
        return 0;
    }
    let Ok(objects) = FileStore::open(dir) else { return 0 };
    gam_lake::inbox::list(&objects, org).await.map_or(0, |batches| batches.len())
}

/// Returns whether the file is missing. If that cannot be determined, opening it reports why.
fn is_missing(path: &Path) -> bool {
    !path.try_exists().unwrap_or(true)
}
