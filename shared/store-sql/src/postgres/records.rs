//! Records in PostgreSQL.
//!
//! An expectation can be about a record that does not exist, so there is no row to lock. A commit therefore takes
//! advisory locks for its keys, and holds them until it ends. Two commits with a key in common run one after the other.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gam_store::{
    CommitOutcome, Record, RecordChange, RecordCommit, RecordCommitId, RecordKey, RecordRange, RecordStore,
    RecordWrite, Result,
};
use sqlx::postgres::PgConnection;

use super::{PostgresStore, invalid};

/// Number of advisory locks that all keys share. The server has memory for some thousands, held by all clients
/// together, and a commit has up to 101 keys.
const LOCKS: u64 = 64;

/// The first part of the advisory locks' keys. Other programs use other keys: `gamR` in ASCII.
const LOCK_CLASS: i32 = 0x6761_6d52;

/// Number of expired records that a commit deletes, so that it stays short.
const MAX_EXPIRED_DELETES: i64 = 1_000;

/// Takes the locks in order, so that commits do not wait for each other in a circle.
const LOCK: &str = "SELECT pg_advisory_xact_lock($1, number) FROM unnest($2::integer[]) AS number";

const GET: &str = "SELECT revision, expires, body FROM github_metrics.records
    WHERE org = $1 AND kind = $2 AND sort = $3 AND (expires IS NULL OR expires > $4)";

const RANGE: &str = "SELECT sort, revision, expires, body FROM github_metrics.records
    WHERE org = $1 AND kind = $2 AND sort >= $3 AND sort < $4 AND (expires IS NULL OR expires > $5)
    ORDER BY sort LIMIT $6";

const REVISIONS: &str = "SELECT position, revision
    FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS wanted (org, kind, sort, position)
    CROSS JOIN LATERAL (
        SELECT revision FROM github_metrics.records WHERE records.org = wanted.org AND records.kind = wanted.kind
        AND records.sort = wanted.sort AND (expires IS NULL OR expires > $4) OFFSET 0
    ) AS stored";

const PUT: &str = "INSERT INTO github_metrics.records (org, kind, sort, revision, expires, body)
    SELECT org, kind, sort, $1, expires, body
    FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[]) AS new (org, kind, sort, expires, body)
    ON CONFLICT (org, kind, sort) DO UPDATE SET
    revision = excluded.revision, expires = excluded.expires, body = excluded.body";

const DELETE: &str = "DELETE FROM github_metrics.records
    USING unnest($1::text[], $2::text[], $3::text[]) AS wanted (org, kind, sort)
    WHERE records.org = wanted.org AND records.kind = wanted.kind AND records.sort = wanted.sort";

/// Leaves the records that another commit is writing to a later one: waiting for them could be in a circle.
const DELETE_EXPIRED: &str = "DELETE FROM github_metrics.records
    USING (
        SELECT org, kind, sort FROM github_metrics.records WHERE expires <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED
    ) AS expired
    WHERE records.org = expired.org AND records.kind = expired.kind AND records.sort = expired.sort";

/// The columns `revision`, `expires` and `body`.
type RecordRow = (String, Option<i64>, String);

/// The keys of writes, as arrays.
#[derive(Default)]
struct KeyColumns<'a> {
    orgs: Vec<&'a str>,
    kinds: Vec<&'static str>,
    sorts: Vec<&'a str>,
}

impl<'a> FromIterator<&'a RecordKey> for KeyColumns<'a> {
    fn from_iter<T: IntoIterator<Item = &'a RecordKey>>(keys: T) -> Self {
        let mut columns = KeyColumns::default();
        for key in keys {
            columns.orgs.push(key.org());
            columns.kinds.push(key.kind().as_str());
            columns.sorts.push(key.sort());
        }
        columns
    }
}

fn parse_revision(text: &str) -> sqlx::Result<RecordCommitId> {
    RecordCommitId::parse(text).ok_or_else(|| invalid(format!("invalid revision {text:?} of a record")))
}

fn parse((revision, expires, body): RecordRow) -> sqlx::Result<Record> {
    let time = |second| {
        DateTime::from_timestamp(second, 0)
            .ok_or_else(|| invalid(format!("invalid expiry {second} of a record")))
    };
    Ok(Record { revision: parse_revision(&revision)?, expires: expires.map(time).transpose()?, body })
}

#[async_trait]
impl RecordStore for PostgresStore {
    async fn get(&self, key: &RecordKey, now: DateTime<Utc>) -> Result<Option<Record>> {
        self.run("reading records", || async {
            let row: Option<RecordRow> = sqlx::query_as(GET)
                .bind(key.org())
                .bind(key.kind().as_str())
                .bind(key.sort())
                .bind(now.timestamp())
                .fetch_optional(&self.pool)
                .await?;
            row.map(parse).transpose()
        })
        .await
    }

