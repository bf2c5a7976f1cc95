//! What answers depend on, other than their request.

use std::sync::Arc;

use gam_model::OrgRegistry;
use gam_store::ChangeToken;

use crate::QueryPorts;

const SECONDS_PER_MINUTE: i64 = 60;

/// What an answer depends on, other than its request: the content of the store, the registry of organizations, and the
/// minute. If the stamps from before and after an answer was computed are equal, the same request has the same answer
/// as long as the stamp stays equal.
///
/// The store's content includes rules, generations, names and checkpoints. In every time zone, days begin with a
/// minute. What a lake of an older version configures is read again after a minute.
#[derive(Debug, Clone)]
pub struct AnswerStamp {
    change_token: ChangeToken,
    registry: Arc<OrgRegistry>,
    /// Minutes since 1970-01-01T00:00:00Z.
    minute: i64,
}

impl PartialEq for AnswerStamp {
    fn eq(&self, other: &Self) -> bool {
        // Usually both have the same registry; then there is no need to compare its content.
        let has_same_registry =
            || Arc::ptr_eq(&self.registry, &other.registry) || self.registry == other.registry;
        self.change_token == other.change_token && self.minute == other.minute && has_same_registry()
    }
}

impl AnswerStamp {
    /// Returns the present stamp. `None` if the store has no change tokens, or the registry cannot be read. The rollups,
    /// the names and the checkpoints of `ports` must belong to one store.
    pub async fn now(ports: &QueryPorts) -> Option<Self> {
        let registry = ports.registry.registry().await.ok()?;
        let minute = ports.clock.now().timestamp().div_euclid(SECONDS_PER_MINUTE);
        Some(AnswerStamp { change_token: ports.rollups.change_token()?, registry, minute })
    }
}
