//! What this use case needs from its host.

use std::sync::Arc;

use gam_model::{Clock, Identity};
use gam_store::{CheckpointStore, NameStore, RollupStore};

/// The ports and settings of all queries, connected once by a composition root. Queries only read.
#[derive(Clone)]
pub struct QueryPorts {
    /// Rollups and their markers.
    pub rollups: Arc<dyn RollupStore>,
    /// The registry of names.
    pub names: Arc<dyn NameStore>,
    /// Checkpoints, for `complete_since` and `complete_until`.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// The wall clock, for which day is today.
    pub clock: Arc<dyn Clock>,
    /// Aliases, for finding a member by any of its names.
    pub identity: Arc<Identity>,
}
