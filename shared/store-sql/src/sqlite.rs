//! The store in a SQLite file.

mod changes;
mod checkpoints;
mod error;
mod item_id;
mod names;
mod orgs;
mod put;
mod records;
mod rollups;
mod schema;
mod setup;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gam_store::{ChangeToken, Error, Result};
use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{Connection, Transaction};

use self::changes::ChangeWatcher;
use self::error::failed;

/// How long a reader or writer waits for a connection of this process.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Number of connections that read.
const READERS: u32 = 3;

/// The memory for pages that the connection that writes may use, in KiB.
const WRITER_CACHE_KIB: u32 = 24 << 10;

/// Length of the log from which on a commit moves it into the file, in pages of 8 KiB.
const CHECKPOINT_PAGES: u32 = 8 << 10;

/// How long to wait for a lock that another process holds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The size of a page of a new file, in bytes. An existing file keeps its own. Larger pages than SQLite's default
/// waste less space between items and make a rebuild faster: see ADR 18.
const PAGE_BYTES: u32 = 8_192;

/// Begins a transaction that holds the write lock, so that what it reads cannot change before it writes.
const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

/// A store in one SQLite file. Clones share its connections.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    path: Arc<Path>,
    /// One connection: SQLite has one writer at a time, and waiting for a connection is fairer than its lock.
    writer: SqlitePool,
    readers: SqlitePool,
    watcher: Arc<ChangeWatcher>,
    /// Whether the file is read on the assumption that nobody writes it.
    is_unchanging: bool,
    /// Whether the file was opened for reading, so an older one stays as it is.
    is_read_only: bool,
}

impl SqliteStore {
    /// Returns the token of the file's present content. `None` if nobody watches it.
    fn present_content(&self) -> Option<ChangeToken> {
        if self.is_unchanging || self.readers.is_closed() { None } else { self.watcher.token() }
    }

    /// Opens the store in a file. Creates the file and its directory if they do not exist. Migrates a file of an
    /// older version: names and checkpoints stay, rollups and markers are dropped and must be folded again.
    ///
    /// # Errors
    /// `Unusable` if the file is damaged, is not a store of this program, was written by a newer version, or
    /// cannot be opened or created. `Unavailable` if another process keeps it locked.
    pub async fn open(path: &Path) -> Result<Self> {
        let path: Arc<Path> = Arc::from(path);
        let options = setup::prepare(&path).await?;
        // The pages of a month stay in memory until the commit writes each of them once, and the log is moved into the
        // file after several months and not after each.
        let writer_options = options
            .clone()
            .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string());
        let writer = pool(1).connect_lazy_with(writer_options);
        let readers = pool(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
        let watcher = Arc::new(ChangeWatcher::new(&path));
        Ok(SqliteStore { path, writer, readers, watcher, is_unchanging: false, is_read_only: false })
    }

    /// Opens an existing store for reading. Needs no permission to write, and creates and changes nothing in
    /// the file: a backup or a read-only mount can be opened.
    ///
    /// # Errors
    /// As [`SqliteStore::open`], and `Unusable` if there is no file, if it has an older version, or if its log
    /// cannot be read without permission to write.
    pub async fn open_read_only(path: &Path) -> Result<Self> {
        let path: Arc<Path> = Arc::from(path);
        let (readers, is_unchanging) = setup::open_for_reading(&path).await?;
        let watcher = Arc::new(ChangeWatcher::new(&path));
        Ok(SqliteStore { path, writer: readers.clone(), readers, watcher, is_unchanging, is_read_only: true })
    }

    /// Writes a copy of the store, as it is at one time, into a new file. Others can read and write meanwhile.
    ///
    /// # Errors
    /// If the file exists or cannot be written, or if the store fails. A part of the file may have been written.
    pub async fn back_up(&self, file: &Path) -> Result<()> {
        const ACTION: &str = "copying the store";
        let name = file_name(file);
        let copy = sqlx::query("VACUUM INTO ?").bind(name.to_string_lossy());
        copy.execute(&self.writer).await.map_err(failed(&self.path, ACTION))?;
        let sync = tokio::task::spawn_blocking(move || std::fs::File::open(&name)?.sync_all()).await;
        let sync = sync.map_err(std::io::Error::other).and_then(|synced| synced);
        sync.map_err(|error| Error::unavailable(format!("{ACTION} to {}", file.display()), error))
    }

    /// Waits for running reads and writes, then closes the file. Every later use of the store fails.
    pub async fn close(&self) {
        self.watcher.close();
        self.readers.close().await;
        // The last connection to close moves the log into the file, which a reader is not allowed to do.
        self.writer.close().await;
    }

    /// Returns the connections that read.
    ///
    /// # Errors
    /// `Unusable` if somebody has begun to write a file that was opened as one that nobody writes.
    fn readers(&self) -> Result<&SqlitePool> {
        if self.is_unchanging && setup::has_log(&self.path) {
            return Err(setup::written_meanwhile(&self.path));
        }
        Ok(&self.readers)
    }

    async fn begin(&self, action: &str) -> Result<Transaction<'static, Sqlite>> {
        self.writer.begin_with(BEGIN_WRITE).await.map_err(failed(&self.path, action))
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(CONNECTION_TIMEOUT)
        // Waiting is normal under load: the server limits how many requests wait, and reports it once.
        .acquire_slow_threshold(CONNECTION_TIMEOUT)
        // A connection to a file does not go stale.
        .test_before_acquire(false)
        .after_release(|connection, _| Box::pin(is_idle(connection)))
}

