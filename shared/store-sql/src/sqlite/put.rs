//! Guarded writes, many rows a statement.

use std::collections::HashSet;

use gam_store::{PutOutcome, RollupKey, StoredRollup};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

/// How many rows go into one statement: past some dozens more of them save little.
pub(super) const ROWS_A_STATEMENT: usize = 100;

/// One refused write changes no row, which the number of changed rows tells.
const GUARD: &str = " ON CONFLICT DO UPDATE SET
    logic_version = excluded.logic_version, identity = excluded.identity,
    generation = excluded.generation, body = excluded.body
    WHERE rollups.logic_version <= excluded.logic_version AND rollups.generation <= excluded.generation";

const STORED: &str = "SELECT logic_version, generation FROM rollups
    WHERE org = ? AND subject_kind = ? AND subject = ? AND grain = ? AND start = ? AND month = ?";

type Entry = (RollupKey, StoredRollup);

/// Writes up to [`ROWS_A_STATEMENT`] rollups within the transaction that the connection is in.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    org: &str,
    entries: &[Entry],
) -> sqlx::Result<PutOutcome> {
    let mut outcome = PutOutcome::default();
    let mut keys = HashSet::with_capacity(entries.len());
    if entries.iter().all(|(key, _)| keys.insert(key)) {
        put_distinct(connection, org, entries, &mut outcome).await?;
    } else {
        for entry in entries {
            put_distinct(connection, org, std::slice::from_ref(entry), &mut outcome).await?;
        }
    }
    Ok(outcome)
}

/// Writes rollups of which no two have one key: then each stored row is either the one just written
/// or the one that refused it.
async fn put_distinct(
    connection: &mut SqliteConnection,
    org: &str,
    entries: &[Entry],
    outcome: &mut PutOutcome,
) -> sqlx::Result<()> {
    if upsert(connection, org, entries).await? == entries.len() as u64 {
        return Ok(());
    }
    for (key, new) in entries {
        let (version, generation) = stored(connection, org, key).await?;
        outcome.note_refusal(version, generation, new);
    }
    Ok(())
}

/// The number of rows that were written.
async fn upsert(connection: &mut SqliteConnection, org: &str, entries: &[Entry]) -> sqlx::Result<u64> {
    let mut sql = "INSERT INTO rollups (org, subject_kind, subject, grain, start, month, logic_version, \
                   identity, generation, body) VALUES "
        .to_owned();
    sql.push_str(&vec!["(?,?,?,?,?,?,?,?,?,?)"; entries.len()].join(","));
    sql.push_str(GUARD);
    // Only the statement of a full batch comes again.
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(entries.len() == ROWS_A_STATEMENT);
    for (key, new) in entries {
        query = query
            .bind(org)
            .bind(key.subject.kind().as_str())
            .bind(key.subject.name())
            .bind(key.grain.as_str())
            .bind(key.start.to_string())
            .bind(key.month.to_string())
            .bind(new.logic.version)
            .bind(new.logic.identity.as_str())
            .bind(to_sql(new.generation)?)
            .bind(new.body.as_str());
    }
    Ok(query.execute(connection).await?.rows_affected())
}

async fn stored(connection: &mut SqliteConnection, org: &str, key: &RollupKey) -> sqlx::Result<(u32, u64)> {
    sqlx::query_as(STORED)
        .bind(org)
        .bind(key.subject.kind().as_str())
        .bind(key.subject.name())
        .bind(key.grain.as_str())
        .bind(key.start.to_string())
        .bind(key.month.to_string())
        .fetch_one(connection)
        .await
}

/// SQLite's integers are signed; no generation or revision comes near the end of them.
pub(super) fn to_sql(number: u64) -> sqlx::Result<i64> {
    i64::try_from(number).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}
