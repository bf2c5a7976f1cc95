//! The organizations with channels, and what is the case for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use gam_audit::{AuditPorts, stored_head};
use gam_lake::configuration::{CachedConfigurations, revisions};
use gam_lake::{ObjectStore, registry};
use gam_model::{Clock, error_chain};
use gam_notify::{FactSource, NotifyError, NotifyOrg, OrgFacts};
use gam_store::keys::CheckpointKey;
use gam_store::{Checkpoint, CheckpointStore, NameStore, OrgCheckpoint, RecordStore, work_orgs};

/// How long a change of a configuration may stay unnoticed.
const MAX_AGE: TimeDelta = TimeDelta::seconds(20);

/// What was read last.
#[derive(Debug, Default)]
struct ReadOrgs {
    /// When, UTC. `None` if nothing was read yet.
    at: Option<DateTime<Utc>>,
    orgs: Vec<NotifyOrg>,
    /// Why configurations cannot be read, by storage key. It is reported once.
    unreadable: BTreeMap<String, String>,
}

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

    /// Reads the settings of all organizations. If the configuration of one cannot be read, its last settings apply, and
    /// the others are not affected.
    async fn read_orgs(&self) -> Result<Vec<NotifyOrg>, NotifyError> {
        let registry = registry::read(&*self.lake).await.map_err(|error| unreadable(&error))?;
        let mut keys: BTreeSet<String> = registry.keys().map(str::to_owned).collect();
        keys.extend(self.names.orgs().await?.iter().map(|org| registry.key_of(org)));
        keys.extend(work_orgs(&*self.records, self.clock.now()).await?);
        let mut results = Vec::new();
        for key in keys {
            results.push((self.read_org(&key).await, key));
        }
        let (mut orgs, mut failed) = (Vec::new(), BTreeMap::new());
        let mut read = self.lock();
        for (result, org) in results {
            match result {
                Ok(found) => orgs.extend(found),
                Err(error) => {
                    orgs.extend(read.orgs.iter().find(|kept| kept.key == org).cloned());
                    let why = error_chain(&error);
                    if read.unreadable.get(&org) != Some(&why) {
                        tracing::error!(
                            org,
                            why,
                            "cannot read the configuration, so notifications follow the last one that was read, or are not \
                             sent: set it again with `github-metrics config set`"
                        );
                    }
                    failed.insert(org, why);
                }
            }
        }
        *read = ReadOrgs { at: Some(self.clock.now()), orgs: orgs.clone(), unreadable: failed };
        Ok(orgs)
    }

    /// Returns the settings of an organization, or `None` if it has no channel.
    async fn read_org(&self, key: &str) -> gam_lake::Result<Option<NotifyOrg>> {
        let org = self.settings(key).await?;
        Ok(Some(org).filter(|org| !org.settings.channels.is_empty()))
    }

    /// Returns the settings of an organization, by its storage key, also if it has no channel.
    ///
    /// # Errors
    /// If the configuration cannot be read.
    pub async fn settings(&self, key: &str) -> gam_lake::Result<NotifyOrg> {
        let newest = revisions(&*self.lake, key).await?.last().copied().unwrap_or_default();
        let configuration = self.configurations.revision(key, newest).await?;
        Ok(NotifyOrg {
            key: key.to_owned(),
            settings: configuration.notify.clone(),
            time_zone: configuration.identity.time_zone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, ReadOrgs> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreadable(error: &gam_lake::Error) -> NotifyError {
    NotifyError::Facts { what: format!("cannot read the organizations: {}", error_chain(error)) }
}

#[async_trait]
impl FactSource for LakeFacts {
    async fn orgs(&self) -> Result<Vec<NotifyOrg>, NotifyError> {
        let now = self.clock.now();
        {
            let read = self.lock();
            if read.at.is_some_and(|at| (TimeDelta::zero()..MAX_AGE).contains(&(now - at))) {
                return Ok(read.orgs.clone());
            }
        }
        self.read_orgs().await
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use gam_lake::{MemoryObjects, paths};
    use gam_store::{MemoryStore, NameEntry, NameKind};

    use super::*;

    struct TestClock(Mutex<DateTime<Utc>>);

    impl TestClock {
        fn advance(&self, seconds: i64) {
            *self.0.lock().unwrap() += TimeDelta::seconds(seconds);
        }
    }

    impl Clock for TestClock {
        fn now(&self) -> DateTime<Utc> {
            *self.0.lock().unwrap()
        }
    }

    #[tokio::test]
    async fn a_configuration_that_cannot_be_read_stops_no_other_organization() {
        let (lake, store) = (Arc::new(MemoryObjects::default()), Arc::new(MemoryStore::default()));
        let clock = Arc::new(TestClock(Mutex::new("2026-03-01T10:00:00Z".parse().unwrap())));
        let slack = "[[notify.channels]]\nname = \"ops\"\ntype = \"slack\"\nurl = \"NOTIFY_A\"\n";
        let set = async |org: &str, number: u32, text: &str| {
            let path = paths::configuration(org, number);
            lake.put_if_absent(&path, Bytes::from(text.to_owned()), &[]).await.unwrap();
        };
        for org in ["acme", "beta", "zeta"] {
            let name = org.to_owned();
            let entry = NameEntry { kind: NameKind::Org, id: 0, name, as_of: clock.now() };
            store.put_names(org, &[entry]).await.unwrap();
            set(org, 1, slack).await;
        }
        let facts =
            LakeFacts::new(lake.clone(), (store.clone(), store.clone()), store.clone(), clock.clone());
        let names = async || facts.orgs().await.unwrap().into_iter().map(|org| org.key).collect::<Vec<_>>();
        set("acme", 2, "not = [a configuration").await;
        assert_eq!(names().await, ["beta", "zeta"]);
        set("beta", 2, "not = [a configuration").await;
        clock.advance(30);
        assert_eq!(names().await, ["beta", "zeta"], "the last settings apply");
        assert_eq!(facts.lock().unreadable.len(), 2);
        set("acme", 3, slack).await;
        clock.advance(30);
        assert_eq!(names().await, ["acme", "beta", "zeta"]);
    }
}
