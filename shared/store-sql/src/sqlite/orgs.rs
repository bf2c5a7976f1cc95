//! Removing an organization from SQLite.

use async_trait::async_trait;
use gam_store::keys::org_key;
use gam_store::{OrgStore, Result};
use sqlx::AssertSqlSafe;

use super::SqliteStore;
use super::error::failed;
use super::item_id::{MONTH_SHIFT, WEEK_BITS};

/// Deletes the items of an organization's classes. The class is in the middle of an item's id, so this looks at the id
/// of every item.
fn delete_items_sql() -> String {
    let class = format!("(id >> {WEEK_BITS}) & {}", (1_i64 << (MONTH_SHIFT - WEEK_BITS)) - 1);
    format!("DELETE FROM month_items WHERE {class} IN (SELECT id FROM item_classes WHERE org = ?)")
}

/// The tables with a column for the organization.
const TABLES: [&str; 5] = ["item_classes", "markers", "names", "checkpoints", "records"];

#[async_trait]
impl OrgStore for SqliteStore {
    async fn delete_org(&self, org: &str) -> Result<()> {
        const ACTION: &str = "removing an organization";
        let org = org_key(org);
        let mut write = self.begin(ACTION).await?;
        let deletes = TABLES.iter().map(|table| format!("DELETE FROM {table} WHERE org = ?"));
        for sql in std::iter::once(delete_items_sql()).chain(deletes) {
            sqlx::query(AssertSqlSafe(sql))
                .bind(&org)
                .execute(&mut *write)
                .await
                .map_err(failed(&self.path, ACTION))?;
        }
        write.commit().await.map_err(failed(&self.path, ACTION))
    }
}
