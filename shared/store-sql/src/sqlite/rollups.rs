//! Rollups, markers and names in SQLite.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate};
use gam_model::{Grain, Month};
use gam_store::keys::org_key;
use gam_store::{
    AdvanceOutcome, FoldScope, Logic, Marker, NameEntry, NameKind, NameStore, PutOutcome, Result, RollupKey,
    RollupStore, StoredRollup, Subject, SubjectKind,
};
use sqlx::sqlite::SqliteConnection;

use super::SqliteStore;
use super::error::{damaged, failed};
use super::put::{MAX_STATEMENT_ROWS, put, to_sql};

/// Number of rows in one transaction. Between transactions other writers get the lock.
const MAX_TRANSACTION_ROWS: usize = 50 * MAX_STATEMENT_ROWS;

const RANGE: &str = "SELECT subject, start, month, logic_version, identity, generation, body FROM rollups
    WHERE org = ? AND subject_kind = ? AND subject = ? AND grain = ? AND start >= ? AND start < ?
    ORDER BY start, month";

const RANGE_OF_KIND: &str =
    "SELECT subject, start, month, logic_version, identity, generation, body FROM rollups
    WHERE org = ? AND subject_kind = ? AND grain = ? AND start >= ? AND start < ?";

const MARKER: &str =
    "SELECT month, logic_version, identity, generation, floor FROM markers WHERE org = ? AND month = ?";

const MARKERS: &str =
    "SELECT month, logic_version, identity, generation, floor FROM markers WHERE org = ? ORDER BY month";

const PUT_MARKER: &str = "INSERT OR REPLACE INTO markers
    (org, month, logic_version, identity, generation, floor) VALUES (?, ?, ?, ?, ?, ?)";

const PUT_NAME: &str = "INSERT INTO names (org, kind, id, name, as_of) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET name = excluded.name, as_of = excluded.as_of
    WHERE (excluded.as_of, excluded.name) > (names.as_of, names.name)";

const NAMES: &str = "SELECT id, name, as_of FROM names WHERE org = ? AND kind = ? ORDER BY id";

const ORGS: &str = "SELECT coalesce(display.name, orgs.org)
    FROM (SELECT org FROM names UNION SELECT org FROM markers) AS orgs
    LEFT JOIN names AS display ON display.org = orgs.org AND display.kind = ? AND display.id = 0
    ORDER BY orgs.org";

const ORG: &str = "SELECT coalesce((SELECT name FROM names WHERE org = ?1 AND kind = ?2 AND id = 0), ?1)
    WHERE EXISTS (SELECT 1 FROM names WHERE org = ?1) OR EXISTS (SELECT 1 FROM markers WHERE org = ?1)";

type RollupRow = (String, String, String, u32, String, u64, String);
type MarkerRow = (String, u32, String, u64, u64);

#[async_trait]
impl RollupStore for SqliteStore {
    async fn put(&self, org: &str, rollups: &[(RollupKey, StoredRollup)]) -> Result<PutOutcome> {
        const ACTION: &str = "writing rollups";
        let (org, mut outcome) = (org_key(org), PutOutcome::default());
        for batch in rollups.chunks(MAX_TRANSACTION_ROWS) {
            let mut write = self.begin(ACTION).await?;
            for rows in batch.chunks(MAX_STATEMENT_ROWS) {
                outcome.merge(put(&mut write, &org, rows).await.map_err(failed(&self.path, ACTION))?);
            }
            write.commit().await.map_err(failed(&self.path, ACTION))?;
        }
        Ok(outcome)
    }

