//! Ports whose calls pass a gate, which can pause them or make them fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use gam_aggregate::AggregatePorts;
use gam_lake::{ETag, MemoryObjects, Object, ObjectMeta, ObjectPath, ObjectStore, PutIfAbsent, PutIfMatch};
use gam_model::{Identity, Month};
use gam_query::QueryPorts;
use gam_store::{
    AdvanceOutcome, CheckpointKey, CheckpointStore, Epoch, FoldScope, ItemClass, ItemKey, Marker,
    MemoryStore, NameEntry, NameKind, NameStore, PutOutcome, Revision, RollupStore, SaveOutcome,
    StoredCheckpoint, StoredItem,
};
use tokio::sync::Notify;

use super::{Ports, TestData};

/// Every call to a port passes it first.
#[async_trait]
pub(crate) trait Gate: Send + Sync {
    /// Returns when the call may go on, or the error that the call fails with. A write passes it again when it is done: as
    /// the call `..., returning`. An error then loses the answer. If its kind is `AlreadyExists`, a retry of the store's
    /// client finds what the first attempt wrote, and the caller learns that the object is another one.
    async fn pass(&self, call: &str) -> Result<(), std::io::Error>;
}

/// Never returns from the n-th call, as if the program were killed in it.
pub(crate) struct HangFrom {
    n: usize,
    calls: AtomicUsize,
    /// Notified when a call hangs.
    pub(crate) reached: Notify,
}

impl HangFrom {
    pub(crate) fn new(n: usize) -> Self {
        HangFrom { n, calls: AtomicUsize::new(0), reached: Notify::new() }
    }
}

