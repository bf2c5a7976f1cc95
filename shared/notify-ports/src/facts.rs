//! The organizations with channels, and what is the case for them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use gam_audit::{AuditPorts, stored_head};
use gam_lake::configuration::{CachedConfigurations, revisions};
use gam_lake::{ObjectStore, registry};
use gam_model::Clock;
use gam_notify::{FactSource, NotifyError, NotifyOrg, OrgFacts};
use gam_store::keys::CheckpointKey;
use gam_store::{Checkpoint, CheckpointStore, NameStore, OrgCheckpoint, RecordStore};

/// How long a change of a configuration may stay unnoticed.
const MAX_AGE: TimeDelta = TimeDelta::seconds(20);

type ReadOrgs = Option<(DateTime<Utc>, Vec<NotifyOrg>)>;

/// Reads configurations from the lake, and coverage from the store.
pub struct LakeFacts {
    lake: Arc<dyn ObjectStore>,
    names: Arc<dyn NameStore>,
    checkpoints: Arc<dyn CheckpointStore>,
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    configurations: CachedConfigurations,
    read: Mutex<ReadOrgs>,
}

impl LakeFacts {
    /// Connects to the lake and the store.
    pub fn new(
        lake: Arc<dyn ObjectStore>,
        (names, checkpoints): (Arc<dyn NameStore>, Arc<dyn CheckpointStore>),
        records: Arc<dyn RecordStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let configurations = CachedConfigurations::new(lake.clone(), clock.clone());
        LakeFacts { lake, names, checkpoints, records, clock, configurations, read: Mutex::default() }
    }

    async fn read_orgs(&self) -> Result<Vec<NotifyOrg>, NotifyError> {
        let registry = registry::read(&*self.lake).await.map_err(unreadable)?;
        let mut keys: BTreeSet<String> = registry.keys().map(str::to_owned).collect();
        keys.extend(self.names.orgs().await?.iter().map(|org| registry.key_of(org)));
        let mut orgs = Vec::new();
        for key in keys {
            let newest =
                revisions(&*self.lake, &key).await.map_err(unreadable)?.last().copied().unwrap_or_default();
            let configuration = self.configurations.revision(&key, newest).await.map_err(unreadable)?;
            if !configuration.notify.channels.is_empty() {
                let time_zone = configuration.identity.time_zone();
                orgs.push(NotifyOrg { key, settings: configuration.notify.clone(), time_zone });
            }
        }
        Ok(orgs)
    }
}

fn unreadable(error: gam_lake::Error) -> NotifyError {
    NotifyError::Facts { what: format!("cannot read the configurations: {}", gam_model::error_chain(&error)) }
}

#[async_trait]
impl FactSource for LakeFacts {
    async fn orgs(&self) -> Result<Vec<NotifyOrg>, NotifyError> {
        let now = self.clock.now();
        let kept = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, orgs)) = kept.filter(|(at, _)| (TimeDelta::zero()..MAX_AGE).contains(&(now - *at))) {
            let _ = at;
            return Ok(orgs);
        }
        let orgs = self.read_orgs().await?;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, orgs.clone()));
        Ok(orgs)
    }

    async fn facts(&self, org: &str) -> Result<OrgFacts, NotifyError> {
        let key = CheckpointKey::Org(org.to_owned());
        let checkpoint: Checkpoint<OrgCheckpoint> = Checkpoint::load(&*self.checkpoints, &key).await?;
        let (gaps, count) = checkpoint.value.list_gaps(None);
        let first = gaps.first().map(|gap| format!("{} of {}: {}", gap.kind, gap.repo, gap.why));
        let ports = AuditPorts {
            objects: self.lake.clone(),
            records: self.records.clone(),
            clock: self.clock.clone(),
        };
        let head = stored_head(&ports, Some(org)).await.map_err(|error| NotifyError::Facts {
            what: format!("cannot read the head of the audit log: {error}"),
        })?;
        Ok(OrgFacts {
            complete_until: checkpoint.value.org_complete_until(),
            gaps: first.map(|first| (usize::try_from(count).unwrap_or(usize::MAX), first)),
            audit_head: head.map(|head| (head.number, head.hash.to_string())),
        })
    }
}
