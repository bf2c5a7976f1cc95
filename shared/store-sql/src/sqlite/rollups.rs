//! Items and markers in SQLite.

use async_trait::async_trait;
use gam_model::Month;
use gam_store::keys::org_key;
use gam_store::{
    AdvanceOutcome, ChangeToken, Epoch, FoldScope, ItemClass, ItemKey, Marker, PutOutcome, Result,
    RollupStore, StoredItem, SubjectKind,
};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::SqliteStore;
use super::error::{damaged, failed};
use super::item_id::{MONTH_SHIFT, WEEK_BITS, bind_keys, month_number, parse_item_id, wanted_sql};
use super::put::{MAX_STATEMENT_ITEMS, put, to_sql};

/// Number of bytes of bodies in one transaction, except for the last item. Between transactions other writers get
/// the lock. A month of a large organization fits, so it costs one commit.
const MAX_TRANSACTION_BYTES: usize = 16 * 1024 * 1024;

/// Number of items that are deleted in one transaction.
const MAX_TRANSACTION_DELETES: usize = 100 * MAX_STATEMENT_ITEMS;

const MARKER: &str = "SELECT month, generation, floor FROM markers WHERE org = ? AND epoch = ? AND month = ?";

const MARKERS: &str =
    "SELECT month, generation, floor FROM markers WHERE org = ? AND epoch = ? ORDER BY month";

const PUT_MARKER: &str =
    "INSERT OR REPLACE INTO markers (org, epoch, month, generation, floor) VALUES (?, ?, ?, ?, ?)";

const DELETE_MARKER: &str = "DELETE FROM markers WHERE org = ? AND epoch = ? AND month = ?";

type MarkerRow = (String, u64, u64);

/// A table of the numbers of the months from `?1` to `?2` that have items, of whatever organization. Each is found by
/// one search, so months without items cost nothing.
fn months_sql() -> String {
    let next = |from: &str| {
        format!(
            "(SELECT id >> {MONTH_SHIFT} FROM month_items WHERE id >= ({from}) << {MONTH_SHIFT} ORDER BY id LIMIT 1)"
        )
    };
    format!(
        "WITH RECURSIVE months (number) AS (
             SELECT {} UNION ALL SELECT {} FROM months WHERE number < ?2
         )",
        next("?1"),
        next("number + 1"),
    )
}

/// Returns the condition that an item belongs to a month of [`months_sql`] and to a class.
fn of_month_and_class_sql(class: &str) -> String {
    let first = format!("((months.number << {MONTH_SHIFT}) | ({class}.id << {WEEK_BITS}))");
    format!("items.id BETWEEN {first} AND {first} + {}", (1 << WEEK_BITS) - 1)
}

/// Returns the query of a range of a class.
fn range_sql() -> String {
    format!(
        "{} SELECT items.id, generation, body
         FROM item_classes AS class CROSS JOIN months CROSS JOIN month_items AS items ON {}
         WHERE org = ?3 AND epoch = ?4 AND class = ?5 AND kind = ?6 AND name = ?7 AND months.number <= ?2",
        months_sql(),
        of_month_and_class_sql("class"),
    )
}

/// Returns the query of all keys of an epoch.
fn item_keys_sql() -> String {
    format!(
        "{} SELECT class, kind, name, items.id
         FROM item_classes AS class CROSS JOIN months CROSS JOIN month_items AS items ON {}
         WHERE org = ?3 AND epoch = ?4",
        months_sql(),
        of_month_and_class_sql("class"),
    )
}

fn get_sql(count: usize) -> String {
    wanted_sql(count)
        + " SELECT position, generation, body FROM wanted CROSS JOIN month_items AS items ON items.id = wanted.id"
}

fn delete_items_sql(count: usize) -> String {
    wanted_sql(count) + " DELETE FROM month_items WHERE id IN (SELECT id FROM wanted)"
}

/// Returns the statement that deletes the classes of an epoch without markers that have no items any more.
fn delete_classes_sql() -> String {
    format!(
        "DELETE FROM item_classes WHERE org = ?3 AND epoch = ?4
         AND NOT EXISTS (SELECT 1 FROM markers WHERE org = ?3 AND epoch = ?4)
         AND NOT EXISTS ({} SELECT 1 FROM months CROSS JOIN month_items AS items ON {})",
        months_sql(),
        of_month_and_class_sql("item_classes"),
    )
}

