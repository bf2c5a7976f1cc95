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
    /// The wall clock, for `collected_at` and for the current day.
    pub clock: Arc<dyn Clock>,
}

/// The ports of a dry run, which writes nothing.
#[derive(Clone)]
pub struct DryRunPorts {
    /// How far each repository has been read; `None` if there is no store yet.
    pub checkpoints: Option<Arc<dyn CheckpointStore>>,
    /// The wall clock, for the current day.
    pub clock: Arc<dyn Clock>,
}
