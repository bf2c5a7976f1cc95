//! Test fixtures: a lake and a store in memory, ports that can be paused or fail, random events, and
//! readings of the results.

mod events;
mod gate;
mod readings;

use std::sync::{Arc, Mutex};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use gam_aggregate::{AggregatePorts, aggregate};
use gam_lake::{MemoryObjects, configuration, inbox};
use gam_model::configuration::Configuration;
use gam_model::{Clock, EventBatch, Identity, OrgRegistry};
use gam_query::QueryPorts;
use gam_store::MemoryStore;

pub(crate) use events::{kind_of, other_identity, random_batches, random_version};
pub(crate) use gate::{Gate, HangFrom};
pub(crate) use readings::{active_epoch, all_answers, snapshot_rows, stored_items};

pub(crate) const ORG: &str = "Acme";

/// A clock that stands still unless a test moves it.
#[derive(Default)]
pub(crate) struct TestClock(Mutex<TimeDelta>);

impl TestClock {
    pub(crate) fn advance(&self, time: TimeDelta) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        day("2025-03-01").and_hms_opt(12, 0, 0).unwrap().and_utc() + *self.0.lock().unwrap()
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
    pub(crate) clock: Arc<TestClock>,
}

impl TestData {
    /// Returns ports with the organization's configuration empty, as it is before anybody sets one.
    pub(crate) async fn ports(&self) -> Ports {
        self.ports_with(Identity::default()).await
    }

    /// Configures the organization, and returns ports.
    pub(crate) async fn ports_with(&self, identity: Identity) -> Ports {
        self.configure(&identity).await;
        self.unconfigured_ports(identity)
    }

    /// Returns ports without configuring the organization. Queries find members by the aliases of this identity.
    pub(crate) fn unconfigured_ports(&self, identity: Identity) -> Ports {
        let (store, clock) = (Arc::new(self.store.clone()), self.clock.clone());
        Ports {
            aggregate: AggregatePorts {
                objects: self.objects.clone(),
                rollups: store.clone(),
                names: store.clone(),
                checkpoints: store.clone(),
                clock: clock.clone(),
            },
            query: QueryPorts {
                rollups: store.clone(),
                names: store.clone(),
                checkpoints: store,
                clock,
                identities: Arc::new(identity),
                registry: Arc::new(OrgRegistry::default()),
            },
        }
    }

    /// Adds a revision of the configuration, unless the newest one is the same.
    pub(crate) async fn configure(&self, identity: &Identity) {
        loop {
            let newest = configuration::latest(&*self.objects, ORG).await.unwrap();
            if newest.configuration.identity == *identity {
                return;
            }
            let changed = Configuration { identity: identity.clone(), ..newest.configuration };
            configuration::add(&*self.objects, ORG, newest.number, &changed, self.clock.now()).await.unwrap();
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
        aggregate(&data.ports_with(identity).await.aggregate, ORG, false, &()).await.unwrap();
        data
    }
}
