//! The lake and the store that the settings name, put together into a pipeline's context.

use std::path::Path;
use std::sync::Arc;

use gam_aws::{DynamoStore, S3Objects};
use gam_lake::{FileStore, MemoryObjects, ObjectStore};
use gam_pipeline::{Context, SystemClock};
use gam_store::MemoryStore;
use gam_store_sql::SqliteStore;

use crate::exit::failed;
use crate::places::{LakePlace, StorePlace};
use crate::settings::Settings;

/// The context, and what has to be closed at the end.
pub(crate) struct Local {
    /// What every use case works with.
    pub(crate) context: Context,
    sqlite: Option<Arc<SqliteStore>>,
}

/// Whether the file is not there. Where that cannot be known, opening it tells why.
fn is_missing(path: &Path) -> bool {
    !path.try_exists().unwrap_or(true)
}

/// Opens the lake; a directory is made where it is not there yet.
///
/// # Errors
/// Where it cannot be used.
pub(crate) async fn lake(place: &LakePlace) -> anyhow::Result<Arc<dyn ObjectStore>> {
    Ok(match place {
        LakePlace::Dir(dir) => Arc::new(FileStore::open(dir)?),
        LakePlace::S3 { bucket, prefix } => Arc::new(S3Objects::new(&gam_aws::load().await, bucket, prefix)),
    })
}

/// How many batches of the organization wait in this machine's inbox to be counted; none where that cannot
/// be told without more ado.
pub(crate) async fn uncounted(settings: &Settings, org: &str) -> usize {
    // A lake that is elsewhere is not asked: that takes its time, and may be refused.
    let LakePlace::Dir(dir) = &settings.lake else { return 0 };
    // Opening the directory would make it.
    if settings.api.is_some() || !dir.is_dir() {
        return 0;
    }
    let Ok(objects) = FileStore::open(dir) else { return 0 };
    gam_lake::inbox::list(&objects, org).await.map_or(0, |batches| batches.len())
}

impl Local {
    /// Opens the lake and the store, and makes them where they are not there yet and are of this machine.
    ///
    /// # Errors
    /// Where one of them cannot be used, or the configuration cannot be read.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        Self::with_objects(settings, lake(&settings.lake).await?).await
    }

    /// Opens the store alone, which is all that questions need; a file is made where it is not there yet.
    ///
    /// # Errors
    /// Where it cannot be used, or the configuration cannot be read.
    pub(crate) async fn open_store(settings: &Settings) -> anyhow::Result<Self> {
        Self::with_objects(settings, Arc::new(MemoryObjects::new())).await
    }

    /// Opens the store where there is one.
    ///
    /// # Errors
    /// Where there is none yet, or as [`Local::open_store`].
    pub(crate) async fn open_existing_store(settings: &Settings) -> anyhow::Result<Self> {
        match &settings.store {
            StorePlace::Sqlite(path) if is_missing(path) => Err(failed(format!(
                "there is no store at {} yet: run `github-metrics up ORG` first, name another directory with \
                 --data-dir, or a served API with --api",
                path.display()
            ))),
            _ => Self::open_store(settings).await,
        }
    }

    /// Opens what there is of the store, and no lake: enough for what is not to leave anything behind.
    ///
    /// # Errors
    /// As [`Local::open_store`].
    pub(crate) async fn open_dry(settings: &Settings) -> anyhow::Result<Self> {
        match &settings.store {
            StorePlace::Sqlite(path) if is_missing(path) => {
                let store = Arc::new(MemoryStore::default());
                let context = Context {
                    objects: Arc::new(MemoryObjects::new()),
                    rollups: store.clone(),
                    checkpoints: store,
                    clock: Arc::new(SystemClock),
                    identity: Arc::new(settings.identity()?),
                };
                Ok(Local { context, sqlite: None })
            }
            _ => Self::open_store(settings).await,
        }
    }

    async fn with_objects(settings: &Settings, objects: Arc<dyn ObjectStore>) -> anyhow::Result<Self> {
        let identity = Arc::new(settings.identity()?);
        let clock = Arc::new(SystemClock);
        match &settings.store {
            StorePlace::Sqlite(path) => {
                let store = Arc::new(SqliteStore::open(path).await?);
                let (rollups, checkpoints) = (store.clone(), store.clone());
                let context = Context { objects, rollups, checkpoints, clock, identity };
                Ok(Local { context, sqlite: Some(store) })
            }
            StorePlace::Dynamo(table) => {
                let store = Arc::new(DynamoStore::new(&gam_aws::load().await, table));
                let context =
                    Context { objects, rollups: store.clone(), checkpoints: store, clock, identity };
                Ok(Local { context, sqlite: None })
            }
        }
    }

    /// Closes the store.
    pub(crate) async fn close(self) {
        if let Some(store) = self.sqlite {
            store.close().await;
        }
    }
}
