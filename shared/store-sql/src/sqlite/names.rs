//! Names in SQLite.

use async_trait::async_trait;
use chrono::DateTime;
use gam_store::keys::org_key;
use gam_store::{NameEntry, NameKind, NameStore, Result};

use super::SqliteStore;
use super::error::{damaged, failed};

const PUT_NAME: &str = "INSERT INTO names (org, kind, id, name, as_of) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET name = excluded.name, as_of = excluded.as_of
    WHERE (excluded.as_of, excluded.name) > (names.as_of, names.name)";

pub(super) const NAMES: &str = "SELECT id, name, as_of FROM names WHERE org = ? AND kind = ? ORDER BY id";

/// Organizations with a name or a head. Finds each one that has a name from the one before, so that it does not
/// read the names of all repositories and members.
pub(super) const ORGS: &str = "WITH RECURSIVE named (org) AS (
        SELECT min(org) FROM names
        UNION ALL
        SELECT (SELECT min(names.org) FROM names WHERE names.org > named.org) FROM named WHERE org IS NOT NULL
    )
    SELECT coalesce(display.name, orgs.org)
    FROM (
        SELECT org FROM named WHERE org IS NOT NULL UNION SELECT org FROM checkpoints WHERE name = 'head'
    ) AS orgs
    LEFT JOIN names AS display ON display.org = orgs.org AND display.kind = ? AND display.id = 0
    ORDER BY orgs.org";

pub(super) const ORG: &str =
    "SELECT coalesce((SELECT name FROM names WHERE org = ?1 AND kind = ?2 AND id = 0), ?1)
    WHERE EXISTS (SELECT 1 FROM names WHERE org = ?1)
    OR EXISTS (SELECT 1 FROM checkpoints WHERE org = ?1 AND name = 'head')";

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
