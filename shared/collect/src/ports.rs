//! What this use case needs from its host.

use std::sync::Arc;

use gam_lake::ObjectStore;
use gam_model::Clock;
use gam_store::{CheckpointStore, NameStore};

/// The ports of a collection and of a reconciliation. A composition root connects them.
#[derive(Clone)]
pub struct CollectPorts {
    /// The lake. Batches go to its inbox. Reconciliation reads its snapshots.
    pub objects: Arc<dyn ObjectStore>,
    /// The latest names of the organization, its repositories and its members.
    pub names: Arc<dyn NameStore>,
    /// How far each repository has been read.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// The wall clock, for the current day, and where GitHub does not say the time.
    pub clock: Arc<dyn Clock>,
}

/// The ports of a dry run, which writes nothing.
#[derive(Clone)]
pub struct DryRunPorts {
    /// The lake, for the organization's configuration.
    pub objects: Arc<dyn ObjectStore>,
    /// How far each repository has been read; `None` if there is no store yet.
    pub checkpoints: Option<Arc<dyn CheckpointStore>>,
    /// The wall clock, for the current day.
    pub clock: Arc<dyn Clock>,
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono::{DateTime, Utc};
    use gam_lake::memory::MemoryObjects;
    use gam_store::MemoryStore;

    use super::*;

    /// A clock of a machine that is years ahead.
    struct WrongClock;

    impl Clock for WrongClock {
        fn now(&self) -> DateTime<Utc> {
            DateTime::from_timestamp(4_000_000_000, 0).expect("a time")
        }
    }

    /// Ports in memory, with a clock that is years ahead.
    pub(crate) fn memory_ports() -> CollectPorts {
        let store = Arc::new(MemoryStore::default());
        CollectPorts {
            objects: Arc::new(MemoryObjects::new()),
            names: store.clone(),
            checkpoints: store,
            clock: Arc::new(WrongClock),
        }
    }
}
