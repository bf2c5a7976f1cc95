//! Notices that the file has changed.

use gam_store::Result;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection};

use super::SqliteStore;
use super::error::failed;

/// What [`SqliteStore::content_version`] returned. Two values of one store are equal only if nothing was committed to
/// the file in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentVersion {
    /// Number of the connection that was asked.
    connection: u64,
    /// Number of changes that this connection has noticed.
    version: i64,
}

/// The connection that notices changes. It never writes, because a connection does not notice its own changes.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    connection: Option<SqliteConnection>,
    /// Number of connections so far. Another connection counts changes anew.
    number: u64,
}

impl Watcher {
    pub(super) async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            // An error leaves nothing to do: the connection is gone.
            let _ = connection.close().await;
        }
    }
}

impl SqliteStore {
    /// Returns a value that differs from earlier ones of this store if anything was committed to the file since, by
    /// this or another process. Reads no table. Clones of a store return the same values.
    ///
    /// # Errors
    /// If the file cannot be read, or the store has been closed.
    pub async fn content_version(&self) -> Result<ContentVersion> {
        let failed = || failed(&self.path, "looking for changes");
        let readers = self.readers()?;
        if readers.is_closed() {
            return Err(failed()(sqlx::Error::PoolClosed));
        }
        let mut watcher = self.watcher.lock().await;
        let mut connection = match watcher.connection.take() {
            Some(connection) => connection,
            None => {
                watcher.number += 1;
                readers.connect_options().connect().await.map_err(failed())?
            }
        };
        let version = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut connection).await;
        let version = version.map_err(failed())?;
        // After an error or a cancellation, the next call connects again.
        watcher.connection = Some(connection);
        Ok(ContentVersion { connection: watcher.number, version })
    }
}

#[cfg(test)]
mod tests {
    use gam_store::keys::CheckpointKey;
    use gam_store::{CheckpointStore, RollupStore};

    use super::*;

    #[tokio::test]
    async fn the_content_version_changes_with_every_commit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let (store, other) =
            (SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap());
        let reader = SqliteStore::open_read_only(&path).await.unwrap();
        let versions = async || {
            (store.clone().content_version().await.unwrap(), reader.content_version().await.unwrap())
        };
        let mut last = versions().await;
        for (n, writer) in [&store, &other, &store].into_iter().enumerate() {
            assert_eq!(versions().await, last, "nothing was written");
            let key = CheckpointKey::Repo("acme".to_owned(), n as i64);
            writer.save(&key, "{}", None).await.unwrap();
            let now = versions().await;
            assert!(now.0 != last.0 && now.1 != last.1, "{now:?} after {last:?}");
            writer.markers("acme", gam_store::Epoch(1)).await.unwrap();
            last = now;
        }

        let mut lost = store.watcher.lock().await;
        lost.connection = None;
        drop(lost);
        assert_ne!(versions().await.0, last.0, "another connection may have missed a change");
        for store in [&reader, &other, &store] {
            store.close().await;
            assert!(store.content_version().await.is_err());
        }
        assert!(!path.with_extension("sqlite-wal").exists(), "closing moves the log into the file");
    }
}
