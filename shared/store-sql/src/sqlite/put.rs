//! Guarded writes of many rows in one statement.

use std::collections::HashSet;

use gam_store::{PutOutcome, RollupKey, StoredRollup};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

/// Number of rows in one statement. Beyond some dozens, more rows save little time.
pub(super) const MAX_STATEMENT_ROWS: usize = 100;

/// A refused write changes no row, so the number of changed rows shows whether any was refused.
const GUARD: &str = " ON CONFLICT DO UPDATE SET
    logic_version = excluded.logic_version, identity = excluded.identity,
    generation = excluded.generation, body = excluded.body
    WHERE rollups.logic_version <= excluded.logic_version AND rollups.generation <= excluded.generation";

const SELECT_STORED: &str = "SELECT logic_version, generation FROM rollups
    WHERE org = ? AND subject_kind = ? AND subject = ? AND grain = ? AND start = ? AND month = ?";

type KeyedRollup = (RollupKey, StoredRollup);

/// Writes up to [`MAX_STATEMENT_ROWS`] rollups within the current transaction of the connection.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    org: &str,
    rollups: &[KeyedRollup],
) -> sqlx::Result<PutOutcome> {
    let mut outcome = PutOutcome::default();
    let mut keys = HashSet::with_capacity(rollups.len());
    if rollups.iter().all(|(key, _)| keys.insert(key)) {
        put_distinct(connection, org, rollups, &mut outcome).await?;
    } else {
        for rollup in rollups {
            put_distinct(connection, org, std::slice::from_ref(rollup), &mut outcome).await?;
        }
    }
    Ok(outcome)
}

/// Writes rollups with distinct keys, so that each stored row is either the one just written or the one that
/// refused it.
async fn put_distinct(
    connection: &mut SqliteConnection,
    org: &str,
    rollups: &[KeyedRollup],
    outcome: &mut PutOutcome,
) -> sqlx::Result<()> {
    if upsert(connection, org, rollups).await? == rollups.len() as u64 {
        return Ok(());
    }
    for (key, new) in rollups {
        let (version, generation) = stored_guard(connection, org, key).await?;
        outcome.record_if_refused(version, generation, new);
    }
    Ok(())
}

/// Writes the rollups that are not refused, and returns the number of rows written.
async fn upsert(connection: &mut SqliteConnection, org: &str, rollups: &[KeyedRollup]) -> sqlx::Result<u64> {
    let mut sql = "INSERT INTO rollups (org, subject_kind, subject, grain, start, month, logic_version, \
                   identity, generation, body) VALUES "
        .to_owned();
    sql.push_str(&vec!["(?,?,?,?,?,?,?,?,?,?)"; rollups.len()].join(","));
    sql.push_str(GUARD);
    // Only the statement of a full batch is used again, so only that is cached.
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(rollups.len() == MAX_STATEMENT_ROWS);
    for (key, new) in rollups {
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

/// Returns the logic version and the generation of a stored rollup.
async fn stored_guard(
    connection: &mut SqliteConnection,
    org: &str,
    key: &RollupKey,
) -> sqlx::Result<(u32, u64)> {
    sqlx::query_as(SELECT_STORED)
        .bind(org)
        .bind(key.subject.kind().as_str())
        .bind(key.subject.name())
        .bind(key.grain.as_str())
        .bind(key.start.to_string())
        .bind(key.month.to_string())
        .fetch_one(connection)
        .await
}

/// Converts a generation or a revision to a signed integer, as SQLite stores it. No real one is too great.
pub(super) fn to_sql(number: u64) -> sqlx::Result<i64> {
    i64::try_from(number).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}
