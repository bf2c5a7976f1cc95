//! The rules of a run: the code's logic and the newest configuration.

use std::sync::Arc;

use gam_lake::configuration;
use gam_model::{Identity, Retention, TimeZone};
use gam_store::Logic;

use crate::{AggregateError, AggregatePorts};

/// What a fold applies, and how it is ordered among other rules.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Bots, aliases, excluded repositories and the time zone.
    pub(crate) identity: Arc<Identity>,
    pub(crate) logic: Logic,
}

impl Rules {
    /// Loads the organization's newest configuration. `logic_version` is that of the program.
    pub(crate) async fn load(
        ports: &AggregatePorts,
        org: &str,
        logic_version: u32,
    ) -> Result<Self, AggregateError> {
        let revision = configuration::latest(&*ports.objects, org).await?;
        let identity = revision.configuration.identity;
        let logic = Logic {
            version: logic_version,
            revision: revision.number,
            identity: identity.hash(),
            time_zone: identity.time_zone().name().to_owned(),
            time_zones: TimeZone::DATABASE_VERSION.to_owned(),
            session_retention_days: identity.session_retention().map(Retention::days),
        };
        Ok(Rules { identity: Arc::new(identity), logic })
    }
}
