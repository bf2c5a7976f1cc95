//! The local lake and store, put together into a pipeline's context.

use std::sync::Arc;

use gam_lake::{FileStore, MemoryObjects, ObjectStore};
use gam_pipeline::{Context, SystemClock};
use gam_store_sql::SqliteStore;

use crate::exit::failed;
use crate::settings::Settings;

/// The context of this machine, and what has to be closed at the end.
pub(crate) struct Local {
    /// What every use case works with.
    pub(crate) context: Context,
    store: Arc<SqliteStore>,
}

impl Local {
    /// Opens the lake and the store, and makes them where they are not there yet.
    ///
    /// # Errors
    /// Where one of them cannot be used, or the configuration cannot be read.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let objects = FileStore::open(&settings.lake_dir)?;
        Self::with_objects(settings, Arc::new(objects)).await
    }

    /// Opens the store alone, which is all that questions need; it is made where it is not there yet.
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
        // Where that cannot be known, opening it tells why.
        if settings.store_path.try_exists().unwrap_or(true) {
            return Self::open_store(settings).await;
        }
        Err(failed(format!(
            "there is no store at {} yet: run `github-metrics up ORG` first, name another directory with \
             --data-dir, or a served API with --api",
            settings.store_path.display()
        )))
    }

    async fn with_objects(settings: &Settings, objects: Arc<dyn ObjectStore>) -> anyhow::Result<Self> {
        let identity = Arc::new(settings.identity()?);
        let store = Arc::new(SqliteStore::open(&settings.store_path).await?);
        let context = Context {
            objects,
            rollups: store.clone(),
            checkpoints: store.clone(),
            clock: Arc::new(SystemClock),
            identity,
        };
        Ok(Local { context, store })
    }

    /// Closes the store.
    pub(crate) async fn close(self) {
        self.store.close().await;
    }
}
