//! Names in PostgreSQL.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::DateTime;
use gam_store::keys::org_key;
use gam_store::{NameEntry, NameKind, NameStore, Result};

use super::{PostgresStore, invalid};

const PUT: &str = "INSERT INTO github_metrics.names AS old (org, kind, id, name, as_of)
    SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::text[], $5::bigint[])
    ON CONFLICT (org, kind, id) DO UPDATE SET name = excluded.name, as_of = excluded.as_of
    WHERE (excluded.as_of, excluded.name) > (old.as_of, old.name)";

const NAMES: &str =
    "SELECT id, name, as_of FROM github_metrics.names WHERE org = $1 AND kind = $2 ORDER BY id";

/// Organizations with a name or a head. Finds each one that has a name from the one before, so that it does not
/// read the names of all repositories and members.
const ORGS: &str = "WITH RECURSIVE named (org) AS (
        SELECT min(org) FROM github_metrics.names
        UNION ALL
        SELECT (SELECT min(names.org) FROM github_metrics.names AS names WHERE names.org > named.org)
        FROM named WHERE org IS NOT NULL
    )
    SELECT coalesce(display.name, orgs.org)
    FROM (
        SELECT org FROM named WHERE org IS NOT NULL
        UNION SELECT org FROM github_metrics.checkpoints WHERE name = 'head'
    ) AS orgs
    LEFT JOIN github_metrics.names AS display ON display.org = orgs.org AND display.kind = $1 AND display.id = 0
    ORDER BY orgs.org";

const ORG: &str =
    "SELECT coalesce((SELECT name FROM github_metrics.names WHERE org = $1 AND kind = $2 AND id = 0), $1)
    WHERE EXISTS (SELECT 1 FROM github_metrics.names WHERE org = $1)
    OR EXISTS (SELECT 1 FROM github_metrics.checkpoints WHERE org = $1 AND name = 'head')";

/// Returns the newest of the entries for each kind and id, in the order of the keys. Writers that lock rows in one order
/// do not wait for each other in a circle.
fn newest_entries(entries: &[NameEntry]) -> BTreeMap<(&'static str, i64), (i64, &str)> {
    let mut newest = BTreeMap::new();
    for entry in entries {
        let new = (entry.as_of.timestamp_millis(), entry.name.as_str());
        let stored = newest.entry((entry.kind.as_str(), entry.id)).or_insert(new);
        *stored = new.max(*stored);
    }
    newest
}

#[async_trait]
impl NameStore for PostgresStore {
    async fn put_names(&self, org: &str, entries: &[NameEntry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let newest = newest_entries(entries);
        let (kinds, ids): (Vec<&str>, Vec<i64>) = newest.keys().copied().unzip();
        let (times, names): (Vec<i64>, Vec<&str>) = newest.values().copied().unzip();
        self.run("writing names", || async {
            let put = sqlx::query(PUT).bind(org_key(org)).bind(&kinds).bind(&ids).bind(&names).bind(&times);
            put.execute(&self.pool).await.map(drop)
        })
        .await
    }

    async fn names(&self, org: &str, kind: NameKind) -> Result<Vec<NameEntry>> {
        self.run("reading names", || async {
            let rows: Vec<(i64, String, i64)> =
                sqlx::query_as(NAMES).bind(org_key(org)).bind(kind.as_str()).fetch_all(&self.pool).await?;
            let entry = |(id, name, as_of)| {
                let as_of = DateTime::from_timestamp_millis(as_of)
                    .ok_or_else(|| invalid(format!("invalid time of the name {name:?}")))?;
                Ok(NameEntry { kind, id, name, as_of })
            };
            rows.into_iter().map(entry).collect()
        })
        .await
    }

    async fn orgs(&self) -> Result<Vec<String>> {
        self.run("reading organizations", || async {
            sqlx::query_scalar(ORGS).bind(NameKind::Org.as_str()).fetch_all(&self.pool).await
        })
        .await
    }

    async fn org(&self, org: &str) -> Result<Option<String>> {
        self.run("reading an organization", || async {
            let query = sqlx::query_scalar(ORG).bind(org_key(org)).bind(NameKind::Org.as_str());
            query.fetch_optional(&self.pool).await
        })
        .await
    }
}