    async fn range(
        &self,
        org: &str,
        subject: &Subject,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(RollupKey, StoredRollup)>> {
        let rows: Vec<RollupRow> = sqlx::query_as(RANGE)
            .bind(org_key(org))
            .bind(subject.kind().as_str())
            .bind(subject.name())
            .bind(grain.as_str())
            .bind(day_bound(from))
            .bind(day_bound(to))
            .fetch_all(self.readers()?)
            .await
            .map_err(failed(&self.path, "reading rollups"))?;
        rows.into_iter().map(|row| self.parse_rollup(subject.kind(), grain, row)).collect()
    }

    async fn range_of_kind(
        &self,
        org: &str,
        kind: SubjectKind,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(RollupKey, StoredRollup)>> {
        let rows: Vec<RollupRow> = sqlx::query_as(RANGE_OF_KIND)
            .bind(org_key(org))
            .bind(kind.as_str())
            .bind(grain.as_str())
            .bind(day_bound(from))
            .bind(day_bound(to))
            .fetch_all(self.readers()?)
            .await
            .map_err(failed(&self.path, "reading rollups"))?;
        rows.into_iter().map(|row| self.parse_rollup(kind, grain, row)).collect()
    }

    async fn marker(&self, org: &str, month: Month) -> Result<Option<Marker>> {
        let row: Option<MarkerRow> = sqlx::query_as(MARKER)
            .bind(org_key(org))
            .bind(month.to_string())
            .fetch_optional(self.readers()?)
            .await
            .map_err(failed(&self.path, "reading a marker"))?;
        row.map(|row| self.parse_marker(row)).transpose()
    }

    async fn markers(&self, org: &str) -> Result<Vec<Marker>> {
        let rows: Vec<MarkerRow> = sqlx::query_as(MARKERS)
            .bind(org_key(org))
            .fetch_all(self.readers()?)
            .await
            .map_err(failed(&self.path, "reading markers"))?;
        rows.into_iter().map(|row| self.parse_marker(row)).collect()
    }

    async fn advance(
        &self,
        org: &str,
        month: Month,
        logic: &Logic,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome> {
        const ACTION: &str = "advancing a marker";
        let org = org_key(org);
        let mut write = self.begin(ACTION).await?;
        let row: Option<MarkerRow> = sqlx::query_as(MARKER)
            .bind(&org)
            .bind(month.to_string())
            .fetch_optional(&mut *write)
            .await
            .map_err(failed(&self.path, ACTION))?;
        let stored = row.map(|row| self.parse_marker(row)).transpose()?;
        let Some(marker) = Marker::advanced(stored.as_ref(), month, logic, generation, scope) else {
            return Ok(AdvanceOutcome::Refused);
        };
        put_marker(&mut write, &org, &marker).await.map_err(failed(&self.path, ACTION))?;
        write.commit().await.map_err(failed(&self.path, ACTION))?;
        Ok(AdvanceOutcome::Advanced)
    }
}

#[async_trait]
impl NameStore for SqliteStore {
    async fn put_names(&self, org: &str, entries: &[NameEntry]) -> Result<()> {
        const ACTION: &str = "writing names";
        if entries.is_empty() {
            return Ok(());
        }
        let org = org_key(org);
        let mut write = self.begin(ACTION).await?;
        for entry in entries {
            sqlx::query(PUT_NAME)
                .bind(&org)
                .bind(entry.kind.as_str())
                .bind(entry.id)
                .bind(&entry.name)
                .bind(entry.as_of.timestamp_millis())
                .execute(&mut *write)
                .await
                .map_err(failed(&self.path, ACTION))?;
        }
        write.commit().await.map_err(failed(&self.path, ACTION))
    }

    async fn names(&self, org: &str, kind: NameKind) -> Result<Vec<NameEntry>> {
        let rows: Vec<(i64, String, i64)> = sqlx::query_as(NAMES)
            .bind(org_key(org))
            .bind(kind.as_str())
            .fetch_all(self.readers()?)
            .await
            .map_err(failed(&self.path, "reading names"))?;
        let entry = |(id, name, as_of)| {
            let as_of = DateTime::from_timestamp_millis(as_of)
                .ok_or_else(|| damaged(&self.path, &format!("invalid time of the name {name:?}")))?;
            Ok(NameEntry { kind, id, name, as_of })
        };
        rows.into_iter().map(entry).collect()
    }

    async fn orgs(&self) -> Result<Vec<String>> {
        sqlx::query_scalar(ORGS)
            .bind(NameKind::Org.as_str())
            .fetch_all(self.readers()?)
            .await
            .map_err(failed(&self.path, "reading organizations"))
    }

    async fn org(&self, org: &str) -> Result<Option<String>> {
        sqlx::query_scalar(ORG)
            .bind(org_key(org))
            .bind(NameKind::Org.as_str())
            .fetch_optional(self.readers()?)
            .await
            .map_err(failed(&self.path, "reading an organization"))
    }
}

impl SqliteStore {
    fn parse_rollup(
        &self,
        kind: SubjectKind,
        grain: Grain,
        row: RollupRow,
    ) -> Result<(RollupKey, StoredRollup)> {
        let (subject, start, month, version, identity, generation, body) = row;
        let key = Subject::parse(kind, &subject)
            .zip(start.parse().ok())
            .zip(Month::parse(&month))
            .map(|((subject, start), month)| RollupKey { subject, grain, start, month })
            .ok_or_else(|| {
                damaged(&self.path, &format!("invalid rollup key {subject:?}, {start:?}, {month:?}"))
            })?;
        Ok((key, StoredRollup { logic: Logic { version, identity }, generation, body }))
    }

    fn parse_marker(&self, (month, version, identity, generation, floor): MarkerRow) -> Result<Marker> {
        let month = Month::parse(&month)
            .ok_or_else(|| damaged(&self.path, &format!("invalid month {month:?} of a marker")))?;
        Ok(Marker { month, logic: Logic { version, identity }, generation, floor })
    }
}

async fn put_marker(connection: &mut SqliteConnection, org: &str, marker: &Marker) -> sqlx::Result<()> {
    sqlx::query(PUT_MARKER)
        .bind(org)
        .bind(marker.month.to_string())
        .bind(marker.logic.version)
        .bind(&marker.logic.identity)
        .bind(to_sql(marker.generation)?)
        .bind(to_sql(marker.floor)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns a day as text. The text sorts like the day because the year is limited to four digits.
fn day_bound(day: NaiveDate) -> String {
    const FIRST_SORTABLE_DAY: NaiveDate = NaiveDate::from_ymd_opt(0, 1, 1).expect("a valid date");
    const LAST_SORTABLE_DAY: NaiveDate = NaiveDate::from_ymd_opt(9999, 12, 31).expect("a valid date");
    day.clamp(FIRST_SORTABLE_DAY, LAST_SORTABLE_DAY).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn query_plan(store: &SqliteStore, sql: &'static str) -> String {
        let rows: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .fetch_all(&store.readers)
                .await
                .unwrap();
        rows.into_iter().map(|row| row.3).collect::<Vec<_>>().join("; ")
    }

    #[tokio::test]
    async fn reads_use_an_index_and_do_not_sort() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store.sqlite")).await.unwrap();
        for (sql, expected) in [
            (
                RANGE,
                "SEARCH rollups USING PRIMARY KEY \
                 (org=? AND subject_kind=? AND subject=? AND grain=? AND start>? AND start<?)",
            ),
            (
                RANGE_OF_KIND,
                "SEARCH rollups USING INDEX rollups_across \
                 (org=? AND subject_kind=? AND grain=? AND start>? AND start<?)",
            ),
            (MARKERS, "SEARCH markers USING PRIMARY KEY (org=?)"),
            (NAMES, "SEARCH names USING PRIMARY KEY (org=? AND kind=?)"),
        ] {
            assert_eq!(query_plan(&store, sql).await, expected);
        }
        store.close().await;
    }
}
