//! Two stores on one file, as in two processes, must together pass the conformance suite.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gam_model::Month;
use gam_store::keys::CheckpointKey;
use gam_store::{
    AdvanceOutcome, ChangeToken, CheckpointStore, CommitOutcome, Epoch, FoldScope, ItemClass, ItemKey,
    Marker, NameEntry, NameKind, NameStore, OrgStore, PutOutcome, Record, RecordCommit, RecordKey,
    RecordRange, RecordStore, Result, Revision, RollupStore, SaveOutcome, StoredCheckpoint, StoredItem,
    conformance,
};
use gam_store_sql::SqliteStore;

/// Alternates calls between two stores that share only the file.
struct AlternatingStores {
    stores: [SqliteStore; 2],
    calls: AtomicUsize,
}

impl AlternatingStores {
    fn next_store(&self) -> &SqliteStore {
        &self.stores[self.calls.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

#[async_trait]
impl RollupStore for AlternatingStores {
    fn change_token(&self) -> Option<ChangeToken> {
        self.stores[0].change_token()
    }

    async fn put(&self, org: &str, epoch: Epoch, items: &[(ItemKey, StoredItem)]) -> Result<PutOutcome> {
        self.next_store().put(org, epoch, items).await
    }

    async fn range(
        &self,
        org: &str,
        epoch: Epoch,
        class: &ItemClass,
        first: Month,
        last: Month,
    ) -> Result<Vec<(ItemKey, StoredItem)>> {
        RollupStore::range(self.next_store(), org, epoch, class, first, last).await
    }

    async fn get(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<Vec<(ItemKey, StoredItem)>> {
        RollupStore::get(self.next_store(), org, epoch, keys).await
    }

    async fn item_keys(&self, org: &str, epoch: Epoch) -> Result<Vec<ItemKey>> {
        self.next_store().item_keys(org, epoch).await
    }

    async fn delete(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<()> {
        self.next_store().delete(org, epoch, keys).await
    }

    async fn marker(&self, org: &str, epoch: Epoch, month: Month) -> Result<Option<Marker>> {
        self.next_store().marker(org, epoch, month).await
    }

    async fn markers(&self, org: &str, epoch: Epoch) -> Result<Vec<Marker>> {
        self.next_store().markers(org, epoch).await
    }

    async fn advance(
        &self,
        org: &str,
        epoch: Epoch,
        month: Month,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome> {
        self.next_store().advance(org, epoch, month, generation, scope).await
    }

    async fn delete_markers(&self, org: &str, epoch: Epoch, months: &[Month]) -> Result<()> {
        self.next_store().delete_markers(org, epoch, months).await
    }
}

#[async_trait]
impl NameStore for AlternatingStores {
    async fn put_names(&self, org: &str, entries: &[NameEntry]) -> Result<()> {
        self.next_store().put_names(org, entries).await
    }

    async fn names(&self, org: &str, kind: NameKind) -> Result<Vec<NameEntry>> {
        self.next_store().names(org, kind).await
    }

    async fn orgs(&self) -> Result<Vec<String>> {
        self.next_store().orgs().await
    }

    async fn org(&self, org: &str) -> Result<Option<String>> {
        self.next_store().org(org).await
    }
}

#[async_trait]
impl CheckpointStore for AlternatingStores {
    async fn load(&self, key: &CheckpointKey) -> Result<Option<StoredCheckpoint>> {
        self.next_store().load(key).await
    }

    async fn load_repos(&self, org: &str) -> Result<Vec<(i64, StoredCheckpoint)>> {
        self.next_store().load_repos(org).await
    }

    async fn save(&self, key: &CheckpointKey, body: &str, expected: Option<Revision>) -> Result<SaveOutcome> {
        self.next_store().save(key, body, expected).await
    }
}

#[async_trait]
impl OrgStore for AlternatingStores {
    async fn delete_org(&self, org: &str) -> Result<()> {
        self.next_store().delete_org(org).await
    }
}

#[async_trait]
impl RecordStore for AlternatingStores {
    async fn get(&self, key: &RecordKey, now: DateTime<Utc>) -> Result<Option<Record>> {
        RecordStore::get(self.next_store(), key, now).await
    }

    async fn range(
        &self,
        range: &RecordRange,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<(RecordKey, Record)>> {
        RecordStore::range(self.next_store(), range, limit, now).await
    }

    async fn commit(&self, commit: &RecordCommit, now: DateTime<Utc>) -> Result<CommitOutcome> {
        self.next_store().commit(commit, now).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_stores_on_one_file_pass_the_conformance_suite() {
    let directory = tempfile::tempdir().unwrap();
    let made = AtomicU64::new(0);
    conformance::run(async || {
        let path = directory.path().join(format!("{}.sqlite", made.fetch_add(1, Ordering::Relaxed)));
        let (first, second) = tokio::join!(SqliteStore::open(&path), SqliteStore::open(&path));
        AlternatingStores { stores: [first.unwrap(), second.unwrap()], calls: AtomicUsize::new(0) }
    })
    .await;
}
