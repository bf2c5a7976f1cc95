//! Items in PostgreSQL: each statement takes the keys and bodies of many items as arrays.
//!
//! The text of a key is stored once for all items of a class (`item_classes`), and items name its number.

use std::collections::{BTreeSet, HashMap};

use gam_model::{Month, WeekOfMonth};
use gam_store::{Epoch, ItemClass, ItemKey, PutOutcome, StoredItem, SubjectKind};
use sqlx::postgres::{PgConnection, PgPool};

use super::{from_sql, invalid, to_sql};

/// Number of items in one statement.
const MAX_STATEMENT_ITEMS: usize = 5_000;

/// Number of bytes of bodies in one statement, except for the last item.
const MAX_STATEMENT_BYTES: usize = 8 << 20;

// `OFFSET 0` keeps a subquery as it is: one look into the index for each element. Before a new table was analyzed, the
// planner believes that an epoch has one class, and would compare each class of the epoch with each element.

const CLASS_IDS: &str = "SELECT position, stored.id
    FROM unnest($3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS wanted (class, kind, name, position)
    CROSS JOIN LATERAL (
        SELECT id FROM github_metrics.item_classes AS stored WHERE stored.org = $1 AND stored.epoch = $2
        AND stored.class = wanted.class AND stored.kind = wanted.kind AND stored.name = wanted.name OFFSET 0
    ) AS stored";

const INSERT_CLASSES: &str = "INSERT INTO github_metrics.item_classes (org, epoch, class, kind, name)
    SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::text[]) ON CONFLICT DO NOTHING";

// Both lock classes in the order of their numbers, so that nobody waits for another in a circle.

/// Keeps classes from being deleted until the end of the transaction. Returns those that exist.
const KEEP_CLASSES: &str =
    "SELECT id FROM github_metrics.item_classes WHERE id = ANY($1) ORDER BY id FOR KEY SHARE";

/// Waits for the writers of items of these classes, and keeps others from writing until the end of the transaction.
const LOCK_CLASSES: &str =
    "SELECT id FROM github_metrics.item_classes WHERE id = ANY($1) ORDER BY id FOR UPDATE";

/// A refused write changes no row, so the number of changed rows shows whether any was refused. The rows that refuse
/// are locked until the end of the transaction.
const PUT: &str = "INSERT INTO github_metrics.items AS old (class_id, month, week, generation, body)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::bigint[], $5::bytea[])
    ON CONFLICT (class_id, month, week) DO UPDATE SET generation = excluded.generation, body = excluded.body
    WHERE old.generation <= excluded.generation";

const GENERATIONS: &str = "SELECT position, generation
    FROM unnest($1::bigint[], $2::text[], $3::smallint[]) WITH ORDINALITY AS wanted (class_id, month, week, position)
    CROSS JOIN LATERAL (
        SELECT generation FROM github_metrics.items WHERE items.class_id = wanted.class_id
        AND items.month = wanted.month AND items.week = wanted.week OFFSET 0
    ) AS stored";

const RANGE: &str = "SELECT month, week, generation, body FROM github_metrics.items
    WHERE class_id = (
        SELECT id FROM github_metrics.item_classes
        WHERE org = $1 AND epoch = $2 AND class = $3 AND kind = $4 AND name = $5
    ) AND month BETWEEN $6 AND $7 ORDER BY month, week";

const GET: &str = "SELECT position, generation, body
    FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::smallint[])
        WITH ORDINALITY AS wanted (class, kind, name, month, week, position)
    CROSS JOIN LATERAL (
        SELECT id FROM github_metrics.item_classes AS stored WHERE stored.org = $1 AND stored.epoch = $2
        AND stored.class = wanted.class AND stored.kind = wanted.kind AND stored.name = wanted.name OFFSET 0
    ) AS stored
    CROSS JOIN LATERAL (
        SELECT generation, body FROM github_metrics.items WHERE items.class_id = stored.id
        AND items.month = wanted.month AND items.week = wanted.week OFFSET 0
    ) AS item";

const KEYS: &str = "SELECT class, kind, name, month, week FROM github_metrics.item_classes AS stored
    JOIN github_metrics.items ON items.class_id = stored.id WHERE stored.org = $1 AND stored.epoch = $2";

