//! Checkpoints in SQLite.

use async_trait::async_trait;
use gam_store::keys::{CheckpointKey, org_key};
use gam_store::{CheckpointStore, Result, Revision, SaveOutcome, StoredCheckpoint};

use super::SqliteStore;
use super::error::{damaged, failed};
use super::put::to_sql;

const LOAD: &str = "SELECT revision, body FROM checkpoints WHERE org = ? AND name = ?";

const LOAD_ALL: &str = "SELECT name, revision, body FROM checkpoints WHERE org = ?";

const INSERT: &str = "INSERT INTO checkpoints (org, name, body, revision) VALUES (?, ?, ?, 1)
    ON CONFLICT DO NOTHING RETURNING revision";

const UPDATE: &str = "UPDATE checkpoints SET body = ?3, revision = revision + 1
    WHERE org = ?1 AND name = ?2 AND revision = ?4 RETURNING revision";

#[async_trait]
impl CheckpointStore for SqliteStore {
    async fn load(&self, key: &CheckpointKey) -> Result<Option<StoredCheckpoint>> {
        let row: Option<(u64, String)> = sqlx::query_as(LOAD)
            .bind(key.org())
            .bind(key.name())
            .fetch_optional(self.readers()?)
            .await
            .map_err(failed(&self.path, "reading a checkpoint"))?;
        Ok(row.map(|(revision, body)| StoredCheckpoint { revision: Revision(revision), body }))
    }

    async fn load_repos(&self, org: &str) -> Result<Vec<(i64, StoredCheckpoint)>> {
        let rows: Vec<(String, u64, String)> = sqlx::query_as(LOAD_ALL)
            .bind(org_key(org))
            .fetch_all(self.readers()?)
            .await
            .map_err(failed(&self.path, "reading checkpoints"))?;
        let mut repos = Vec::with_capacity(rows.len());
        for (name, revision, body) in rows {
            match CheckpointKey::parse(org, &name) {
                Some(CheckpointKey::Org(_) | CheckpointKey::Head(_)) => {}
                Some(CheckpointKey::Repo(_, id)) => {
                    repos.push((id, StoredCheckpoint { revision: Revision(revision), body }));
                }
                None => return Err(damaged(&self.path, &format!("invalid checkpoint name {name:?}"))),
            }
        }
        repos.sort_by_key(|(id, _)| *id);
        Ok(repos)
    }

    async fn save(&self, key: &CheckpointKey, body: &str, expected: Option<Revision>) -> Result<SaveOutcome> {
        const ACTION: &str = "saving a checkpoint";
        let mut write = self.begin(ACTION).await?;
        let save = match expected {
            None => sqlx::query_scalar(INSERT).bind(key.org()).bind(key.name()).bind(body),
            Some(revision) => {
                let revision = to_sql(revision.0).map_err(failed(&self.path, ACTION))?;
                sqlx::query_scalar(UPDATE).bind(key.org()).bind(key.name()).bind(body).bind(revision)
            }
        };
        let saved: Option<u64> =
            save.fetch_optional(&mut *write).await.map_err(failed(&self.path, ACTION))?;
        write.commit().await.map_err(failed(&self.path, ACTION))?;
        Ok(saved.map_or(SaveOutcome::Conflict, |revision| SaveOutcome::Saved(Revision(revision))))
    }
}
