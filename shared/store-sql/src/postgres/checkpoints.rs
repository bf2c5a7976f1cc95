//! Checkpoints in PostgreSQL.

use async_trait::async_trait;
use gam_store::keys::{CheckpointKey, org_key};
use gam_store::{CheckpointStore, Result, Revision, SaveOutcome, StoredCheckpoint};

use super::{PostgresStore, from_sql, invalid, to_sql};

const LOAD: &str = "SELECT revision, body FROM github_metrics.checkpoints WHERE org = $1 AND name = $2";

const LOAD_ALL: &str = "SELECT name, revision, body FROM github_metrics.checkpoints WHERE org = $1";

const INSERT: &str =
    "INSERT INTO github_metrics.checkpoints (org, name, body, save_id, revision) VALUES ($1, $2, $3, $4, 1)
    ON CONFLICT DO NOTHING RETURNING revision";

/// Waits for another writer of the row, and then compares with the revision that it saved.
const UPDATE: &str = "UPDATE github_metrics.checkpoints SET body = $3, save_id = $4, revision = revision + 1
    WHERE org = $1 AND name = $2 AND revision = $5 RETURNING revision";

/// Finds the row that this save has written in an attempt whose answer was lost.
const SAVED_BEFORE: &str =
    "SELECT revision FROM github_metrics.checkpoints WHERE org = $1 AND name = $2 AND save_id = $3";

fn stored(revision: i64, body: String) -> sqlx::Result<StoredCheckpoint> {
    Ok(StoredCheckpoint { revision: Revision(from_sql(revision)?), body })
}

#[async_trait]
impl CheckpointStore for PostgresStore {
    async fn load(&self, key: &CheckpointKey) -> Result<Option<StoredCheckpoint>> {
        self.run("reading a checkpoint", || async {
            let row: Option<(i64, String)> =
                sqlx::query_as(LOAD).bind(key.org()).bind(key.name()).fetch_optional(&self.pool).await?;
            row.map(|(revision, body)| stored(revision, body)).transpose()
        })
        .await
    }

    async fn load_repos(&self, org: &str) -> Result<Vec<(i64, StoredCheckpoint)>> {
        self.run("reading checkpoints", || async {
            let rows: Vec<(String, i64, String)> =
                sqlx::query_as(LOAD_ALL).bind(org_key(org)).fetch_all(&self.pool).await?;
            let mut repos = Vec::with_capacity(rows.len());
            for (name, revision, body) in rows {
                match CheckpointKey::parse(org, &name) {
                    Some(CheckpointKey::Org(_) | CheckpointKey::Head(_)) => {}
                    Some(CheckpointKey::Repo(_, id)) => repos.push((id, stored(revision, body)?)),
                    None => return Err(invalid(format!("invalid checkpoint name {name:?}"))),
                }
            }
            repos.sort_by_key(|(id, _)| *id);
            Ok(repos)
        })
        .await
    }

    async fn save(&self, key: &CheckpointKey, body: &str, expected: Option<Revision>) -> Result<SaveOutcome> {
        // Distinguishes this save from another one of the same content. All its attempts have the same id.
        let save_id = format!("{:032x}", fastrand::u128(..));
        self.run("saving a checkpoint", || async {
            let statement = if expected.is_none() { INSERT } else { UPDATE };
            let mut save = sqlx::query_scalar(statement).bind(key.org()).bind(key.name());
            save = save.bind(body).bind(&save_id);
            if let Some(Revision(revision)) = expected {
                save = save.bind(to_sql(revision)?);
            }
            let mut saved: Option<i64> = save.fetch_optional(&self.pool).await?;
            if saved.is_none() {
                let before = sqlx::query_scalar(SAVED_BEFORE).bind(key.org()).bind(key.name()).bind(&save_id);
                saved = before.fetch_optional(&self.pool).await?;
            }
            saved
                .map_or(Ok(SaveOutcome::Conflict), |saved| Ok(SaveOutcome::Saved(Revision(from_sql(saved)?))))
        })
        .await
    }
}
