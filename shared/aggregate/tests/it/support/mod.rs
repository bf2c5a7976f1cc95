//! Test fixtures: a lake and a store in memory, ports that can be paused or fail, random events, and
//! readings of the results.

mod events;
mod gate;
mod readings;

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use gam_aggregate::{AggregatePorts, aggregate};
use gam_lake::{MemoryObjects, inbox};
use gam_model::{Clock, EventBatch, Identity, OrgRegistry};
use gam_query::QueryPorts;
use gam_store::MemoryStore;

pub(crate) use events::{kind_of, other_identity, random_batches, random_version};
pub(crate) use gate::Gate;
pub(crate) use readings::{all_answers, snapshot_rows, stored_bodies};

pub(crate) const ORG: &str = "Acme";

/// A clock that stands still.
pub(crate) struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        day("2025-03-01").and_hms_opt(12, 0, 0).unwrap().and_utc()
    }
}

pub(crate) fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// The ports of both use cases over the same lake and store.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) aggregate: AggregatePorts,
    pub(crate) query: QueryPorts,
}

/// A lake and a store in memory.
#[derive(Clone, Default)]
pub(crate) struct TestData {
    pub(crate) objects: Arc<MemoryObjects>,
    pub(crate) store: MemoryStore,
}

impl TestData {
    pub(crate) fn ports(&self) -> Ports {
        self.ports_with(Identity::default())
    }

    pub(crate) fn ports_with(&self, identity: Identity) -> Ports {
        let (store, clock) = (Arc::new(self.store.clone()), Arc::new(FixedClock));
        let identity = Arc::new(identity);
        Ports {
            aggregate: AggregatePorts {
                objects: self.objects.clone(),
                rollups: store.clone(),
                names: store.clone(),
                checkpoints: store.clone(),
                clock: clock.clone(),
                identity: identity.clone(),
            },
            query: QueryPorts {
                rollups: store.clone(),
                names: store.clone(),
                checkpoints: store,
                clock,
                identities: identity,
                registry: Arc::new(OrgRegistry::default()),
            },
        }
    }

    pub(crate) async fn put(&self, batches: &[EventBatch]) {
        for batch in batches {
            inbox::put(&*self.objects, batch).await.unwrap();
        }
    }

    /// Returns new data with the batches aggregated in one run.
    pub(crate) async fn aggregated(batches: &[EventBatch], identity: Identity) -> TestData {
        let data = TestData::default();
        data.put(batches).await;
        aggregate(&data.ports_with(identity).aggregate, ORG, false, &()).await.unwrap();
        data
    }
}
