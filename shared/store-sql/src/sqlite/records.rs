//! Records in SQLite.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gam_store::{
    ChangeToken, CommitOutcome, Record, RecordChange, RecordCommit, RecordCommitId, RecordKey, RecordRange,
    RecordStore, RecordWrite, Result,
};
use sqlx::sqlite::SqliteConnection;

use super::SqliteStore;
use super::error::{damaged, failed};
use super::schema::has_record_table;

const GET: &str = "SELECT revision, expires, body FROM records
    WHERE org = ? AND kind = ? AND sort = ? AND (expires IS NULL OR expires > ?)";

const RANGE: &str = "SELECT sort, revision, expires, body FROM records
    WHERE org = ? AND kind = ? AND sort >= ? AND sort < ? AND (expires IS NULL OR expires > ?)
    ORDER BY sort LIMIT ?";

const REVISION: &str = "SELECT revision FROM records
    WHERE org = ? AND kind = ? AND sort = ? AND (expires IS NULL OR expires > ?)";

const PUT: &str = "INSERT INTO records (org, kind, sort, revision, expires, body) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (org, kind, sort) DO UPDATE SET
    revision = excluded.revision, expires = excluded.expires, body = excluded.body";

const DELETE: &str = "DELETE FROM records WHERE org = ? AND kind = ? AND sort = ?";

const DELETE_EXPIRED: &str = "DELETE FROM records WHERE expires <= ?";

const READING: &str = "reading records";

/// The columns `revision`, `expires` and `body`.
type RecordRow = (String, Option<i64>, String);

impl SqliteStore {
    fn parse_record(&self, (revision, expires, body): RecordRow) -> Result<Record> {
        let revision = RecordCommitId::parse(&revision)
            .ok_or_else(|| damaged(&self.path, &format!("invalid revision {revision:?} of a record")))?;
        let time = |second| {
            DateTime::from_timestamp(second, 0)
                .ok_or_else(|| damaged(&self.path, &format!("invalid expiry {second} of a record")))
        };
        Ok(Record { revision, expires: expires.map(time).transpose()?, body })
    }

    /// Returns the revision of a record that is not expired, within the current transaction of the connection.
    async fn revision(
        &self,
        connection: &mut SqliteConnection,
        key: &RecordKey,
        now: DateTime<Utc>,
    ) -> Result<Option<RecordCommitId>> {
        let revision: Option<String> = sqlx::query_scalar(REVISION)
            .bind(key.org())
            .bind(key.kind().as_str())
            .bind(key.sort())
            .bind(now.timestamp())
            .fetch_optional(connection)
            .await
            .map_err(failed(&self.path, READING))?;
        let parse = |text: String| {
            RecordCommitId::parse(&text)
                .ok_or_else(|| damaged(&self.path, &format!("invalid revision {text:?} of a record")))
        };
        revision.map(parse).transpose()
    }

    /// Returns `result`, or an empty one if the file is opened for reading and was written by a version that had
    /// no records.
    async fn without_table<T: Default>(&self, result: sqlx::Result<T>) -> Result<T> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if self.is_read_only {
            let mut connection = self.readers()?.acquire().await.map_err(failed(&self.path, READING))?;
            let has_table = has_record_table(&mut connection).await;
            if !has_table.map_err(failed(&self.path, READING))? {
                return Ok(T::default());
            }
        }
        Err(failed(&self.path, READING)(error))
    }
}

#[async_trait]
impl RecordStore for SqliteStore {
    fn content_token(&self) -> Option<ChangeToken> {
        self.present_content()
    }

    async fn get(&self, key: &RecordKey, now: DateTime<Utc>) -> Result<Option<Record>> {
        let row: sqlx::Result<Option<RecordRow>> = sqlx::query_as(GET)
            .bind(key.org())
            .bind(key.kind().as_str())
            .bind(key.sort())
            .bind(now.timestamp())
            .fetch_optional(self.readers()?)
            .await;
        self.without_table(row).await?.map(|row| self.parse_record(row)).transpose()
    }

    async fn range(
        &self,
        range: &RecordRange,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<(RecordKey, Record)>> {
        let rows: sqlx::Result<Vec<(String, String, Option<i64>, String)>> = sqlx::query_as(RANGE)
            .bind(range.org())
            .bind(range.kind().as_str())
            .bind(range.from())
            .bind(range.to())
            .bind(now.timestamp())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.readers()?)
            .await;
        let parse = |(sort, revision, expires, body): (String, String, Option<i64>, String)| {
            let key = RecordKey::parse(range, &sort)
                .ok_or_else(|| damaged(&self.path, &format!("invalid key {sort:?} of a record")))?;
            Ok((key, self.parse_record((revision, expires, body))?))
        };
        self.without_table(rows).await?.into_iter().map(parse).collect()
    }

    async fn commit(&self, commit: &RecordCommit, now: DateTime<Utc>) -> Result<CommitOutcome> {
        const ACTION: &str = "committing records";
        let writes = commit.writes_with_receipt(now)?;
        let mut transaction = self.begin(ACTION).await?;
        let mut revisions = Vec::with_capacity(writes.len());
        for write in &writes {
            revisions.push(self.revision(&mut transaction, &write.key, now).await?);
        }
        if let Some(outcome) = commit.decide(&writes, &revisions) {
            return Ok(outcome);
        }
        for write in &writes {
            apply(&mut transaction, write, commit.id()).await.map_err(failed(&self.path, ACTION))?;
        }
        sqlx::query(DELETE_EXPIRED)
            .bind(now.timestamp())
            .execute(&mut *transaction)
            .await
            .map_err(failed(&self.path, ACTION))?;
        transaction.commit().await.map_err(failed(&self.path, ACTION))?;
        Ok(CommitOutcome::Committed)
    }
}

/// Applies a write within the current transaction of the connection.
async fn apply(
    connection: &mut SqliteConnection,
    write: &RecordWrite,
    revision: RecordCommitId,
) -> sqlx::Result<()> {
    let RecordWrite { key, change, .. } = write;
    let (org, kind, sort) = (key.org(), key.kind().as_str(), key.sort());
    let query = match change {
        RecordChange::Put { body, expires } => sqlx::query(PUT)
            .bind(org)
            .bind(kind)
            .bind(sort)
            .bind(revision.to_string())
            .bind(expires.map(|expires| expires.timestamp()))
            .bind(body),
        RecordChange::Delete => sqlx::query(DELETE).bind(org).bind(kind).bind(sort),
        RecordChange::Check => return Ok(()),
    };
    query.execute(connection).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn queries_use_an_index_and_do_not_sort() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store.sqlite")).await.unwrap();
        for (sql, expected) in [
            (GET, "SEARCH records USING PRIMARY KEY (org=? AND kind=? AND sort=?)"),
            (RANGE, "SEARCH records USING PRIMARY KEY (org=? AND kind=? AND sort>? AND sort<?)"),
            (REVISION, "SEARCH records USING PRIMARY KEY (org=? AND kind=? AND sort=?)"),
            (DELETE, "SEARCH records USING PRIMARY KEY (org=? AND kind=? AND sort=?)"),
            (DELETE_EXPIRED, "SEARCH records USING INDEX records_by_expiry (expires<?)"),
        ] {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let rows: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(explain).fetch_all(&store.readers).await.unwrap();
            let plan: Vec<String> = rows.into_iter().map(|row| row.3).collect();
            assert_eq!(plan.join("; "), expected);
        }
        store.close().await;
    }
}
