//! What every use case works with.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use gam_lake::ObjectStore;
use gam_model::Identity;
use gam_store::{CheckpointStore, RollupStore};

/// The wall clock, UTC. It stamps `collected_at` and says which day is today; no watermark and no
/// version ever comes from it.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// Ports, clock and settings, built once by a composition root.
#[derive(Clone)]
pub struct Context {
    /// The lake's objects.
    pub objects: Arc<dyn ObjectStore>,
    /// Rollups, markers and names.
    pub rollups: Arc<dyn RollupStore>,
    /// Collection's resume points.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Bots and aliases, applied while folding.
    pub identity: Arc<Identity>,
}
