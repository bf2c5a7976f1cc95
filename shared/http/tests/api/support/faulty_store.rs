//! A store whose every call fails.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use gam_model::Month;
use gam_query::QueryPorts;
use gam_store::{
    AdvanceOutcome, Epoch, Error, FoldScope, ItemClass, ItemKey, Marker, NameEntry, NameKind, NameStore,
    PutOutcome, Result, RollupStore, StoredItem,
};

use super::TestData;

/// Returns the API over a store that fails.
pub(crate) fn faulty_api(fault: Fault) -> Router {
    let store = Arc::new(FaultyStore(fault));
    let ports = TestData::default().query_ports();
    gam_http::router(QueryPorts { rollups: store.clone(), names: store, ..ports })
}

/// How the store fails.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// A retry may help.
    Busy,
    /// A retry does not help.
    Broken,
    /// A bug in the store.
    Panic,
    /// It never answers.
    Hang,
}

/// The message of the store's error, which clients must not see.
pub(crate) const STORE_ERROR: &str = "table rollups_v1 at 10.0.0.7 is missing";

struct FaultyStore(Fault);

impl FaultyStore {
    async fn fail<T>(&self) -> Result<T> {
        match self.0 {
            Fault::Hang => std::future::pending().await,
            Fault::Busy => Err(Error::unavailable("reading", std::io::Error::other(STORE_ERROR))),
            Fault::Broken => Err(Error::unusable("reading", std::io::Error::other(STORE_ERROR))),
            Fault::Panic => panic!("{STORE_ERROR}"),
        }
    }
}

#[async_trait]
impl RollupStore for FaultyStore {
    async fn put(&self, _: &str, _: Epoch, _: &[(ItemKey, StoredItem)]) -> Result<PutOutcome> {
        self.fail().await
    }

    async fn range(
        &self,
        _: &str,
        _: Epoch,
        _: &ItemClass,
        _: Month,
        _: Month,
    ) -> Result<Vec<(ItemKey, StoredItem)>> {
        self.fail().await
    }

    async fn get(&self, _: &str, _: Epoch, _: &[ItemKey]) -> Result<Vec<(ItemKey, StoredItem)>> {
        self.fail().await
    }

    async fn item_keys(&self, _: &str, _: Epoch) -> Result<Vec<ItemKey>> {
        self.fail().await
    }

    async fn delete(&self, _: &str, _: Epoch, _: &[ItemKey]) -> Result<()> {
        self.fail().await
    }

    async fn marker(&self, _: &str, _: Epoch, _: Month) -> Result<Option<Marker>> {
        self.fail().await
    }

    async fn markers(&self, _: &str, _: Epoch) -> Result<Vec<Marker>> {
        self.fail().await
    }

    async fn advance(&self, _: &str, _: Epoch, _: Month, _: u64, _: FoldScope) -> Result<AdvanceOutcome> {
        self.fail().await
    }

    async fn delete_markers(&self, _: &str, _: Epoch, _: &[Month]) -> Result<()> {
        self.fail().await
    }
}

#[async_trait]
impl NameStore for FaultyStore {
    async fn put_names(&self, _: &str, _: &[NameEntry]) -> Result<()> {
        self.fail().await
    }

    async fn names(&self, _: &str, _: NameKind) -> Result<Vec<NameEntry>> {
        self.fail().await
    }

    async fn orgs(&self) -> Result<Vec<String>> {
        self.fail().await
    }

    async fn org(&self, _: &str) -> Result<Option<String>> {
        self.fail().await
    }
}
