//! Guarded writes of many items in one statement.

use std::collections::HashSet;

use gam_store::{Epoch, ItemKey, PutOutcome, StoredItem};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::item_id::{
    EPOCH_PARAMETERS, KEY_PARAMETERS, bind, bind_epoch, bind_key, bind_keys, item_id_sql, wanted_sql,
};

/// Number of items in one statement. Beyond some dozens, more items save little time.
pub(super) const MAX_STATEMENT_ITEMS: usize = 100;

/// A refused write changes no row, so the number of changed rows shows whether any was refused.
const GUARD: &str = " ON CONFLICT DO UPDATE SET generation = excluded.generation, body = excluded.body
    WHERE items.generation <= excluded.generation";

type KeyedItem = (ItemKey, StoredItem);

/// Writes up to [`MAX_STATEMENT_ITEMS`] items within the current transaction of the connection.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    org: &str,
    epoch: Epoch,
    items: &[KeyedItem],
) -> sqlx::Result<PutOutcome> {
    let mut outcome = PutOutcome::default();
    insert_classes(connection, org, epoch, items).await?;
    let mut keys = HashSet::with_capacity(items.len());
    if items.iter().all(|(key, _)| keys.insert(key)) {
        put_distinct(connection, org, epoch, items, &mut outcome).await?;
    } else {
        for item in items {
            put_distinct(connection, org, epoch, std::slice::from_ref(item), &mut outcome).await?;
        }
    }
    Ok(outcome)
}

/// Writes items with distinct keys, so that each stored row is either the one just written or the one that
/// refused it.
async fn put_distinct(
    connection: &mut SqliteConnection,
    org: &str,
    epoch: Epoch,
    items: &[KeyedItem],
    outcome: &mut PutOutcome,
) -> sqlx::Result<()> {
    if upsert(connection, org, epoch, items).await? == items.len() as u64 {
        return Ok(());
    }
    let sql = wanted_sql(items.len())
        + " SELECT position, generation FROM wanted CROSS JOIN items ON items.id = wanted.id";
    let keys = bind_keys(org, epoch, items.iter().map(|(key, _)| key))?;
    let stored: Vec<(u32, u64)> =
        sqlx::query_as_with(AssertSqlSafe(sql), keys).persistent(false).fetch_all(connection).await?;
    for (position, generation) in stored {
        outcome.record_if_refused(generation, &items[position as usize].1);
    }
    Ok(())
}

/// Gives the classes of the items a number if they have none.
async fn insert_classes(
    connection: &mut SqliteConnection,
    org: &str,
    epoch: Epoch,
    items: &[KeyedItem],
) -> sqlx::Result<()> {
    let classes: HashSet<_> = items.iter().map(|(key, _)| &key.class).collect();
    let mut sql = "INSERT INTO item_classes (org, epoch, class, kind, name) VALUES ".to_owned();
    // The driver numbers parameters without a number from 1, so all of them have one.
    let row = |n: usize| format!("(?1,?2,?{},?{},?{})", 3 * n + 3, 3 * n + 4, 3 * n + 5);
    sql.push_str(&(0..classes.len()).map(row).collect::<Vec<_>>().join(","));
    sql.push_str(" ON CONFLICT DO NOTHING");
    let mut arguments = bind_epoch(org, epoch)?;
    for class in &classes {
        bind(&mut arguments, class.as_str().to_owned())?;
        bind(&mut arguments, class.kind().as_str())?;
        bind(&mut arguments, class.name())?;
    }
    let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
    query.persistent(classes.len() == MAX_STATEMENT_ITEMS).execute(connection).await?;
    Ok(())
}

/// Writes the items that are not refused, and returns the number of rows written.
async fn upsert(
    connection: &mut SqliteConnection,
    org: &str,
    epoch: Epoch,
    items: &[KeyedItem],
) -> sqlx::Result<u64> {
    let mut sql = "INSERT INTO items (id, generation, body) VALUES ".to_owned();
    let row = |n: usize| {
        let key = EPOCH_PARAMETERS + 1 + n * (KEY_PARAMETERS + 2);
        let generation = key + KEY_PARAMETERS;
        format!("({},?{generation},?{})", item_id_sql(key), generation + 1)
    };
    sql.push_str(&(0..items.len()).map(row).collect::<Vec<_>>().join(","));
    sql.push_str(GUARD);
    let mut arguments = bind_epoch(org, epoch)?;
    for (key, new) in items {
        bind_key(&mut arguments, key)?;
        bind(&mut arguments, to_sql(new.generation)?)?;
        bind(&mut arguments, new.body.clone())?;
    }
    // Only the statement of a full batch is used again, so only that is cached.
    let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
    let written = query.persistent(items.len() == MAX_STATEMENT_ITEMS).execute(connection).await?;
    Ok(written.rows_affected())
}

/// Converts a generation, an epoch or a revision to a signed integer, as SQLite stores it. No real one is too
/// great.
pub(super) fn to_sql(number: u64) -> sqlx::Result<i64> {
    i64::try_from(number).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}