/// Splits items so that each part but the last item has at most [`MAX_TRANSACTION_BYTES`] of bodies.
fn transactions(items: &[(ItemKey, StoredItem)]) -> impl Iterator<Item = &[(ItemKey, StoredItem)]> {
    let mut bytes = 0;
    items.chunk_by(move |(_, item), _| {
        bytes += item.body.len();
        let continues = bytes < MAX_TRANSACTION_BYTES;
        if !continues {
            bytes = 0;
        }
        continues
    })
}

#[async_trait]
impl RollupStore for SqliteStore {
    fn change_token(&self) -> Option<ChangeToken> {
        self.present_content()
    }

    async fn put(&self, org: &str, epoch: Epoch, items: &[(ItemKey, StoredItem)]) -> Result<PutOutcome> {
        const ACTION: &str = "writing rollups";
        let (org, mut outcome) = (org_key(org), PutOutcome::default());
        for transaction in transactions(items) {
            let mut write = self.begin(ACTION).await?;
            let written = put(&mut write, &org, epoch, transaction).await;
            outcome.merge(written.map_err(failed(&self.path, ACTION))?);
            write.commit().await.map_err(failed(&self.path, ACTION))?;
        }
        Ok(outcome)
    }

    async fn range(
        &self,
        org: &str,
        epoch: Epoch,
        class: &ItemClass,
        first: Month,
        last: Month,
    ) -> Result<Vec<(ItemKey, StoredItem)>> {
        const ACTION: &str = "reading rollups";
        let rows: Vec<(i64, u64, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(range_sql()))
            .bind(month_number(first))
            .bind(month_number(last))
            .bind(org_key(org))
            .bind(to_sql(epoch.0).map_err(failed(&self.path, ACTION))?)
            .bind(class.as_str())
            .bind(class.kind().as_str())
            .bind(class.name())
            .fetch_all(self.readers()?)
            .await
            .map_err(failed(&self.path, ACTION))?;
        let item = |(id, generation, body)| {
            let (month, week) = parse_item_id(id)
                .ok_or_else(|| damaged(&self.path, &format!("invalid id {id} of an item")))?;
            Ok((ItemKey { class: class.clone(), month, week }, StoredItem { generation, body }))
        };
        // The query returns months and weeks in order, but SQL does not promise it.
        let mut items: Vec<_> = rows.into_iter().map(item).collect::<Result<_>>()?;
        items.sort_by_key(|(key, _)| (key.month, key.week));
        Ok(items)
    }

