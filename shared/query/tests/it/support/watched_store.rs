//! A rollup store that counts reads, and changes the head while items are read.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use gam_model::Month;
use gam_store::{
    AdvanceOutcome, Epoch, FoldScope, ItemClass, ItemKey, Marker, MemoryStore, PutOutcome, Result,
    RollupStore, StoredItem,
};

use super::set_head;

/// A store in memory whose reads are counted.
pub(crate) struct WatchedStore {
    store: MemoryStore,
    /// Number of range reads that make the next epoch active before they return.
    switches: u64,
    pub(crate) range_reads: AtomicU64,
    pub(crate) marker_reads: AtomicU64,
}

impl WatchedStore {
    /// Creates a store of which the first range reads make epoch 2, then epoch 3 and so on active, and delete the
    /// markers' items of the epoch before.
    pub(crate) fn new(store: &MemoryStore, switches: u64) -> Self {
        WatchedStore { store: store.clone(), switches, range_reads: 0.into(), marker_reads: 0.into() }
    }
}

#[async_trait]
impl RollupStore for WatchedStore {
    async fn put(&self, org: &str, epoch: Epoch, items: &[(ItemKey, StoredItem)]) -> Result<PutOutcome> {
        self.store.put(org, epoch, items).await
    }

    async fn range(
        &self,
        org: &str,
        epoch: Epoch,
        class: &ItemClass,
        first: Month,
        last: Month,
    ) -> Result<Vec<(ItemKey, StoredItem)>> {
        let reads_before = self.range_reads.fetch_add(1, Ordering::Relaxed);
        let items = self.store.range(org, epoch, class, first, last).await?;
        if reads_before < self.switches {
            let next = reads_before + 2;
            set_head(&self.store, Some((next, next as u32)), None).await;
        }
        Ok(items)
    }

    async fn get(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<Vec<(ItemKey, StoredItem)>> {
        self.store.get(org, epoch, keys).await
    }

    async fn item_keys(&self, org: &str, epoch: Epoch) -> Result<Vec<ItemKey>> {
        self.store.item_keys(org, epoch).await
    }

    async fn delete(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<()> {
        self.store.delete(org, epoch, keys).await
    }

    async fn marker(&self, org: &str, epoch: Epoch, month: Month) -> Result<Option<Marker>> {
        self.store.marker(org, epoch, month).await
    }

    async fn markers(&self, org: &str, epoch: Epoch) -> Result<Vec<Marker>> {
        self.marker_reads.fetch_add(1, Ordering::Relaxed);
        self.store.markers(org, epoch).await
    }

    async fn advance(
        &self,
        org: &str,
        epoch: Epoch,
        month: Month,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome> {
        self.store.advance(org, epoch, month, generation, scope).await
    }

    async fn delete_markers(&self, org: &str, epoch: Epoch, months: &[Month]) -> Result<()> {
        self.store.delete_markers(org, epoch, months).await
    }
}
