//! The ports of the store, whichever adapter is behind them.

use std::sync::Arc;

use gam_store::{CheckpointStore, NameStore, OrgStore, RecordStore, RollupStore};
#[cfg(feature = "postgres")]
use gam_store_sql::PostgresStore;
use gam_store_sql::SqliteStore;

/// The ports of one store.
pub(crate) struct StorePorts {
    /// Rollups and markers.
    pub(crate) rollups: Arc<dyn RollupStore>,
    /// Organizations, and the latest names of repositories and members.
    pub(crate) names: Arc<dyn NameStore>,
    /// Checkpoints of collections.
    pub(crate) checkpoints: Arc<dyn CheckpointStore>,
    /// Records, such as tokens.
    pub(crate) records: Arc<dyn RecordStore>,
    /// Removes organizations.
    pub(crate) orgs: Arc<dyn OrgStore>,
    sqlite: Option<Arc<SqliteStore>>,
    #[cfg(feature = "postgres")]
    postgres: Option<Arc<PostgresStore>>,
}

impl StorePorts {
    /// Connects one adapter to all ports.
    pub(crate) fn new<S>(store: Arc<S>) -> Self
    where
        S: RollupStore + NameStore + CheckpointStore + RecordStore + OrgStore + 'static,
    {
        StorePorts {
            rollups: store.clone(),
            names: store.clone(),
            checkpoints: store.clone(),
            records: store.clone(),
            orgs: store,
            sqlite: None,
            #[cfg(feature = "postgres")]
            postgres: None,
        }
    }

    /// Connects a SQLite file, which [`StorePorts::close`] closes.
    pub(crate) fn sqlite(store: SqliteStore) -> Self {
        let store = Arc::new(store);
        StorePorts { sqlite: Some(store.clone()), ..StorePorts::new(store) }
    }

    /// Connects a PostgreSQL database, whose connections [`StorePorts::close`] closes.
    #[cfg(feature = "postgres")]
    pub(crate) fn postgres(store: PostgresStore) -> Self {
        let store = Arc::new(store);
        StorePorts { postgres: Some(store.clone()), ..StorePorts::new(store) }
    }

    /// Closes the store.
    pub(crate) async fn close(self) {
        if let Some(sqlite) = self.sqlite {
            sqlite.close().await;
        }
        #[cfg(feature = "postgres")]
        if let Some(postgres) = self.postgres {
            postgres.close().await;
        }
    }
}
