//! Guarded writes of many items.

use std::collections::{HashMap, HashSet};

use gam_store::{Epoch, ItemClass, ItemKey, PutOutcome, StoredItem, SubjectKind};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

use super::item_id::{bind, bind_epoch, item_id};

/// Number of items in one statement. Beyond some dozens, more items save little time.
pub(super) const MAX_STATEMENT_ITEMS: usize = 100;

/// A refused write changes no row, so the number of changed rows shows whether any was refused.
const GUARD: &str = " ON CONFLICT DO UPDATE SET generation = excluded.generation, body = excluded.body
    WHERE month_items.generation <= excluded.generation";

const CLASSES: &str = "SELECT id, class, kind, name FROM item_classes WHERE org = ?1 AND epoch = ?2";

const NEXT_CLASS: &str = "SELECT coalesce(max(id), 0) + 1 FROM item_classes";

type KeyedItem = (ItemKey, StoredItem);

/// Writes items within the current transaction of the connection, in the order of their ids: SQLite appends rows
/// faster than it inserts them.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    org: &str,
    epoch: Epoch,
    items: &[KeyedItem],
) -> sqlx::Result<PutOutcome> {
    let classes = class_ids(connection, org, epoch, items).await?;
    let id = |key: &ItemKey| item_id(classes[&key.class], key.month, key.week);
    let mut rows: Vec<_> = items.iter().map(|(key, item)| (id(key), item)).collect();
    // The sort is stable, so what is written twice is written in order.
    rows.sort_by_key(|(id, _)| *id);
    let mut outcome = PutOutcome::default();
    for rows in rows.chunks(MAX_STATEMENT_ITEMS) {
        if rows.is_sorted_by(|(a, _), (b, _)| a < b) {
            put_distinct(connection, rows, &mut outcome).await?;
        } else {
            for row in rows {
                put_distinct(connection, std::slice::from_ref(row), &mut outcome).await?;
            }
        }
    }
    Ok(outcome)
}

/// Writes items with distinct ids, so that each stored row is either the one just written or the one that
/// refused it.
async fn put_distinct(
    connection: &mut SqliteConnection,
    rows: &[(i64, &StoredItem)],
    outcome: &mut PutOutcome,
) -> sqlx::Result<()> {
    if upsert(connection, rows).await? == rows.len() as u64 {
        return Ok(());
    }
    let sql = format!("SELECT id, generation FROM month_items WHERE id IN ({})", list_sql(rows.len(), 1));
    let mut arguments = SqliteArguments::default();
    for (id, _) in rows {
        bind(&mut arguments, *id)?;
    }
    let stored: Vec<(i64, u64)> =
        sqlx::query_as_with(AssertSqlSafe(sql), arguments).persistent(false).fetch_all(connection).await?;
    let stored: HashMap<_, _> = stored.into_iter().collect();
    for (id, new) in rows {
        if let Some(generation) = stored.get(id) {
            outcome.record_if_refused(*generation, new);
        }
    }
    Ok(())
}

/// Returns the ids of the items' classes. A class without an id gets one.
async fn class_ids<'a>(
    connection: &mut SqliteConnection,
    org: &str,
    epoch: Epoch,
    items: &'a [KeyedItem],
) -> sqlx::Result<HashMap<&'a ItemClass, i64>> {
    let classes: HashSet<_> = items.iter().map(|(key, _)| &key.class).collect();
    let mut ids = HashMap::with_capacity(classes.len());
    if classes.len() > MAX_STATEMENT_ITEMS {
        let rows: Vec<(i64, String, String, String)> =
            sqlx::query_as_with(CLASSES, bind_epoch(org, epoch)?).fetch_all(&mut *connection).await?;
        for (id, class, kind, name) in rows {
            let class = SubjectKind::parse(&kind).and_then(|kind| ItemClass::parse(&class, kind, &name));
            if let Some(class) = class.as_ref().and_then(|class| classes.get(class)) {
                ids.insert(*class, id);
            }
        }
    } else {
        for &class in &classes {
            let sql = format!("{CLASSES} AND class = ?3 AND kind = ?4 AND name = ?5");
            let mut arguments = bind_epoch(org, epoch)?;
            bind_class(&mut arguments, class)?;
            let row: Option<(i64, String, String, String)> =
                sqlx::query_as_with(AssertSqlSafe(sql), arguments).fetch_optional(&mut *connection).await?;
            if let Some((id, ..)) = row {
                ids.insert(class, id);
            }
        }
    }
    let mut new: Vec<_> = classes.into_iter().filter(|class| !ids.contains_key(class)).collect();
    new.sort_unstable();
    if !new.is_empty() {
        let first: i64 = sqlx::query_scalar(NEXT_CLASS).fetch_one(&mut *connection).await?;
        ids.extend(new.iter().copied().zip(first..));
        for (part, first) in new.chunks(MAX_STATEMENT_ITEMS).zip((first..).step_by(MAX_STATEMENT_ITEMS)) {
            insert_classes(connection, org, epoch, part, first).await?;
        }
    }
    Ok(ids)
}

/// Adds classes with the ids from `first` on.
async fn insert_classes(
    connection: &mut SqliteConnection,
    org: &str,
    epoch: Epoch,
    classes: &[&ItemClass],
    first: i64,
) -> sqlx::Result<()> {
    // The driver numbers parameters without a number from 1, so all of them have one.
    let row = |n: usize| format!("({},?1,?2,{})", first + n as i64, list_sql(3, 3 * n + 3));
    let rows: Vec<_> = (0..classes.len()).map(row).collect();
    let sql =
        format!("INSERT INTO item_classes (id, org, epoch, class, kind, name) VALUES {}", rows.join(","));
    let mut arguments = bind_epoch(org, epoch)?;
    for class in classes {
        bind_class(&mut arguments, class)?;
    }
    sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(false).execute(connection).await?;
    Ok(())
}

fn bind_class(arguments: &mut SqliteArguments, class: &ItemClass) -> sqlx::Result<()> {
    bind(arguments, class.as_str().to_owned())?;
    bind(arguments, class.kind().as_str())?;
    bind(arguments, class.name())
}

/// Returns `count` parameters, the first with the number `first`.
fn list_sql(count: usize, first: usize) -> String {
    (first..first + count).map(|n| format!("?{n}")).collect::<Vec<_>>().join(",")
}

/// Writes the items that are not refused, and returns the number of rows written.
async fn upsert(connection: &mut SqliteConnection, rows: &[(i64, &StoredItem)]) -> sqlx::Result<u64> {
    // SQLite searches numbered parameters one after another, so these have no numbers.
    let values = vec!["(?,?,?)"; rows.len()].join(",");
    let sql = format!("INSERT INTO month_items (id, generation, body) VALUES {values}{GUARD}");
    let mut arguments = SqliteArguments::default();
    for (id, new) in rows {
        bind(&mut arguments, *id)?;
        bind(&mut arguments, to_sql(new.generation)?)?;
        bind(&mut arguments, new.body.clone())?;
    }
    // Only the statement of a full batch is used again, so only that is cached.
    let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
    let written = query.persistent(rows.len() == MAX_STATEMENT_ITEMS).execute(connection).await?;
    Ok(written.rows_affected())
}

/// Converts a generation, an epoch or a revision to a signed integer, as SQLite stores it. No real one is too
/// great.
pub(super) fn to_sql(number: u64) -> sqlx::Result<i64> {
    i64::try_from(number).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}
