//! Creates or migrates the file, and checks whether an existing file is a store of this program.

use std::path::Path;
use std::time::Duration;

use gam_store::{Error, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool};
use sqlx::{ConnectOptions, Connection};
use tokio::time::Instant;

use super::error::{failed, failed_to_read, is_busy, is_full, needs_log_files, no_directory};
use super::schema::{self, FileState, SCHEMA_VERSION, file_state};
use super::{BEGIN_WRITE, LOCK_TIMEOUT, READERS, connect_options};

const ACTION: &str = "opening the store";

/// Creates or migrates the file and its tables if needed, and returns how to connect to it.
pub(super) async fn prepare(path: &Path) -> Result<SqliteConnectOptions> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(|error| no_directory(path, error))?;
    }
    let options = connect_options(path).disable_statement_logging();
    let failed = || failed(path, ACTION);
    let mut connection = options.clone().create_if_missing(true).connect().await.map_err(failed())?;
    match file_state(&mut connection).await.map_err(failed())? {
        FileState::Current => {}
        FileState::Newer(version) => return Err(newer_version(path, version)),
        // Another process may be creating or migrating the file, so check again while holding the lock.
        FileState::Empty | FileState::Older(_) | FileState::Unknown => {
            make_current(&mut connection, path).await?;
        }
    }
    schema::create_record_table(&mut connection).await.map_err(failed())?;
    enable_write_ahead_log(&mut connection, path).await?;
    connection.close().await.map_err(failed())?;
    Ok(options)
}

/// Opens an existing file for reading. Returns its connections, and whether they assume that nobody writes it.
pub(super) async fn open_for_reading(path: &Path) -> Result<(SqlitePool, bool)> {
    let failed = || failed_to_read(path);
    let options = connect_options(path).disable_statement_logging().read_only(true);
    match check_readable(&options, path).await {
        Ok(()) => Ok((super::pool(READERS).connect_lazy_with(options.pragma("query_only", "ON")), false)),
        // SQLite reads a file with a log only if it can write next to it, unless nobody else writes.
        Err(ReadFailure::Sqlite(error)) if needs_log_files(&error) && !has_log(path) => {
            Ok((open_unchanging(path).await?, true))
        }
        Err(ReadFailure::Sqlite(error)) => Err(failed()(error)),
        Err(ReadFailure::Unusable(error)) => Err(error),
    }
}

/// Opens a file that nobody writes, for a user without permission to write next to it. Each connection is used
/// once, because SQLite does not notice changes of such a file.
pub(super) async fn open_unchanging(path: &Path) -> Result<SqlitePool> {
    let options = connect_options(path).disable_statement_logging().read_only(true).immutable(true);
    match check_readable(&options, path).await {
        Ok(()) => {}
        Err(ReadFailure::Sqlite(error)) => return Err(failed_to_read(path)(error)),
        Err(ReadFailure::Unusable(error)) => return Err(error),
    }
    let pool = super::pool(READERS).after_release(|_, _| Box::pin(async { Ok(false) }));
    Ok(pool.connect_lazy_with(options))
}

/// Why a file cannot be opened for reading.
enum ReadFailure {
    /// SQLite cannot open it.
    Sqlite(sqlx::Error),
    /// It is no store that this program can read.
    Unusable(Error),
}

async fn check_readable(options: &SqliteConnectOptions, path: &Path) -> std::result::Result<(), ReadFailure> {
    let mut connection = options.connect().await.map_err(ReadFailure::Sqlite)?;
    let state = file_state(&mut connection).await.map_err(ReadFailure::Sqlite)?;
    connection.close().await.map_err(ReadFailure::Sqlite)?;
    match state {
        FileState::Current => Ok(()),
        FileState::Newer(version) => Err(ReadFailure::Unusable(newer_version(path, version))),
        FileState::Older(version) => Err(ReadFailure::Unusable(older_version(path, version))),
        FileState::Empty | FileState::Unknown => Err(ReadFailure::Unusable(unknown_database(path))),
    }
}

/// Returns whether a write-ahead log holds rows that are not in the file yet.
pub(super) fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

/// Creates or migrates the tables while holding the lock, unless another process has done so in the meantime.
async fn make_current(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let failed = || failed(path, ACTION);
    let mut write = connection.begin_with(BEGIN_WRITE).await.map_err(failed())?;
    match file_state(&mut write).await.map_err(failed())? {
        FileState::Current => return Ok(()),
        FileState::Newer(version) => return Err(newer_version(path, version)),
        FileState::Unknown => return Err(unknown_database(path)),
        FileState::Empty => {
            schema::create(&mut write).await.map_err(failed())?;
            write.commit().await.map_err(failed())?;
        }
        FileState::Older(version) => {
            schema::migrate(&mut write, version).await.map_err(failed())?;
            write.commit().await.map_err(failed())?;
            match schema::shrink(connection).await {
                // The store works without it: the free pages are used for new items.
                Err(error) if is_busy(&error) || is_full(&error) => {}
                shrunk => shrunk.map_err(failed())?,
            }
        }
    }
    Ok(())
}

/// Switches the file to a write-ahead log, so that readers and the writer do not wait for each other.
async fn enable_write_ahead_log(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        let mode: sqlx::Result<String> =
            sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut *connection).await;
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(no_write_ahead_log(path, &mode)),
            // The switch needs a lock that SQLite's busy timeout does not wait for.
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(failed(path, ACTION)(error)),
        }
    }
}

/// Returns the error for a file that somebody writes, although it was opened as one that nobody writes.
pub(super) fn written_meanwhile(path: &Path) -> Error {
    let what = format!(
        "another program writes {} now, and this user cannot read its log: give this user write permission for \
         the directory, or start this command again when the other program has ended",
        path.display()
    );
    Error::Unusable { what, source: None }
}

fn newer_version(path: &Path, version: i64) -> Error {
    let what = format!(
        "{} was written by a newer version of github-metrics (its tables have version {version}, this program \
         supports {SCHEMA_VERSION}): upgrade github-metrics",
        path.display()
    );
    Error::Unusable { what, source: None }
}

fn older_version(path: &Path, version: i64) -> Error {
    let what = format!(
        "{} was written by an older version of github-metrics (its tables have version {version}, this program reads \
         {SCHEMA_VERSION}): run `github-metrics aggregate`, which migrates the file and computes the rollups again \
         from the lake",
        path.display()
    );
    Error::Unusable { what, source: None }
}

fn unknown_database(path: &Path) -> Error {
    let what = format!(
        "{} is a database of another program: choose another file with `--store sqlite:FILE`",
        path.display()
    );
    Error::Unusable { what, source: None }
}

fn no_write_ahead_log(path: &Path, mode: &str) -> Error {
    let what = format!(
        "SQLite cannot use a write-ahead log for {} (the journal mode stays {mode:?}): choose a file on a local \
         disk with `--store sqlite:FILE`",
        path.display()
    );
    Error::Unusable { what, source: None }
}
