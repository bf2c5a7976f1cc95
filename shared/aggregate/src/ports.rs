//! What this use case needs from its host.

use std::sync::Arc;

use gam_lake::ObjectStore;
use gam_model::{Clock, Identity};
use gam_store::{NameStore, RollupStore};

/// The ports and settings of an aggregation, connected once by a composition root.
#[derive(Clone)]
pub struct AggregatePorts {
    /// The lake: inbox and snapshots.
    pub objects: Arc<dyn ObjectStore>,
    /// Rollups and their markers.
    pub rollups: Arc<dyn RollupStore>,
    /// The registry of names.
    pub names: Arc<dyn NameStore>,
    /// The wall clock, for stopping in time.
    pub clock: Arc<dyn Clock>,
    /// Bots and aliases, applied while folding.
    pub identity: Arc<Identity>,
}