#[async_trait]
impl Gate for HangFrom {
    async fn pass(&self, _: &str) -> Result<(), std::io::Error> {
        if self.calls.fetch_add(1, Ordering::SeqCst) >= self.n {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

impl TestData {
    /// Returns ports over this data. Every call to the lake and the store passes the gate.
    pub(crate) async fn gated(&self, identity: Identity, gate: Arc<dyn Gate>) -> Ports {
        self.configure(&identity).await;
        self.gated_unconfigured(identity, gate)
    }

    /// Returns ports as [`TestData::gated`] does, without configuring the organization.
    pub(crate) fn gated_unconfigured(&self, identity: Identity, gate: Arc<dyn Gate>) -> Ports {
        let objects = Arc::new(Gated { inner: self.objects.clone(), gate: gate.clone() });
        let store = Arc::new(Gated { inner: Arc::new(self.store.clone()), gate });
        let ports = self.unconfigured_ports(identity);
        Ports {
            aggregate: AggregatePorts {
                objects,
                rollups: store.clone(),
                names: store.clone(),
                checkpoints: store.clone(),
                ..ports.aggregate
            },
            query: QueryPorts {
                rollups: store.clone(),
                names: store.clone(),
                checkpoints: store,
                ..ports.query
            },
        }
    }
}

struct Gated<P> {
    inner: Arc<P>,
    gate: Arc<dyn Gate>,
}

impl<P> Gated<P> {
    async fn pass_lake(&self, call: &str) -> gam_lake::Result<()> {
        self.gate.pass(call).await.map_err(|error| gam_lake::Error::unavailable(call, error))
    }

    /// Returns the answer to a write of an object, unless the gate loses it.
    async fn answer<T>(&self, call: &str, put: gam_lake::Result<T>, refused: T) -> gam_lake::Result<T> {
        match self.gate.pass(call).await {
            Ok(()) => put,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(refused),
            Err(error) => Err(gam_lake::Error::unavailable(call, error)),
        }
    }

    async fn pass_store(&self, call: &str) -> gam_store::Result<()> {
        self.gate.pass(call).await.map_err(|error| gam_store::Error::unavailable(call, error))
    }
}

#[async_trait]
impl ObjectStore for Gated<MemoryObjects> {
    async fn get(&self, path: &ObjectPath) -> gam_lake::Result<Option<Object>> {
        self.pass_lake("get").await?;
        self.inner.get(path).await
    }

    async fn get_tail(&self, path: &ObjectPath, length: u64) -> gam_lake::Result<Option<Bytes>> {
        self.pass_lake("get_tail").await?;
        self.inner.get_tail(path, length).await
    }

    async fn list(&self, prefix: &str) -> gam_lake::Result<Vec<ObjectMeta>> {
        self.pass_lake("list").await?;
        self.inner.list(prefix).await
    }

    async fn put_if_absent(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        metadata: &[(&'static str, String)],
    ) -> gam_lake::Result<PutIfAbsent> {
        self.pass_lake("put_if_absent").await?;
        let put = self.inner.put_if_absent(path, bytes, metadata).await;
        self.answer("put_if_absent, returning", put, PutIfAbsent::Exists).await
    }

    async fn put_if_match(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        etag: &ETag,
        metadata: &[(&'static str, String)],
    ) -> gam_lake::Result<PutIfMatch> {
        self.pass_lake("put_if_match").await?;
        let put = self.inner.put_if_match(path, bytes, etag, metadata).await;
        self.answer("put_if_match, returning", put, PutIfMatch::Changed).await
    }

    async fn delete(&self, path: &ObjectPath) -> gam_lake::Result<()> {
        self.pass_lake("delete").await?;
        self.inner.delete(path).await
    }
}

#[async_trait]
impl RollupStore for Gated<MemoryStore> {
    /// Puts one item at a time: a store need not make them visible together.
    async fn put(
        &self,
        org: &str,
        epoch: Epoch,
        items: &[(ItemKey, StoredItem)],
    ) -> gam_store::Result<PutOutcome> {
        let mut outcome = PutOutcome::default();
        for item in items {
            self.pass_store("put").await?;
            outcome.merge(self.inner.put(org, epoch, std::slice::from_ref(item)).await?);
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
    ) -> gam_store::Result<Vec<(ItemKey, StoredItem)>> {
        self.pass_store("range").await?;
        self.inner.range(org, epoch, class, first, last).await
    }

    async fn get(
        &self,
        org: &str,
        epoch: Epoch,
        keys: &[ItemKey],
    ) -> gam_store::Result<Vec<(ItemKey, StoredItem)>> {
        self.pass_store("get").await?;
        self.inner.get(org, epoch, keys).await
    }

    async fn item_keys(&self, org: &str, epoch: Epoch) -> gam_store::Result<Vec<ItemKey>> {
        self.pass_store("item_keys").await?;
        self.inner.item_keys(org, epoch).await
    }

    /// Deletes one item at a time.
    async fn delete(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> gam_store::Result<()> {
        for key in keys {
            self.pass_store("delete items").await?;
            self.inner.delete(org, epoch, std::slice::from_ref(key)).await?;
        }
        Ok(())
    }

    async fn marker(&self, org: &str, epoch: Epoch, month: Month) -> gam_store::Result<Option<Marker>> {
        self.pass_store("marker").await?;
        self.inner.marker(org, epoch, month).await
    }

    async fn markers(&self, org: &str, epoch: Epoch) -> gam_store::Result<Vec<Marker>> {
        self.pass_store("markers").await?;
        self.inner.markers(org, epoch).await
    }

    async fn advance(
        &self,
        org: &str,
        epoch: Epoch,
        month: Month,
        generation: u64,
        scope: FoldScope,
    ) -> gam_store::Result<AdvanceOutcome> {
        self.pass_store("advance").await?;
        self.inner.advance(org, epoch, month, generation, scope).await
    }

    async fn delete_markers(&self, org: &str, epoch: Epoch, months: &[Month]) -> gam_store::Result<()> {
        self.pass_store("delete_markers").await?;
        self.inner.delete_markers(org, epoch, months).await
    }
}

#[async_trait]
impl CheckpointStore for Gated<MemoryStore> {
    async fn load(&self, key: &CheckpointKey) -> gam_store::Result<Option<StoredCheckpoint>> {
        self.pass_store("load").await?;
        self.inner.load(key).await
    }

    async fn load_repos(&self, org: &str) -> gam_store::Result<Vec<(i64, StoredCheckpoint)>> {
        self.pass_store("load_repos").await?;
        self.inner.load_repos(org).await
    }

    async fn save(
        &self,
        key: &CheckpointKey,
        body: &str,
        expected: Option<Revision>,
    ) -> gam_store::Result<SaveOutcome> {
        self.pass_store("save").await?;
        let saved = self.inner.save(key, body, expected).await;
        self.pass_store("save, returning").await?;
        saved
    }
}

#[async_trait]
impl NameStore for Gated<MemoryStore> {
    async fn put_names(&self, org: &str, entries: &[NameEntry]) -> gam_store::Result<()> {
        self.pass_store("put_names").await?;
        self.inner.put_names(org, entries).await
    }

    async fn names(&self, org: &str, kind: NameKind) -> gam_store::Result<Vec<NameEntry>> {
        self.pass_store("names").await?;
        self.inner.names(org, kind).await
    }

    async fn orgs(&self) -> gam_store::Result<Vec<String>> {
        self.pass_store("orgs").await?;
        self.inner.orgs().await
    }

    async fn org(&self, org: &str) -> gam_store::Result<Option<String>> {
        self.pass_store("org").await?;
        self.inner.org(org).await
    }
}