    async fn range(
        &self,
        range: &RecordRange,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<(RecordKey, Record)>> {
        self.run("reading records", || async {
            let rows: Vec<(String, String, Option<i64>, String)> = sqlx::query_as(RANGE)
                .bind(range.org())
                .bind(range.kind().as_str())
                .bind(range.from())
                .bind(range.to())
                .bind(now.timestamp())
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                .fetch_all(&self.pool)
                .await?;
            let record = |(sort, revision, expires, body): (String, String, Option<i64>, String)| {
                let key = RecordKey::parse(range, &sort)
                    .ok_or_else(|| invalid(format!("invalid key {sort:?} of a record")))?;
                Ok((key, parse((revision, expires, body))?))
            };
            rows.into_iter().map(record).collect()
        })
        .await
    }

    async fn commit(&self, commit: &RecordCommit, now: DateTime<Utc>) -> Result<CommitOutcome> {
        let writes = commit.writes_with_receipt(now)?;
        self.run("committing records", || async {
            let mut transaction = self.pool.begin().await?;
            lock(&mut transaction, &writes).await?;
            let revisions = revisions(&mut transaction, &writes, now).await?;
            if let Some(outcome) = commit.decide(&writes, &revisions) {
                return Ok(outcome);
            }
            apply(&mut transaction, &writes, commit.id()).await?;
            let delete = sqlx::query(DELETE_EXPIRED).bind(now.timestamp()).bind(MAX_EXPIRED_DELETES);
            delete.execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(CommitOutcome::Committed)
        })
        .await
    }
}

/// Waits for other commits of the same keys, until the end of the transaction.
async fn lock(connection: &mut PgConnection, writes: &[RecordWrite]) -> sqlx::Result<()> {
    let numbers: BTreeSet<i32> = writes.iter().map(|write| lock_number(&write.key)).collect();
    let numbers: Vec<i32> = numbers.into_iter().collect();
    sqlx::query(LOCK).bind(LOCK_CLASS).bind(numbers).execute(connection).await.map(drop)
}

/// Returns the number of a key's lock. All versions of this program must return the same one.
fn lock_number(key: &RecordKey) -> i32 {
    let parts = [key.org(), "/", key.kind().as_str(), "/", key.sort()];
    // FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>.
    let hash = parts.iter().flat_map(|part| part.bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash % LOCKS) as i32
}

/// Returns the revisions of the records of some writes, with `None` for absent and expired ones.
async fn revisions(
    connection: &mut PgConnection,
    writes: &[RecordWrite],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Option<RecordCommitId>>> {
    let keys: KeyColumns<'_> = writes.iter().map(|write| &write.key).collect();
    let rows: Vec<(i64, String)> = sqlx::query_as(REVISIONS)
        .bind(&keys.orgs)
        .bind(&keys.kinds)
        .bind(&keys.sorts)
        .bind(now.timestamp())
        .fetch_all(connection)
        .await?;
    let parsed = rows.into_iter().map(|(position, revision)| Ok((position, parse_revision(&revision)?)));
    let mut by_position = parsed.collect::<sqlx::Result<HashMap<_, _>>>()?;
    Ok((1..).zip(writes).map(|(position, _)| by_position.remove(&position)).collect())
}

async fn apply(
    connection: &mut PgConnection,
    writes: &[RecordWrite],
    revision: RecordCommitId,
) -> sqlx::Result<()> {
    let puts = writes.iter().filter_map(|RecordWrite { key, change, .. }| match change {
        RecordChange::Put { body, expires } => Some((key, (expires.map(|it| it.timestamp()), body.as_str()))),
        RecordChange::Delete | RecordChange::Check => None,
    });
    let (keys, values): (Vec<&RecordKey>, Vec<_>) = puts.unzip();
    let (expiries, bodies): (Vec<Option<i64>>, Vec<&str>) = values.into_iter().unzip();
    let keys: KeyColumns<'_> = keys.into_iter().collect();
    sqlx::query(PUT)
        .bind(revision.to_string())
        .bind(&keys.orgs)
        .bind(&keys.kinds)
        .bind(&keys.sorts)
        .bind(&expiries)
        .bind(&bodies)
        .execute(&mut *connection)
        .await?;
    let deletes = writes.iter().filter(|write| write.change == RecordChange::Delete);
    let keys: KeyColumns<'_> = deletes.map(|write| &write.key).collect();
    if keys.orgs.is_empty() {
        return Ok(());
    }
    let delete = sqlx::query(DELETE).bind(&keys.orgs).bind(&keys.kinds).bind(&keys.sorts);
    delete.execute(connection).await.map(drop)
}

#[cfg(test)]
mod tests {
    use gam_store::{KeyPart, RecordKind};

    use super::*;

    /// Programs of several versions can use one database.
    #[test]
    fn locks_of_keys_never_change() {
        let lock = |org, number| {
            let key = RecordKey::new(org, RecordKind::Claim, &[KeyPart::Number(number)]).unwrap();
            lock_number(&key)
        };
        assert_eq!(
            [lock(None, 1), lock(None, 2), lock(Some("acme"), 1), lock(Some("ACME"), 1)],
            [57, 32, 38, 38]
        );
        let used: BTreeSet<i32> = (0..1_000).map(|number| lock(Some("acme"), number)).collect();
        assert_eq!((used.first(), used.last(), used.len()), (Some(&0), Some(&63), 64));
    }
}
