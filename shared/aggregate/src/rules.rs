//! The rules of a run: the code's logic and the newest configuration.

use std::sync::Arc;

use gam_fold::LOGIC_VERSION;
use gam_lake::configuration;
use gam_model::Identity;
use gam_store::Logic;

use crate::{AggregateError, AggregatePorts};

/// The version of the time-zone database that decides where days begin. All days are UTC days.
const TIME_ZONES_VERSION: &str = "";

/// What a fold applies, and how it is ordered among other rules.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Bots, aliases and excluded repositories.
    pub(crate) identity: Arc<Identity>,
    pub(crate) logic: Logic,
}

impl Rules {
    /// Loads the organization's newest configuration.
    pub(crate) async fn load(ports: &AggregatePorts, org: &str) -> Result<Self, AggregateError> {
        let revision = configuration::latest(&*ports.objects, org).await?;
        let identity = revision.configuration.identity;
        let logic = Logic {
            version: LOGIC_VERSION,
            revision: revision.number,
            identity: identity.hash(),
            time_zones: TIME_ZONES_VERSION.to_owned(),
        };
        Ok(Rules { identity: Arc::new(identity), logic })
    }
}