const DELETE: &str = "DELETE FROM github_metrics.items
    USING unnest($1::bigint[], $2::text[], $3::smallint[]) AS wanted (class_id, month, week)
    WHERE items.class_id = wanted.class_id AND items.month = wanted.month AND items.week = wanted.week";

const DELETE_EMPTY_CLASSES: &str = "DELETE FROM github_metrics.item_classes WHERE id = ANY($1)
    AND NOT EXISTS (SELECT 1 FROM github_metrics.items WHERE items.class_id = item_classes.id)";

type KeyedItem = (ItemKey, StoredItem);

/// Stored texts of classes, as arrays.
#[derive(Default)]
struct ClassColumns {
    classes: Vec<&'static str>,
    kinds: Vec<&'static str>,
    names: Vec<String>,
}

impl<'a> FromIterator<&'a ItemClass> for ClassColumns {
    fn from_iter<T: IntoIterator<Item = &'a ItemClass>>(classes: T) -> Self {
        let mut columns = ClassColumns::default();
        for class in classes {
            columns.classes.push(class.as_str());
            columns.kinds.push(class.kind().as_str());
            columns.names.push(class.name());
        }
        columns
    }
}

/// The numbers of classes, months and weeks of items, as arrays.
#[derive(Default)]
struct KeyColumns {
    class_ids: Vec<i64>,
    months: Vec<String>,
    weeks: Vec<i16>,
}

impl KeyColumns {
    fn push(&mut self, class_id: i64, key: &ItemKey) {
        self.class_ids.push(class_id);
        self.months.push(key.month.to_string());
        self.weeks.push(i16::from(key.week.number()));
    }
}

/// Writes items, each under its guard.
pub(super) async fn put(
    pool: &PgPool,
    org: &str,
    epoch: Epoch,
    items: &[KeyedItem],
) -> sqlx::Result<PutOutcome> {
    let ids = insert_classes(pool, org, epoch, items).await?;
    let mut transaction = pool.begin().await?;
    let class_ids: Vec<i64> = ids.values().copied().collect();
    let classes =
        sqlx::query_scalar::<_, i64>(KEEP_CLASSES).bind(&class_ids).fetch_all(&mut *transaction).await?;
    if classes.len() < class_ids.len() {
        // A class was deleted after its number was read. A repetition inserts it again.
        return Err(sqlx::Error::RowNotFound);
    }
    let outcome = put_distinct(&mut transaction, &ids, items).await?;
    transaction.commit().await?;
    Ok(outcome)
}

/// Splits items into those of one statement: of distinct keys, and of a bounded number of bytes.
pub(super) fn statements(items: &[KeyedItem]) -> Vec<&[KeyedItem]> {
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0);
    let mut keys = BTreeSet::new();
    for (n, (key, item)) in items.iter().enumerate() {
        let is_full = n - start == MAX_STATEMENT_ITEMS || bytes >= MAX_STATEMENT_BYTES;
        if is_full || keys.contains(key) {
            parts.push(&items[start..n]);
            (start, bytes) = (n, 0);
            keys.clear();
        }
        keys.insert(key);
        bytes += item.body.len();
    }
    if start < items.len() {
        parts.push(&items[start..]);
    }
    parts
}

async fn put_distinct(
    connection: &mut PgConnection,
    ids: &HashMap<&ItemClass, i64>,
    items: &[KeyedItem],
) -> sqlx::Result<PutOutcome> {
    // Writers that lock rows in one order do not wait for each other in a circle.
    let mut sorted: Vec<&KeyedItem> = items.iter().collect();
    sorted.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let mut keys = KeyColumns::default();
    let (mut generations, mut bodies) = (Vec::new(), Vec::new());
    for (key, item) in &sorted {
        keys.push(*ids.get(&key.class).ok_or(sqlx::Error::RowNotFound)?, key);
        generations.push(to_sql(item.generation)?);
        bodies.push(item.body.as_slice());
    }
    let put = sqlx::query(PUT).bind(&keys.class_ids).bind(&keys.months).bind(&keys.weeks);
    let written = put.bind(&generations).bind(&bodies).execute(&mut *connection).await?.rows_affected();
    let mut outcome = PutOutcome::default();
    if written == items.len() as u64 {
        return Ok(outcome);
    }
    let stored: Vec<(i64, i64)> = sqlx::query_as(GENERATIONS)
        .bind(&keys.class_ids)
        .bind(&keys.months)
        .bind(&keys.weeks)
        .fetch_all(connection)
        .await?;
    for (position, generation) in stored {
        outcome.record_if_refused(from_sql(generation)?, &at_position(&sorted, position)?.1);
    }
    Ok(outcome)
}

