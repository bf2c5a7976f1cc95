//! Removing an organization from PostgreSQL.

use async_trait::async_trait;
use gam_store::keys::org_key;
use gam_store::{OrgStore, Result};

use super::PostgresStore;

/// The statements that delete everything about an organization. Items first: their classes say whose they are.
const DELETES: [&str; 6] = [
    "DELETE FROM github_metrics.items WHERE class_id IN (SELECT id FROM github_metrics.item_classes WHERE org = $1)",
    "DELETE FROM github_metrics.item_classes WHERE org = $1",
    "DELETE FROM github_metrics.markers WHERE org = $1",
    "DELETE FROM github_metrics.names WHERE org = $1",
    "DELETE FROM github_metrics.checkpoints WHERE org = $1",
    "DELETE FROM github_metrics.records WHERE org = $1",
];

#[async_trait]
impl OrgStore for PostgresStore {
    async fn delete_org(&self, org: &str) -> Result<()> {
        let org = org_key(org);
        self.run("removing an organization", || async {
            let mut write = self.pool.begin().await?;
            for sql in DELETES {
                sqlx::query(sql).bind(&org).execute(&mut *write).await?;
            }
            write.commit().await
        })
        .await
    }
}
