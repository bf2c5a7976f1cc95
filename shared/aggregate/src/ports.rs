//! What this use case needs from its host.

use std::sync::Arc;

use gam_lake::ObjectStore;
use gam_model::{Clock, Identity};
use gam_store::{CheckpointStore, NameStore, RollupStore};

/// The ports and settings of an aggregation. A composition root connects them once.
#[derive(Clone)]
pub struct AggregatePorts {
    /// The lake: inbox, snapshots and rejected batches.
    pub objects: Arc<dyn ObjectStore>,
    /// Rollups and markers.
    pub rollups: Arc<dyn RollupStore>,
    /// The latest names of organizations and repositories.
    pub names: Arc<dyn NameStore>,
    /// Checkpoints, to remember months that the lake has lost.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// The wall clock, for the time limit.
    pub clock: Arc<dyn Clock>,
    /// Bots and aliases. They are applied while folding.
    pub identity: Arc<Identity>,
}
