//! Creates the file, and checks whether an existing file is a store of this program.

use std::path::Path;
use std::time::Duration;

use gam_store::{Error, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::time::Instant;

use super::error::{failed, is_busy, no_directory};
use super::{BEGIN_WRITE, LOCK_TIMEOUT, connect_options};

/// Identifies the file as a store of this program: `gamS` in ASCII.
const APPLICATION_ID: i64 = 0x6761_6d53;

/// The version of the tables. A file with a greater version is not touched.
const SCHEMA_VERSION: i64 = 1;

/// Nearly all reads follow a primary key, so rows are stored in its order (`WITHOUT ROWID`).
const TABLES: &str = "
CREATE TABLE rollups (
    org           TEXT NOT NULL,
    subject_kind  TEXT NOT NULL,
    subject       TEXT NOT NULL,
    grain         TEXT NOT NULL,
    start         TEXT NOT NULL,
    month         TEXT NOT NULL,
    logic_version INTEGER NOT NULL,
    identity      TEXT NOT NULL,
    generation    INTEGER NOT NULL,
    body          TEXT NOT NULL,
    PRIMARY KEY (org, subject_kind, subject, grain, start, month)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollups_across ON rollups (org, subject_kind, grain, start);
CREATE TABLE markers (
    org           TEXT NOT NULL,
    month         TEXT NOT NULL,
    logic_version INTEGER NOT NULL,
    identity      TEXT NOT NULL,
    generation    INTEGER NOT NULL,
    floor         INTEGER NOT NULL,
    PRIMARY KEY (org, month)
) STRICT, WITHOUT ROWID;
CREATE TABLE names (
    org   TEXT NOT NULL,
    kind  TEXT NOT NULL,
    id    INTEGER NOT NULL,
    name  TEXT NOT NULL,
    as_of INTEGER NOT NULL,
    PRIMARY KEY (org, kind, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (
    org      TEXT NOT NULL,
    name     TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (org, name)
) STRICT, WITHOUT ROWID;
";

const ACTION: &str = "opening the store";

/// Creates the file and its tables if needed, and returns how to connect to it.
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
        // Another process may be creating the file, so check again while holding the lock.
        FileState::Empty | FileState::Unknown => create_tables(&mut connection, path).await?,
    }
    enable_write_ahead_log(&mut connection, path).await?;
    connection.close().await.map_err(failed())?;
    Ok(options)
}

/// What an existing file contains.
enum FileState {
    /// A store with the tables of this version.
    Current,
    /// A store with the tables of a newer version.
    Newer(i64),
    /// Nothing: the file was just created.
    Empty,
    /// A database of another program, or a store of an older version.
    Unknown,
}

async fn file_state(connection: &mut SqliteConnection) -> sqlx::Result<FileState> {
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await?;
    Ok(match (application, version, tables) {
        (APPLICATION_ID, SCHEMA_VERSION, _) => FileState::Current,
        (APPLICATION_ID, version, _) if version > SCHEMA_VERSION => FileState::Newer(version),
        (0, 0, 0) => FileState::Empty,
        _ => FileState::Unknown,
    })
}

/// Creates the tables while holding the lock, unless another process has created them in the meantime.
async fn create_tables(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let failed = || failed(path, ACTION);
    let mut write = connection.begin_with(BEGIN_WRITE).await.map_err(failed())?;
    match file_state(&mut write).await.map_err(failed())? {
        FileState::Current => Ok(()),
        FileState::Newer(version) => Err(newer_version(path, version)),
        FileState::Unknown => Err(unknown_database(path)),
        FileState::Empty => {
            let mark =
                format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};");
            sqlx::raw_sql(AssertSqlSafe(format!("{TABLES} {mark}")))
                .execute(&mut *write)
                .await
                .map_err(failed())?;
            write.commit().await.map_err(failed())
        }
    }
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

fn newer_version(path: &Path, version: i64) -> Error {
    let what = format!(
        "{} was written by a newer version of github-metrics (its tables have version {version}, this program \
         supports {SCHEMA_VERSION}): upgrade github-metrics",
        path.display()
    );
    Error::Unusable { what, source: None }
}

fn unknown_database(path: &Path) -> Error {
    let what = format!(
        "{} is a database of another program, or of a version of github-metrics that this one cannot read: \
         choose another file with `--store sqlite:FILE`",
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
