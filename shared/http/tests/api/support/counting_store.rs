//! A store in memory that counts what is read, and can fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use gam_model::Month;
use gam_query::QueryPorts;
use gam_store::{
    AdvanceOutcome, ChangeToken, CheckpointKey, CheckpointStore, Epoch, Error, FoldScope, ItemClass, ItemKey,
    Marker, MemoryStore, NameEntry, NameKind, NameStore, PutOutcome, Result, Revision, RollupStore,
    SaveOutcome, StoredCheckpoint, StoredItem,
};

use super::TestData;

/// A store that counts its reads. Clones share the number.
#[derive(Clone)]
pub(crate) struct CountingStore {
    store: Arc<MemoryStore>,
    reads: Arc<AtomicU64>,
    /// Number of those that read items.
    item_reads: Arc<AtomicU64>,
    /// Number of reads of single items that succeed.
    good_gets: Arc<AtomicU64>,
}

impl CountingStore {
    pub(crate) fn new(data: &TestData) -> Self {
        CountingStore::failing_after(data, u64::MAX)
    }

    /// Creates a store in which only this many reads of single items succeed.
    pub(crate) fn failing_after(data: &TestData, good_gets: u64) -> Self {
        let good_gets = Arc::new(good_gets.into());
        CountingStore {
            store: data.store.clone(),
            reads: Arc::default(),
            item_reads: Arc::default(),
            good_gets,
        }
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(crate) fn item_reads(&self) -> u64 {
        self.item_reads.load(Ordering::Relaxed)
    }

    pub(crate) fn query_ports(&self, data: &TestData) -> QueryPorts {
        let store = Arc::new(self.clone());
        QueryPorts { rollups: store.clone(), names: store.clone(), checkpoints: store, ..data.query_ports() }
    }

    fn read_items(&self) -> &MemoryStore {
        self.item_reads.fetch_add(1, Ordering::Relaxed);
        self.read()
    }

    fn read(&self) -> &MemoryStore {
        self.reads.fetch_add(1, Ordering::Relaxed);
        &self.store
    }
}

#[async_trait]
impl RollupStore for CountingStore {
    fn change_token(&self) -> Option<ChangeToken> {
        self.store.change_token()
    }

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
        self.read_items().range(org, epoch, class, first, last).await
    }

    async fn get(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<Vec<(ItemKey, StoredItem)>> {
        let is_good = |left: u64| left.checked_sub(1);
        if self.good_gets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_good).is_err() {
            return Err(Error::unusable("reading", std::io::Error::other("the disk is gone")));
        }
        self.read_items().get(org, epoch, keys).await
    }

    async fn item_keys(&self, org: &str, epoch: Epoch) -> Result<Vec<ItemKey>> {
        self.read().item_keys(org, epoch).await
    }

    async fn delete(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<()> {
        self.store.delete(org, epoch, keys).await
    }

    async fn marker(&self, org: &str, epoch: Epoch, month: Month) -> Result<Option<Marker>> {
        self.read().marker(org, epoch, month).await
    }

    async fn markers(&self, org: &str, epoch: Epoch) -> Result<Vec<Marker>> {
        self.read().markers(org, epoch).await
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

#[async_trait]
impl NameStore for CountingStore {
    async fn put_names(&self, org: &str, entries: &[NameEntry]) -> Result<()> {
        self.store.put_names(org, entries).await
    }

    async fn names(&self, org: &str, kind: NameKind) -> Result<Vec<NameEntry>> {
        self.read().names(org, kind).await
    }

    async fn orgs(&self) -> Result<Vec<String>> {
        self.read().orgs().await
    }

    async fn org(&self, org: &str) -> Result<Option<String>> {
        self.read().org(org).await
    }
}

#[async_trait]
impl CheckpointStore for CountingStore {
    async fn load(&self, key: &CheckpointKey) -> Result<Option<StoredCheckpoint>> {
        self.read().load(key).await
    }

    async fn load_repos(&self, org: &str) -> Result<Vec<(i64, StoredCheckpoint)>> {
        self.read().load_repos(org).await
    }

    async fn save(&self, key: &CheckpointKey, body: &str, expected: Option<Revision>) -> Result<SaveOutcome> {
        self.store.save(key, body, expected).await
    }
}