    async fn get(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<Vec<(ItemKey, StoredItem)>> {
        let failed = || failed(&self.path, "reading rollups");
        let (org, mut items) = (org_key(org), Vec::with_capacity(keys.len()));
        for part in keys.chunks(MAX_STATEMENT_ITEMS) {
            let arguments = bind_keys(&org, epoch, part.iter()).map_err(failed())?;
            let rows: Vec<(u32, u64, Vec<u8>)> =
                sqlx::query_as_with(AssertSqlSafe(get_sql(part.len())), arguments)
                    .persistent(part.len() == MAX_STATEMENT_ITEMS)
                    .fetch_all(self.readers()?)
                    .await
                    .map_err(failed())?;
            items.extend(rows.into_iter().map(|(position, generation, body)| {
                (part[position as usize].clone(), StoredItem { generation, body })
            }));
        }
        Ok(items)
    }

    async fn item_keys(&self, org: &str, epoch: Epoch) -> Result<Vec<ItemKey>> {
        const ACTION: &str = "listing rollups";
        let rows: Vec<(String, String, String, i64)> = sqlx::query_as(AssertSqlSafe(item_keys_sql()))
            .bind(0)
            .bind(i64::MAX >> MONTH_SHIFT)
            .bind(org_key(org))
            .bind(to_sql(epoch.0).map_err(failed(&self.path, ACTION))?)
            .fetch_all(self.readers()?)
            .await
            .map_err(failed(&self.path, ACTION))?;
        let key = |(class, kind, name, id): (String, String, String, i64)| {
            let parsed = SubjectKind::parse(&kind).and_then(|kind| ItemClass::parse(&class, kind, &name));
            let (class, (month, week)) = parsed.zip(parse_item_id(id)).ok_or_else(|| {
                damaged(&self.path, &format!("invalid key {class} {kind} {name:?} {id} of an item"))
            })?;
            Ok(ItemKey { class, month, week })
        };
        rows.into_iter().map(key).collect()
    }

    async fn delete(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<()> {
        const ACTION: &str = "deleting rollups";
        let org = org_key(org);
        for transaction in keys.chunks(MAX_TRANSACTION_DELETES) {
            let mut write = self.begin(ACTION).await?;
            for part in transaction.chunks(MAX_STATEMENT_ITEMS) {
                delete(&mut write, &org, epoch, part).await.map_err(failed(&self.path, ACTION))?;
            }
            write.commit().await.map_err(failed(&self.path, ACTION))?;
        }
        Ok(())
    }

    async fn marker(&self, org: &str, epoch: Epoch, month: Month) -> Result<Option<Marker>> {
        const ACTION: &str = "reading a marker";
        let row: Option<MarkerRow> = sqlx::query_as(MARKER)
            .bind(org_key(org))
            .bind(to_sql(epoch.0).map_err(failed(&self.path, ACTION))?)
            .bind(month.to_string())
            .fetch_optional(self.readers()?)
            .await
            .map_err(failed(&self.path, ACTION))?;
        row.map(|row| self.parse_marker(row)).transpose()
    }

    async fn markers(&self, org: &str, epoch: Epoch) -> Result<Vec<Marker>> {
        const ACTION: &str = "reading markers";
        let rows: Vec<MarkerRow> = sqlx::query_as(MARKERS)
            .bind(org_key(org))
            .bind(to_sql(epoch.0).map_err(failed(&self.path, ACTION))?)
            .fetch_all(self.readers()?)
            .await
            .map_err(failed(&self.path, ACTION))?;
        rows.into_iter().map(|row| self.parse_marker(row)).collect()
    }

    async fn advance(
        &self,
        org: &str,
        epoch: Epoch,
        month: Month,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome> {
        let failed = || failed(&self.path, "advancing a marker");
        let (org, epoch) = (org_key(org), to_sql(epoch.0).map_err(failed())?);
        let mut write = self.begin("advancing a marker").await?;
        let row: Option<MarkerRow> = sqlx::query_as(MARKER)
            .bind(&org)
            .bind(epoch)
            .bind(month.to_string())
            .fetch_optional(&mut *write)
            .await
            .map_err(failed())?;
        let stored = row.map(|row| self.parse_marker(row)).transpose()?;
        let Some(marker) = Marker::advanced(stored.as_ref(), month, generation, scope) else {
            return Ok(AdvanceOutcome::Refused);
        };
        sqlx::query(PUT_MARKER)
            .bind(&org)
            .bind(epoch)
            .bind(marker.month.to_string())
            .bind(to_sql(marker.generation).map_err(failed())?)
            .bind(to_sql(marker.floor).map_err(failed())?)
            .execute(&mut *write)
            .await
            .map_err(failed())?;
        write.commit().await.map_err(failed())?;
        Ok(AdvanceOutcome::Advanced)
    }

    async fn delete_markers(&self, org: &str, epoch: Epoch, months: &[Month]) -> Result<()> {
        let failed = || failed(&self.path, "deleting markers");
        let (org, epoch) = (org_key(org), to_sql(epoch.0).map_err(failed())?);
        let mut write = self.begin("deleting markers").await?;
        for month in months {
            let query = sqlx::query(DELETE_MARKER).bind(&org).bind(epoch).bind(month.to_string());
            query.execute(&mut *write).await.map_err(failed())?;
        }
        let delete_classes = sqlx::query(AssertSqlSafe(delete_classes_sql()))
            .bind(0)
            .bind(i64::MAX >> MONTH_SHIFT)
            .bind(&org)
            .bind(epoch);
        delete_classes.execute(&mut *write).await.map_err(failed())?;
        write.commit().await.map_err(failed())
    }
}

impl SqliteStore {
    fn parse_marker(&self, (month, generation, floor): MarkerRow) -> Result<Marker> {
        let month = Month::parse(&month)
            .ok_or_else(|| damaged(&self.path, &format!("invalid month {month:?} of a marker")))?;
        Ok(Marker { month, generation, floor })
    }
}

/// Deletes up to [`MAX_STATEMENT_ITEMS`] items within the current transaction of the connection.
async fn delete(
    connection: &mut SqliteConnection,
    org: &str,
    epoch: Epoch,
    keys: &[ItemKey],
) -> sqlx::Result<()> {
    let arguments = bind_keys(org, epoch, keys.iter())?;
    let query = sqlx::query_with(AssertSqlSafe(delete_items_sql(keys.len())), arguments);
    query.persistent(keys.len() == MAX_STATEMENT_ITEMS).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::names::{NAMES, ORGS};
    use super::*;

    /// Returns the plan of a query, without the parts of subqueries that repeat.
    async fn query_plan(store: &SqliteStore, sql: &str) -> Vec<String> {
        let rows: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .fetch_all(&store.readers)
                .await
                .unwrap();
        rows.into_iter().map(|row| row.3).collect()
    }

    #[tokio::test]
    async fn reads_use_an_index_and_do_not_sort() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store.sqlite")).await.unwrap();
        const CLASS: &str = "USING COVERING INDEX sqlite_autoindex_item_classes_1 \
                             (org=? AND epoch=? AND class=? AND kind=? AND name=?)";
        let (class, item_class) = (format!("SEARCH class {CLASS}"), format!("SEARCH item_classes {CLASS}"));
        const RANGE: &str = "SEARCH items USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
        for (sql, expected) in [
            (MARKERS.to_owned(), vec!["SEARCH markers USING PRIMARY KEY (org=? AND epoch=?)"]),
            (NAMES.to_owned(), vec!["SEARCH names USING PRIMARY KEY (org=? AND kind=?)"]),
        ] {
            assert_eq!(query_plan(&store, &sql).await, expected);
        }
        for sql in [
            range_sql(),
            item_keys_sql(),
            get_sql(2),
            delete_items_sql(2),
            delete_classes_sql(),
            ORGS.to_owned(),
        ] {
            let plan = query_plan(&store, &sql).await;
            let scans = |table: &str| plan.iter().any(|step| step.starts_with(&format!("SCAN {table}")));
            assert!(!scans("items") && !scans("item_classes") && !scans("names"), "{plan:?}");
        }
        let plan = query_plan(&store, &range_sql()).await;
        assert!(plan.contains(&class) && plan.iter().any(|step| step == RANGE), "{plan:?}");
        assert!(!plan.iter().any(|step| step.contains("ORDER BY")), "{plan:?}");
        let plan = query_plan(&store, &get_sql(2)).await;
        assert!(plan.contains(&item_class), "{plan:?}");
        assert!(
            plan.iter().any(|step| step == "SEARCH items USING INTEGER PRIMARY KEY (rowid=?)"),
            "{plan:?}"
        );
        store.close().await;
    }

    #[test]
    fn transactions_are_bounded_in_bytes() {
        let key = ItemKey::new(ItemClass::Days(gam_store::Subject::Org), Month::parse("2024-05").unwrap());
        let items = |bytes: &[usize]| {
            let item = |length: &usize| StoredItem { generation: 1, body: vec![0; *length] };
            bytes.iter().map(|length| (key.clone(), item(length))).collect::<Vec<_>>()
        };
        let lengths = |bytes: &[usize]| transactions(&items(bytes)).map(<[_]>::len).collect::<Vec<_>>();
        let half = MAX_TRANSACTION_BYTES / 2;
        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&[1; 20_000]), [20_000]);
        assert_eq!(lengths(&[half, half - 1, half, 5, 5]), [3, 2]);
        assert_eq!(lengths(&[3 * half, 1, 3 * half]), [1, 2]);
    }
}
