//! What this use case needs from its host.

use std::sync::Arc;

use gam_lake::ObjectStore;
use gam_model::Clock;
use gam_store::{CheckpointStore, NameStore, RollupStore};

/// The ports and settings of an aggregation. A composition root connects them once.
#[derive(Clone)]
pub struct AggregatePorts {
    /// The lake: inbox, snapshots, rejected batches and configurations.
    pub objects: Arc<dyn ObjectStore>,
    /// Items and markers.
    pub rollups: Arc<dyn RollupStore>,
    /// The latest names of organizations and repositories.
    pub names: Arc<dyn NameStore>,
    /// Checkpoints: the head of the epochs, and the months that the lake has lost.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// The wall clock, for the time limit and the time at which epochs retire.
    pub clock: Arc<dyn Clock>,
}
