//! The stores of one machine, empty.

use std::sync::Arc;

use gam_store::{MemoryStore, RecordStore};
use gam_store_sql::SqliteStore;
use tempfile::TempDir;

/// A store under test, and the directory of its file.
pub(crate) struct TestStore {
    pub(crate) records: Arc<dyn RecordStore>,
    sqlite: Option<(SqliteStore, TempDir)>,
}

impl TestStore {
    pub(crate) fn memory() -> Self {
        TestStore { records: Arc::new(MemoryStore::default()), sqlite: None }
    }

    pub(crate) async fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = SqliteStore::open(&directory.path().join("store.sqlite")).await.expect("a store");
        TestStore { records: Arc::new(store.clone()), sqlite: Some((store, directory)) }
    }

    pub(crate) async fn close(self) {
        if let Some((store, _directory)) = self.sqlite {
            store.close().await;
        }
    }
}