/// Returns the number of each class of the items, after giving one to those that have none.
async fn insert_classes<'a>(
    pool: &PgPool,
    org: &str,
    epoch: Epoch,
    items: &'a [KeyedItem],
) -> sqlx::Result<HashMap<&'a ItemClass, i64>> {
    let classes: BTreeSet<&ItemClass> = items.iter().map(|(key, _)| &key.class).collect();
    let mut ids = class_ids(pool, org, epoch, &classes).await?;
    let missing: BTreeSet<&ItemClass> =
        classes.into_iter().filter(|class| !ids.contains_key(*class)).collect();
    if !missing.is_empty() {
        let columns: ClassColumns = missing.iter().copied().collect();
        sqlx::query(INSERT_CLASSES)
            .bind(org)
            .bind(to_sql(epoch.0)?)
            .bind(&columns.classes)
            .bind(&columns.kinds)
            .bind(&columns.names)
            .execute(pool)
            .await?;
        // Another writer may have inserted some of them, so the numbers are read.
        ids.extend(class_ids(pool, org, epoch, &missing).await?);
    }
    Ok(ids)
}

async fn class_ids<'a>(
    pool: &PgPool,
    org: &str,
    epoch: Epoch,
    classes: &BTreeSet<&'a ItemClass>,
) -> sqlx::Result<HashMap<&'a ItemClass, i64>> {
    let wanted: Vec<&ItemClass> = classes.iter().copied().collect();
    let columns: ClassColumns = wanted.iter().copied().collect();
    let rows: Vec<(i64, i64)> = sqlx::query_as(CLASS_IDS)
        .bind(org)
        .bind(to_sql(epoch.0)?)
        .bind(&columns.classes)
        .bind(&columns.kinds)
        .bind(&columns.names)
        .fetch_all(pool)
        .await?;
    rows.into_iter().map(|(position, id)| Ok((*at_position(&wanted, position)?, id))).collect()
}

/// Returns the items of a class from one month to another, both included, ordered by key.
pub(super) async fn range(
    pool: &PgPool,
    org: &str,
    epoch: Epoch,
    class: &ItemClass,
    months: (Month, Month),
) -> sqlx::Result<Vec<KeyedItem>> {
    let rows: Vec<(String, i16, i64, Vec<u8>)> = sqlx::query_as(RANGE)
        .bind(org)
        .bind(to_sql(epoch.0)?)
        .bind(class.as_str())
        .bind(class.kind().as_str())
        .bind(class.name())
        .bind(months.0.to_string())
        .bind(months.1.to_string())
        .fetch_all(pool)
        .await?;
    let item = |(month, week, generation, body): (String, i16, i64, Vec<u8>)| {
        let (month, week) = parse_month_and_week(&month, week)?;
        let key = ItemKey { class: class.clone(), month, week };
        Ok((key, StoredItem { generation: from_sql(generation)?, body }))
    };
    rows.into_iter().map(item).collect()
}

fn parse_month_and_week(month: &str, week: i16) -> sqlx::Result<(Month, WeekOfMonth)> {
    let parsed = Month::parse(month).zip(u8::try_from(week).ok().and_then(WeekOfMonth::new));
    parsed.ok_or_else(|| invalid(format!("invalid month {month:?} {week} of an item")))
}

