//! Rollups, their markers, and names.

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
use super::failure::{damaged, failed};
use super::put::{ROWS_A_STATEMENT, put, to_sql};

/// How many rows are written before other writers get their turn.
const ROWS_A_TRANSACTION: usize = 50 * ROWS_A_STATEMENT;

const RANGE: &str = "SELECT subject, start, month, logic_version, identity, generation, body FROM rollups
    WHERE org = ? AND subject_kind = ? AND subject = ? AND grain = ? AND start >= ? AND start < ?
    ORDER BY start, month";

const ACROSS: &str = "SELECT subject, start, month, logic_version, identity, generation, body FROM rollups
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

const ORGS: &str = "SELECT coalesce(spelled.name, known.org)
    FROM (SELECT org FROM names UNION SELECT org FROM markers) AS known
    LEFT JOIN names AS spelled ON spelled.org = known.org AND spelled.kind = ? AND spelled.id = 0
    ORDER BY known.org";

type RollupRow = (String, String, String, u32, String, u64, String);
type MarkerRow = (String, u32, String, u64, u64);

#[async_trait]
impl RollupStore for SqliteStore {
    async fn put(&self, org: &str, rollups: &[(RollupKey, StoredRollup)]) -> Result<PutOutcome> {
        const DOING: &str = "writing rollups";
        let (org, mut outcome) = (org_key(org), PutOutcome::default());
        for turn in rollups.chunks(ROWS_A_TRANSACTION) {
            let mut write = self.begin(DOING).await?;
            for entries in turn.chunks(ROWS_A_STATEMENT) {
                outcome.merge(put(&mut write, &org, entries).await.map_err(failed(&self.path, DOING))?);
            }
            write.commit().await.map_err(failed(&self.path, DOING))?;
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
            .bind(bound(from))
            .bind(bound(to))
            .fetch_all(&self.readers)
            .await
            .map_err(failed(&self.path, "reading rollups"))?;
        rows.into_iter().map(|row| self.rollup(subject.kind(), grain, row)).collect()
    }

    async fn range_of_kind(
        &self,
        org: &str,
        kind: SubjectKind,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(RollupKey, StoredRollup)>> {
        let rows: Vec<RollupRow> = sqlx::query_as(ACROSS)
            .bind(org_key(org))
            .bind(kind.as_str())
            .bind(grain.as_str())
            .bind(bound(from))
            .bind(bound(to))
            .fetch_all(&self.readers)
            .await
            .map_err(failed(&self.path, "reading rollups"))?;
        rows.into_iter().map(|row| self.rollup(kind, grain, row)).collect()
    }

    async fn marker(&self, org: &str, month: Month) -> Result<Option<Marker>> {
        let row: Option<MarkerRow> = sqlx::query_as(MARKER)
            .bind(org_key(org))
            .bind(month.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed(&self.path, "reading a marker"))?;
        row.map(|row| self.marker_of(row)).transpose()
    }

    async fn markers(&self, org: &str) -> Result<Vec<Marker>> {
        let rows: Vec<MarkerRow> = sqlx::query_as(MARKERS)
            .bind(org_key(org))
            .fetch_all(&self.readers)
            .await
            .map_err(failed(&self.path, "reading markers"))?;
        rows.into_iter().map(|row| self.marker_of(row)).collect()
    }

    async fn advance(
        &self,
        org: &str,
        month: Month,
        logic: &Logic,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome> {
        const DOING: &str = "advancing a marker";
        let org = org_key(org);
        let mut write = self.begin(DOING).await?;
        let row: Option<MarkerRow> = sqlx::query_as(MARKER)
            .bind(&org)
            .bind(month.to_string())
            .fetch_optional(&mut *write)
            .await
            .map_err(failed(&self.path, DOING))?;
        let stored = row.map(|row| self.marker_of(row)).transpose()?;
        let Some(marker) = Marker::advanced(stored.as_ref(), month, logic, generation, scope) else {
            return Ok(AdvanceOutcome::Refused);
        };
        put_marker(&mut write, &org, &marker).await.map_err(failed(&self.path, DOING))?;
        write.commit().await.map_err(failed(&self.path, DOING))?;
        Ok(AdvanceOutcome::Advanced)
    }
}

#[async_trait]
impl NameStore for SqliteStore {
    async fn put_names(&self, org: &str, entries: &[NameEntry]) -> Result<()> {
        const DOING: &str = "writing names";
        if entries.is_empty() {
            return Ok(());
        }
        let org = org_key(org);
        let mut write = self.begin(DOING).await?;
        for entry in entries {
            sqlx::query(PUT_NAME)
                .bind(&org)
                .bind(entry.kind.as_str())
                .bind(entry.id)
                .bind(&entry.name)
                .bind(entry.as_of.timestamp_millis())
                .execute(&mut *write)
                .await
                .map_err(failed(&self.path, DOING))?;
        }
        write.commit().await.map_err(failed(&self.path, DOING))
    }

    async fn names(&self, org: &str, kind: NameKind) -> Result<Vec<NameEntry>> {
        let rows: Vec<(i64, String, i64)> = sqlx::query_as(NAMES)
            .bind(org_key(org))
            .bind(kind.as_str())
            .fetch_all(&self.readers)
            .await
            .map_err(failed(&self.path, "reading names"))?;
        let entry = |(id, name, as_of)| {
            let as_of = DateTime::from_timestamp_millis(as_of)
                .ok_or_else(|| damaged(&self.path, &format!("the name {name:?} has no time")))?;
            Ok(NameEntry { kind, id, name, as_of })
        };
        rows.into_iter().map(entry).collect()
    }

    async fn orgs(&self) -> Result<Vec<String>> {
        sqlx::query_scalar(ORGS)
            .bind(NameKind::Org.as_str())
            .fetch_all(&self.readers)
            .await
            .map_err(failed(&self.path, "reading organizations"))
    }
}

impl SqliteStore {
    fn rollup(&self, kind: SubjectKind, grain: Grain, row: RollupRow) -> Result<(RollupKey, StoredRollup)> {
        let (subject, start, month, version, identity, generation, body) = row;
        let key = Subject::parse(kind, &subject)
            .zip(start.parse().ok())
            .zip(Month::parse(&month))
            .map(|((subject, start), month)| RollupKey { subject, grain, start, month })
            .ok_or_else(|| {
                damaged(&self.path, &format!("a rollup is of {subject:?}, {start:?} and {month:?}"))
            })?;
        Ok((key, StoredRollup { logic: Logic { version, identity }, generation, body }))
    }

    fn marker_of(&self, (month, version, identity, generation, floor): MarkerRow) -> Result<Marker> {
        let month = Month::parse(&month)
            .ok_or_else(|| damaged(&self.path, &format!("a marker is of the month {month:?}")))?;
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

/// A day as text that sorts as days do, which it does for years of four digits.
fn bound(day: NaiveDate) -> String {
    const FIRST: NaiveDate = NaiveDate::from_ymd_opt(0, 1, 1).expect("a valid date");
    const LAST: NaiveDate = NaiveDate::from_ymd_opt(9999, 12, 31).expect("a valid date");
    day.clamp(FIRST, LAST).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn plan(store: &SqliteStore, sql: &'static str) -> String {
        let rows: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .fetch_all(&store.readers)
                .await
                .unwrap();
        rows.into_iter().map(|row| row.3).collect::<Vec<_>>().join("; ")
    }

    #[tokio::test]
    async fn reads_follow_a_key_and_sort_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store.sqlite")).await.unwrap();
        for (sql, expected) in [
            (
                RANGE,
                "SEARCH rollups USING PRIMARY KEY \
                 (org=? AND subject_kind=? AND subject=? AND grain=? AND start>? AND start<?)",
            ),
            (
                ACROSS,
                "SEARCH rollups USING INDEX rollups_across \
                 (org=? AND subject_kind=? AND grain=? AND start>? AND start<?)",
            ),
            (MARKERS, "SEARCH markers USING PRIMARY KEY (org=?)"),
            (NAMES, "SEARCH names USING PRIMARY KEY (org=? AND kind=?)"),
        ] {
            assert_eq!(plan(&store, sql).await, expected);
        }
        store.close().await;
    }
}
