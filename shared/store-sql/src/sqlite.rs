//! The store in a SQLite file.

mod checkpoints;
mod failure;
mod put;
mod rollups;
mod setup;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gam_store::Result;
use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{Connection, Transaction};

use self::failure::failed;

/// How long a reader or writer waits for its turn among this process's own.
const TURN: Duration = Duration::from_secs(60);

/// How long to wait for a lock that another process holds.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// Begins a write with the lock taken, so that what it reads cannot change before it writes.
const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

/// A store in one SQLite file; clones share its connections.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    path: Arc<Path>,
    /// One connection: SQLite has one writer at a time, and a queue here is fairer than its lock.
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens the store in that file; the file and its directory are made where they are missing.
    ///
    /// # Errors
    /// `Unusable` where the file is no store of this program or of a newer one, is damaged, or cannot
    /// be opened or made; `Unavailable` where another process keeps it locked.
    pub async fn open(path: &Path) -> Result<Self> {
        let path: Arc<Path> = Arc::from(path);
        let options = setup::prepare(&path).await?;
        let writer = pool(1).connect_lazy_with(options.clone());
        let readers = pool(3).connect_lazy_with(options.pragma("query_only", "ON"));
        Ok(SqliteStore { path, writer, readers })
    }

    /// Waits for what is under way and closes the file. Every use after that fails.
    pub async fn close(&self) {
        self.readers.close().await;
        // The last connection to be closed moves the log into the file, which a reader may not.
        self.writer.close().await;
    }

    async fn begin(&self, doing: &str) -> Result<Transaction<'static, Sqlite>> {
        self.writer.begin_with(BEGIN_WRITE).await.map_err(failed(&self.path, doing))
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(TURN)
        // A connection to a file does not go stale.
        .test_before_acquire(false)
        .after_release(|connection, _| Box::pin(is_clean(connection)))
}

/// SQLite ends a transaction by itself when the disk is full, without telling the driver, which then
/// takes the connection for busy for good. Such a connection is not used again.
async fn is_clean(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    // The rollback of a dropped transaction is done once the connection answers.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// How every connection to the file is set up.
fn connect_options(path: &Path) -> SqliteConnectOptions {
    // A bare name such as `file:x` or `:memory:` would mean something else to SQLite.
    let filename = if path.is_absolute() { path.to_path_buf() } else { PathBuf::from(".").join(path) };
    SqliteConnectOptions::new()
        .filename(filename)
        .busy_timeout(LOCK_WAIT)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full)
        // Without it a commit on macOS may still be in the disk's own cache after a power cut.
        .pragma("fullfsync", "ON")
        // A rebuild makes the log long; it need not stay so.
        .pragma("journal_size_limit", "67108864")
}

#[cfg(test)]
mod tests {
    use gam_store::keys::CheckpointKey;
    use gam_store::{CheckpointStore, SaveOutcome};

    use super::*;

    /// SQLite's own limit stands in for a full disk: both are SQLITE_FULL.
    #[tokio::test]
    async fn a_full_disk_is_named_and_nothing_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store.sqlite")).await.unwrap();
        let key = CheckpointKey::Org("acme".to_owned());
        let SaveOutcome::Saved(first) = store.save(&key, "small", None).await.unwrap() else {
            panic!("a conflict")
        };

        sqlx::query("PRAGMA max_page_count = 100").execute(&store.writer).await.unwrap();
        let error = store.save(&key, &"x".repeat(1_000_000), Some(first)).await.unwrap_err();
        assert!(!error.is_retryable());
        assert!(error.to_string().contains("is full: make room and run again"), "{error}");

        assert_eq!(store.load(&key).await.unwrap().unwrap().body, "small");
        let saved = store.save(&key, "again", Some(first)).await.unwrap();
        assert!(matches!(saved, SaveOutcome::Saved(_)), "the store goes on once there is room");
        store.close().await;
    }

    /// As SQLite does by itself on some errors.
    #[tokio::test]
    async fn a_transaction_that_ended_by_itself_costs_only_its_connection() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store.sqlite")).await.unwrap();
        let mut write = store.begin("writing").await.unwrap();
        sqlx::raw_sql("ROLLBACK").execute(&mut *write).await.unwrap();
        assert!(write.commit().await.is_err());
        let key = CheckpointKey::Org("acme".to_owned());
        assert!(matches!(store.save(&key, "{}", None).await.unwrap(), SaveOutcome::Saved(_)));
    }

    /// A writer that keeps its lock too long; the wait is cut short to keep the test so.
    #[tokio::test]
    async fn a_lasting_lock_is_worth_another_try() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let (store, other) =
            (SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap());
        sqlx::query("PRAGMA busy_timeout = 50").execute(&store.writer).await.unwrap();
        let lock = other.begin("holding the lock").await.unwrap();
        let key = CheckpointKey::Org("acme".to_owned());
        let error = store.save(&key, "{}", None).await.unwrap_err();
        assert!(error.is_retryable());
        assert!(error.to_string().contains("another process keeps"), "{error}");

        lock.rollback().await.unwrap();
        assert!(matches!(store.save(&key, "{}", None).await.unwrap(), SaveOutcome::Saved(_)));
    }

    /// What makes a commit durable, and what keeps readers from writing.
    #[tokio::test]
    async fn connections_are_set_up_to_last() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store.sqlite")).await.unwrap();
        for (pool, query_only) in [(&store.writer, 0), (&store.readers, 1)] {
            let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(pool).await.unwrap();
            assert_eq!(mode, "wal");
            for (pragma, expected) in [
                ("PRAGMA synchronous", 2),
                ("PRAGMA fullfsync", 1),
                ("PRAGMA busy_timeout", 30_000),
                ("PRAGMA query_only", query_only),
            ] {
                let value: i64 = sqlx::query_scalar(pragma).fetch_one(pool).await.unwrap();
                assert_eq!(value, expected, "{pragma}");
            }
        }
        store.close().await;
    }
}