/// Returns the keys of all items of an epoch.
pub(super) async fn keys(pool: &PgPool, org: &str, epoch: Epoch) -> sqlx::Result<Vec<ItemKey>> {
    let rows: Vec<(String, String, String, String, i16)> =
        sqlx::query_as(KEYS).bind(org).bind(to_sql(epoch.0)?).fetch_all(pool).await?;
    let key = |(class, kind, name, month, week): (String, String, String, String, i16)| {
        let parsed = SubjectKind::parse(&kind).and_then(|kind| ItemClass::parse(&class, kind, &name));
        let class =
            parsed.ok_or_else(|| invalid(format!("invalid class {class} {kind} {name:?} of an item")))?;
        let (month, week) = parse_month_and_week(&month, week)?;
        Ok(ItemKey { class, month, week })
    };
    rows.into_iter().map(key).collect()
}

/// Returns those of the items that exist.
pub(super) async fn get(
    pool: &PgPool,
    org: &str,
    epoch: Epoch,
    keys: &[ItemKey],
) -> sqlx::Result<Vec<KeyedItem>> {
    let classes: ClassColumns = keys.iter().map(|key| &key.class).collect();
    let mut columns = KeyColumns::default();
    keys.iter().for_each(|key| columns.push(0, key));
    let rows: Vec<(i64, i64, Vec<u8>)> = sqlx::query_as(GET)
        .bind(org)
        .bind(to_sql(epoch.0)?)
        .bind(&classes.classes)
        .bind(&classes.kinds)
        .bind(&classes.names)
        .bind(&columns.months)
        .bind(&columns.weeks)
        .fetch_all(pool)
        .await?;
    let item = |(position, generation, body)| {
        Ok((at_position(keys, position)?.clone(), StoredItem { generation: from_sql(generation)?, body }))
    };
    rows.into_iter().map(item).collect()
}

/// Deletes items, and their classes if nothing is left in them.
pub(super) async fn delete(pool: &PgPool, org: &str, epoch: Epoch, keys: &[ItemKey]) -> sqlx::Result<()> {
    for part in keys.chunks(MAX_STATEMENT_ITEMS) {
        let classes: BTreeSet<&ItemClass> = part.iter().map(|key| &key.class).collect();
        let ids = class_ids(pool, org, epoch, &classes).await?;
        let mut columns = KeyColumns::default();
        for key in part {
            if let Some(id) = ids.get(&key.class) {
                columns.push(*id, key);
            }
        }
        let ids: Vec<i64> = ids.into_values().collect();
        let mut transaction = pool.begin().await?;
        // Whether a class is empty is known only when nobody is writing items into it.
        sqlx::query(LOCK_CLASSES).bind(&ids).execute(&mut *transaction).await?;
        let delete = sqlx::query(DELETE).bind(&columns.class_ids).bind(&columns.months).bind(&columns.weeks);
        delete.execute(&mut *transaction).await?;
        sqlx::query(DELETE_EMPTY_CLASSES).bind(ids).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// Returns the element at a position that `WITH ORDINALITY` counts from 1.
fn at_position<T>(elements: &[T], position: i64) -> sqlx::Result<&T> {
    let index = usize::try_from(position - 1).ok();
    index.and_then(|index| elements.get(index)).ok_or(sqlx::Error::RowNotFound)
}

#[cfg(test)]
mod tests {
    use gam_store::Subject;

    use super::*;

    #[test]
    fn statements_have_distinct_keys_and_a_bounded_length() {
        let key = |id| ItemKey::new(ItemClass::Days(Subject::Repo(id)), Month::parse("2024-05").unwrap());
        let item = |id, length| (key(id), StoredItem { generation: 1, body: vec![0; length] });
        let lengths = |items: &[KeyedItem]| statements(items).into_iter().map(<[_]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(&[]), [0; 0]);
        let many: Vec<_> = (0..12_000).map(|id| item(id, 1)).collect();
        assert_eq!(lengths(&many), [5_000, 5_000, 2_000]);
        let half = MAX_STATEMENT_BYTES / 2;
        assert_eq!(lengths(&[item(1, half), item(2, half - 1), item(3, half), item(4, 5)]), [3, 1]);
        assert_eq!(lengths(&[item(1, 3 * half), item(2, 1), item(3, 1)]), [1, 2]);
        assert_eq!(lengths(&[1, 2, 1, 1, 2, 3].map(|id| item(id, 1))), [2, 1, 3]);
    }
}
