//! The tables, their versions, and how tables of older versions become those of this one.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::BEGIN_WRITE;

/// Identifies the file as a store of this program: `gamS` in ASCII.
pub(super) const APPLICATION_ID: i64 = 0x6761_6d53;

/// The version of the tables. A file with a greater version is not touched.
pub(super) const SCHEMA_VERSION: i64 = 3;

/// Names and checkpoints. Nearly all reads follow a primary key, so rows are stored in its order.
const TABLES_OF_VERSION_1: &str = "
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

/// Items. There are several for each hundred events, so their keys are numbers: see [`item_id`](super::item_id).
const ITEMS: &str = "
CREATE TABLE month_items (
    id         INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    body       BLOB NOT NULL
) STRICT;
";

/// The other tables of items and markers.
const TABLES_OF_VERSION_2: &str = "
CREATE INDEX checkpoints_of_heads ON checkpoints (org) WHERE name = 'head';
CREATE TABLE item_classes (
    id    INTEGER PRIMARY KEY,
    org   TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    class TEXT NOT NULL,
    kind  TEXT NOT NULL,
    name  TEXT NOT NULL,
    UNIQUE (org, epoch, class, kind, name)
) STRICT;
CREATE TABLE markers (
    org        TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    month      TEXT NOT NULL,
    generation INTEGER NOT NULL,
    floor      INTEGER NOT NULL,
    PRIMARY KEY (org, epoch, month)
) STRICT, WITHOUT ROWID;
";

/// Records. Files that were written before there were records lack the table, whatever their version, and get it when
/// they are opened for writing. Older programs ignore it, so it needs no newer version. The index finds what has
/// expired.
const RECORD_TABLE: &str = "
CREATE TABLE IF NOT EXISTS records (
    org      TEXT NOT NULL,
    kind     TEXT NOT NULL,
    sort     TEXT NOT NULL,
    revision TEXT NOT NULL,
    expires  INTEGER,
    body     TEXT NOT NULL,
    PRIMARY KEY (org, kind, sort)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_by_expiry ON records (expires) WHERE expires IS NOT NULL;
";

/// Version 1 had rollups by grain, which can be folded again from the lake.
const DROP_TABLES_OF_VERSION_1: &str = "DROP TABLE rollups; DROP TABLE markers;";

/// The id of an item of version 2 was its class, then 17 bits of month and 3 bits of week. The new table has another
/// name, so that a program of version 2 that still runs fails instead of reading and writing ids of its own.
const MOVE_ITEMS_OF_VERSION_2: &str = "
INSERT INTO month_items (id, generation, body)
    SELECT (id & 0xfffff) >> 3 << 35 | (id >> 20 << 3) | (id & 7) AS new_id, generation, body FROM items
    ORDER BY new_id;
DROP TABLE items;
";

/// What an existing file contains.
pub(super) enum FileState {
    /// A store with the tables of this version.
    Current,
    /// A store with the tables of an older version.
    Older(i64),
    /// A store with the tables of a newer version.
    Newer(i64),
    /// Nothing: the file was just created.
    Empty,
    /// A database of another program.
    Unknown,
}

pub(super) async fn file_state(connection: &mut SqliteConnection) -> sqlx::Result<FileState> {
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await?;
    Ok(match (application, version, tables) {
        (APPLICATION_ID, SCHEMA_VERSION, _) => FileState::Current,
        (APPLICATION_ID, version, _) if version > SCHEMA_VERSION => FileState::Newer(version),
        (APPLICATION_ID, version, _) if version > 0 => FileState::Older(version),
        (0, 0, 0) => FileState::Empty,
        _ => FileState::Unknown,
    })
}

/// Creates the tables of this version in an empty file. Call it in a transaction.
pub(super) async fn create(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let sql = format!(
        "{TABLES_OF_VERSION_1} {TABLES_OF_VERSION_2} {ITEMS} {RECORD_TABLE}
         PRAGMA application_id = {APPLICATION_ID};"
    );
    execute_and_mark(connection, &sql).await
}

/// Turns the tables of an older version into those of this version. Call it in a transaction.
pub(super) async fn migrate(connection: &mut SqliteConnection, from: i64) -> sqlx::Result<()> {
    let sql = if from == 1 {
        format!("{DROP_TABLES_OF_VERSION_1} {TABLES_OF_VERSION_2} {ITEMS}")
    } else {
        format!("{ITEMS} {MOVE_ITEMS_OF_VERSION_2}")
    };
    execute_and_mark(connection, &sql).await
}

async fn execute_and_mark(connection: &mut SqliteConnection, sql: &str) -> sqlx::Result<()> {
    let sql = format!("{sql} PRAGMA user_version = {SCHEMA_VERSION};");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

/// Returns whether the file has the table of records.
pub(super) async fn has_record_table(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'records')";
    sqlx::query_scalar(sql).fetch_one(connection).await
}

/// Creates the table of records in a file that lacks it. Takes no lock if the file has the table.
pub(super) async fn create_record_table(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    if has_record_table(connection).await? {
        return Ok(());
    }
    let mut write = connection.begin_with(BEGIN_WRITE).await?;
    sqlx::raw_sql(RECORD_TABLE).execute(&mut *write).await?;
    write.commit().await
}

/// Gives the pages of dropped tables back to the disk. What is left is small, so this takes little time.
pub(super) async fn shrink(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    debug_assert!(!connection.is_in_transaction(), "VACUUM runs outside of transactions");
    sqlx::raw_sql("VACUUM").execute(connection).await?;
    Ok(())
}