/// Returns whether a connection can be used again. When the disk is full, SQLite ends a transaction without
/// reporting it to the driver, which then considers the connection busy forever.
async fn is_idle(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    // Once the connection answers, the rollback of a dropped transaction has finished.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Returns the path as SQLite takes it. A bare name such as `file:x` or `:memory:` would mean something else to it.
fn file_name(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_path_buf() } else { PathBuf::from(".").join(path) }
}

/// Returns the options of every connection to the file.
fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file_name(path))
        .page_size(PAGE_BYTES)
        .busy_timeout(LOCK_TIMEOUT)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full)
        // On macOS a plain fsync leaves commits in the disk's cache, where a power failure destroys them.
        .pragma("fullfsync", "ON")
        // A rebuild makes the log long. This truncates it afterwards.
        .pragma("journal_size_limit", "67108864")
}

#[cfg(test)]
mod tests {
    use gam_store::keys::CheckpointKey;
    use gam_store::{CheckpointStore, RollupStore, SaveOutcome};

    use super::*;

    /// SQLite's limit of pages simulates a full disk: both fail with SQLITE_FULL.
    #[tokio::test]
    async fn a_full_disk_is_reported_and_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store.sqlite")).await.unwrap();
        let key = CheckpointKey::Org("acme".to_owned());
        let SaveOutcome::Saved(first) = store.save(&key, "small", None).await.unwrap() else {
            panic!("a conflict")
        };

        sqlx::query("PRAGMA max_page_count = 100").execute(&store.writer).await.unwrap();
        let error = store.save(&key, &"x".repeat(1_000_000), Some(first)).await.unwrap_err();
        assert!(!error.is_retryable());
        assert!(error.to_string().contains("is full: free some space and run again"), "{error}");

        assert_eq!(store.load(&key).await.unwrap().unwrap().body, "small");
        let saved = store.save(&key, "again", Some(first)).await.unwrap();
        assert!(matches!(saved, SaveOutcome::Saved(_)), "the store works again once there is space");
        store.close().await;
    }

    /// SQLite does that on some errors.
    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_costs_only_its_connection() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store.sqlite")).await.unwrap();
        let mut write = store.begin("writing").await.unwrap();
        sqlx::raw_sql("ROLLBACK").execute(&mut *write).await.unwrap();
        assert!(write.commit().await.is_err());
        let key = CheckpointKey::Org("acme".to_owned());
        assert!(matches!(store.save(&key, "{}", None).await.unwrap(), SaveOutcome::Saved(_)));
    }

    /// Another process holds the lock for too long. The timeout is short to keep the test fast.
    #[tokio::test]
    async fn a_lock_timeout_is_retryable() {
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

    /// A user who may only read: the directory and the file are read-only.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_store_can_be_read_without_permission_to_write() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let key = CheckpointKey::Org("acme".to_owned());
        let missing = SqliteStore::open_read_only(&path).await.unwrap_err();
        assert!(!missing.is_retryable() && !path.exists(), "{missing}");

        let writer = SqliteStore::open(&path).await.unwrap();
        writer.save(&key, "{}", None).await.unwrap();
        let reader = SqliteStore::open_read_only(&path).await.unwrap();
        assert_eq!(reader.load(&key).await.unwrap().unwrap().body, "{}", "what is only in the log");
        let refused = reader.save(&key, "[]", None).await.unwrap_err();
        assert!(!refused.is_retryable(), "{refused}");
        reader.close().await;
        writer.close().await;

        let mode = |mode| std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&path, mode(0o444)).unwrap();
        std::fs::set_permissions(directory.path(), mode(0o555)).unwrap();
        let listed = || std::fs::read_dir(directory.path()).unwrap().count();
        let before = listed();
        let reader = SqliteStore::open_read_only(&path).await;
        let body = match &reader {
            Ok(reader) => reader.load(&key).await.map(|stored| stored.unwrap().body),
            Err(error) => panic!("{error}"),
        };
        std::fs::set_permissions(directory.path(), mode(0o755)).unwrap();
        assert_eq!(body.unwrap(), "{}");
        // The superuser may write everywhere, so this says little in a container.
        assert!(listed() >= before);
    }

    /// A file that nobody writes is read without its log and without a lock.
    #[tokio::test]
    async fn a_closed_store_is_read_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let key = CheckpointKey::Org("acme".to_owned());
        let writer = SqliteStore::open(&path).await.unwrap();
        writer.save(&key, "{}", None).await.unwrap();
        writer.close().await;
        let readers = setup::open_unchanging(&path).await.unwrap();
        let reader = SqliteStore {
            path: Arc::from(&*path),
            writer: readers.clone(),
            readers,
            watcher: Arc::new(ChangeWatcher::new(&path)),
            is_unchanging: true,
            is_read_only: true,
        };
        assert_eq!(reader.load(&key).await.unwrap().unwrap().body, "{}");
        assert_eq!(reader.change_token(), None, "SQLite notices no changes of such a file");
        let files = || std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(files(), 1, "it leaves no log");
        let writer = SqliteStore::open(&path).await.unwrap();
        writer.save(&CheckpointKey::Org("other".to_owned()), "{}", None).await.unwrap();
        let error = reader.load(&key).await.unwrap_err();
        assert!(error.to_string().contains("another program writes"), "{error}");
        writer.close().await;
    }

    /// These settings make commits durable and keep readers from writing.
    #[tokio::test]
    async fn connections_are_durable_and_readers_are_read_only() {
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
