//! The port of rollups on PostgreSQL.

use async_trait::async_trait;
use gam_model::Month;
use gam_store::keys::org_key;
use gam_store::{
    AdvanceOutcome, Epoch, FoldScope, ItemClass, ItemKey, Marker, PutOutcome, Result, RollupStore, StoredItem,
};

use super::{PostgresStore, items, markers};

#[async_trait]
impl RollupStore for PostgresStore {
    async fn put(&self, org: &str, epoch: Epoch, items: &[(ItemKey, StoredItem)]) -> Result<PutOutcome> {
        let (org, mut outcome) = (org_key(org), PutOutcome::default());
        for part in items::statements(items) {
            let put = self.run("writing rollups", || items::put(&self.pool, &org, epoch, part));
            outcome.merge(put.await?);
        }
        Ok(outcome)
    }

    async fn range(
        &self,
        org: &str,
        epoch: Epoch,
        class: &ItemClass,
        first: Month,
        last: Month,
    ) -> Result<Vec<(ItemKey, StoredItem)>> {
        let org = org_key(org);
        self.run("reading rollups", || items::range(&self.pool, &org, epoch, class, (first, last))).await
    }

    async fn get(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<Vec<(ItemKey, StoredItem)>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let org = org_key(org);
        self.run("reading rollups", || items::get(&self.pool, &org, epoch, keys)).await
    }

    async fn item_keys(&self, org: &str, epoch: Epoch) -> Result<Vec<ItemKey>> {
        let org = org_key(org);
        self.run("listing rollups", || items::keys(&self.pool, &org, epoch)).await
    }

    async fn delete(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<()> {
        let org = org_key(org);
        self.run("deleting rollups", || items::delete(&self.pool, &org, epoch, keys)).await
    }

    async fn marker(&self, org: &str, epoch: Epoch, month: Month) -> Result<Option<Marker>> {
        let org = org_key(org);
        self.run("reading a marker", || markers::read(&self.pool, &org, epoch, month)).await
    }

    async fn markers(&self, org: &str, epoch: Epoch) -> Result<Vec<Marker>> {
        let org = org_key(org);
        self.run("reading markers", || markers::list(&self.pool, &org, epoch)).await
    }

    async fn advance(
        &self,
        org: &str,
        epoch: Epoch,
        month: Month,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome> {
        let org = org_key(org);
        let advance = || markers::advance(&self.pool, &org, epoch, month, generation, scope);
        self.run("advancing a marker", advance).await
    }

    async fn delete_markers(&self, org: &str, epoch: Epoch, months: &[Month]) -> Result<()> {
        let org = org_key(org);
        self.run("deleting markers", || markers::delete(&self.pool, &org, epoch, months)).await
    }
}
