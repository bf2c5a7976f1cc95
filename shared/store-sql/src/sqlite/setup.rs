//! Making the file, and telling whether it is ours.

use std::path::Path;
use std::time::Duration;

use gam_store::{Error, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::time::Instant;

use super::failure::{failed, is_busy, no_directory};
use super::{BEGIN_WRITE, LOCK_WAIT, connect_options};

/// Marks the file as a store of this program: `gamS`.
const APPLICATION_ID: i64 = 0x6761_6d53;

/// The version of the tables. A file of a newer one is left alone.
const SCHEMA_VERSION: i64 = 1;

/// The primary keys are the order of every read, so the rows are kept in them.
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

const OPENING: &str = "opening the store";

/// Makes the file ready, and gives back how to connect to it.
pub(super) async fn prepare(path: &Path) -> Result<SqliteConnectOptions> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(|error| no_directory(path, error))?;
    }
    let options = connect_options(path).disable_statement_logging();
    let failed = || failed(path, OPENING);
    let mut connection = options.clone().create_if_missing(true).connect().await.map_err(failed())?;
    match standing(&mut connection).await.map_err(failed())? {
        Standing::Current => {}
        Standing::Newer(version) => return Err(newer(path, version)),
        // Another process may be at it too, so look again with the lock taken.
        Standing::Empty | Standing::Foreign => create(&mut connection, path).await?,
    }
    write_ahead(&mut connection, path).await?;
    connection.close().await.map_err(failed())?;
    Ok(options)
}

/// What the file is.
enum Standing {
    Current,
    Newer(i64),
    Empty,
    Foreign,
}

async fn standing(connection: &mut SqliteConnection) -> sqlx::Result<Standing> {
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await?;
    Ok(match (application, version, tables) {
        (APPLICATION_ID, SCHEMA_VERSION, _) => Standing::Current,
        (APPLICATION_ID, version, _) if version > SCHEMA_VERSION => Standing::Newer(version),
        (0, 0, 0) => Standing::Empty,
        _ => Standing::Foreign,
    })
}

async fn create(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let failed = || failed(path, OPENING);
    let mut write = connection.begin_with(BEGIN_WRITE).await.map_err(failed())?;
    match standing(&mut write).await.map_err(failed())? {
        Standing::Current => Ok(()),
        Standing::Newer(version) => Err(newer(path, version)),
        Standing::Foreign => Err(foreign(path)),
        Standing::Empty => {
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

/// Switches the file to a write-ahead log, under which readers and the writer do not wait for each other.
async fn write_ahead(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let mode: sqlx::Result<String> =
            sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut *connection).await;
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(no_write_ahead(path, &mode)),
            // SQLite does not wait by itself for the lock that the switch needs.
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(failed(path, OPENING)(error)),
        }
    }
}

fn newer(path: &Path, version: i64) -> Error {
    let what = format!(
        "{} was written by a newer github-metrics (its tables are of version {version}, this program knows \
         {SCHEMA_VERSION}): upgrade github-metrics",
        path.display()
    );
    Error::Unusable { what, source: None }
}

fn foreign(path: &Path) -> Error {
    let what = format!(
        "{} is a database of another program: choose another file with `--store sqlite:FILE`",
        path.display()
    );
    Error::Unusable { what, source: None }
}

fn no_write_ahead(path: &Path, mode: &str) -> Error {
    let what = format!(
        "{} lies where SQLite cannot keep a write-ahead log (it stays in mode {mode:?}): choose a file on a \
         local disk with `--store sqlite:FILE`",
        path.display()
    );
    Error::Unusable { what, source: None }
}
