//! What this use case needs from its host.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use gam_model::{Clock, Identity, OrgRegistry};
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
    pub identities: Arc<dyn IdentitySource>,
    /// The registry of organizations, for finding one by any of its names.
    pub registry: Arc<dyn RegistrySource>,
}

/// Returns the rules for bots and aliases of an organization.
#[async_trait]
pub trait IdentitySource: Send + Sync {
    /// Returns the rules of a revision of the configuration of the organization with this storage key.
    ///
    /// # Errors
    /// If the rules cannot be read.
    async fn identity(&self, org: &str, revision: u32)
    -> Result<Arc<Identity>, Box<dyn Error + Send + Sync>>;
}

/// The same rules for every organization and revision.
#[async_trait]
impl IdentitySource for Identity {
    async fn identity(
        &self,
        _org: &str,
        _revision: u32,
    ) -> Result<Arc<Identity>, Box<dyn Error + Send + Sync>> {
        Ok(Arc::new(self.clone()))
    }
}

/// Returns the registry of organizations.
#[async_trait]
pub trait RegistrySource: Send + Sync {
    /// Returns the registry as it is now, or was a short time ago.
    ///
    /// # Errors
    /// If the registry cannot be read.
    async fn registry(&self) -> Result<Arc<OrgRegistry>, Box<dyn Error + Send + Sync>>;
}

/// A registry that never changes.
#[async_trait]
impl RegistrySource for OrgRegistry {
    async fn registry(&self) -> Result<Arc<OrgRegistry>, Box<dyn Error + Send + Sync>> {
        Ok(Arc::new(self.clone()))
    }
}
