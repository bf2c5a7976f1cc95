//! What this use case needs from its host.

use std::sync::Arc;

use gam_model::{Clock, Identity};
use gam_store::{CheckpointStore, NameStore, RollupStore};

/// The ports and settings of all queries. A composition root connects them once. Queries only read.
#[derive(Clone)]
pub struct QueryPorts {
    /// Rollups and markers.
    pub rollups: Arc<dyn RollupStore>,
    /// The latest names of organizations, repositories and members.
    pub names: Arc<dyn NameStore>,
    /// Checkpoints, for `complete_since` and `complete_until`.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// The wall clock, for the default range, which ends with today.
    pub clock: Arc<dyn Clock>,
    /// Aliases, for finding a member by any of its names.
    pub identity: Arc<Identity>,
}
