//! The lake and the store that the settings name, put together into a pipeline's context.

use std::sync::Arc;

use gam_aws::{DynamoStore, S3Objects};
use gam_lake::{FileStore, MemoryObjects, ObjectStore};
use gam_pipeline::{Context, SystemClock};
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
            // Where it cannot be known whether the file is there, opening it tells why.
            StorePlace::Sqlite(path) if !path.try_exists().unwrap_or(true) => Err(failed(format!(
                "there is no store at {} yet: run `github-metrics up ORG` first, name another directory with \
                 --data-dir, or a served API with --api",
                path.display()
            ))),
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
