//! The ports in memory: for tests, and as the simplest example of an adapter.

mod records;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{NaiveDate, SubsecRound};
use gam_model::{Grain, Month};

use crate::error::Result;
use crate::keys::{CheckpointKey, RecordKey, RollupKey, Subject, SubjectKind, org_key};
use crate::port::{
    AdvanceOutcome, CheckpointStore, FoldScope, Logic, Marker, NameEntry, NameKind, NameStore, PutOutcome,
    Revision, RollupStore, SaveOutcome, StoredCheckpoint, StoredRollup,
};
use crate::record::Record;

/// A store in memory. Clones share their content, which is lost with the last clone.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    /// By organization in lower case.
    orgs: Arc<Mutex<BTreeMap<String, OrgData>>>,
    records: Arc<Mutex<BTreeMap<RecordKey, Record>>>,
}

/// Everything that is stored about one organization.
#[derive(Debug, Default)]
struct OrgData {
    rollups: BTreeMap<RollupKey, StoredRollup>,
    markers: BTreeMap<Month, Marker>,
    names: BTreeMap<(NameKind, i64), NameEntry>,
    checkpoints: BTreeMap<String, StoredCheckpoint>,
}

impl OrgData {
    /// Returns whether the organization has a name or a marker.
    fn is_listed(&self) -> bool {
        !self.names.is_empty() || !self.markers.is_empty()
    }
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, OrgData>> {
        // Every write is complete before the lock is released, so the content is valid after a panic as well.
        self.orgs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T: Default>(&self, org: &str, read: impl FnOnce(&OrgData) -> T) -> T {
        self.lock().get(&org_key(org)).map(read).unwrap_or_default()
    }

    fn write<T>(&self, org: &str, write: impl FnOnce(&mut OrgData) -> T) -> T {
        write(self.lock().entry(org_key(org)).or_default())
    }
}

#[async_trait]
impl RollupStore for MemoryStore {
    async fn put(&self, org: &str, rollups: &[(RollupKey, StoredRollup)]) -> Result<PutOutcome> {
        Ok(self.write(org, |stored| {
            let mut outcome = PutOutcome::default();
            for (key, new) in rollups {
                match stored.rollups.entry(key.clone()) {
                    Entry::Vacant(vacant) => {
                        vacant.insert(new.clone());
                    }
                    Entry::Occupied(mut old) => {
                        let (version, generation) = (old.get().logic.version, old.get().generation);
                        if !outcome.record_if_refused(version, generation, new) {
                            old.insert(new.clone());
                        }
                    }
                }
            }
            outcome
        }))
    }

    async fn range(
        &self,
        org: &str,
        subject: &Subject,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(RollupKey, StoredRollup)>> {
        // A bucket never starts after the month that it derives from, so no key of `from` is less than this one.
        let first = RollupKey { subject: subject.clone(), grain, start: from, month: Month::of(from) };
        Ok(self.read(org, |stored| {
            stored
                .rollups
                .range(first..)
                .take_while(|(key, _)| key.subject == *subject && key.grain == grain && key.start < to)
                .map(|(key, rollup)| (key.clone(), rollup.clone()))
                .collect()
        }))
    }

    async fn range_of_kind(
        &self,
        org: &str,
        kind: SubjectKind,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(RollupKey, StoredRollup)>> {
        let matches = |key: &RollupKey| {
            key.subject.kind() == kind && key.grain == grain && from <= key.start && key.start < to
        };
        Ok(self.read(org, |stored| {
            stored
                .rollups
                .iter()
                .filter(|(key, _)| matches(key))
                .map(|(key, rollup)| (key.clone(), rollup.clone()))
                .collect()
        }))
    }

    async fn marker(&self, org: &str, month: Month) -> Result<Option<Marker>> {
        Ok(self.read(org, |stored| stored.markers.get(&month).cloned()))
    }

    async fn markers(&self, org: &str) -> Result<Vec<Marker>> {
        Ok(self.read(org, |stored| stored.markers.values().cloned().collect()))
    }

    async fn advance(
        &self,
        org: &str,
        month: Month,
        logic: &Logic,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome> {
        Ok(self.write(org, |stored| {
            match Marker::advanced(stored.markers.get(&month), month, logic, generation, scope) {
                Some(marker) => {
                    stored.markers.insert(month, marker);
                    AdvanceOutcome::Advanced
                }
                None => AdvanceOutcome::Refused,
            }
        }))
    }
}

#[async_trait]
impl NameStore for MemoryStore {
    async fn put_names(&self, org: &str, entries: &[NameEntry]) -> Result<()> {
        self.write(org, |stored| {
            for entry in entries {
                let new = NameEntry { as_of: entry.as_of.trunc_subsecs(3), ..entry.clone() };
                let old = stored.names.entry((new.kind, new.id)).or_insert_with(|| new.clone());
                if (new.as_of, &new.name) > (old.as_of, &old.name) {
                    *old = new;
                }
            }
        });
        Ok(())
    }

    async fn names(&self, org: &str, kind: NameKind) -> Result<Vec<NameEntry>> {
        Ok(self
            .read(org, |stored| stored.names.values().filter(|entry| entry.kind == kind).cloned().collect()))
    }

    async fn orgs(&self) -> Result<Vec<String>> {
        let display_name = |(key, stored): (&String, &OrgData)| match stored.names.get(&(NameKind::Org, 0)) {
            Some(entry) => entry.name.clone(),
            None => key.clone(),
        };
        let is_listed = |(_, stored): &(&String, &OrgData)| stored.is_listed();
        Ok(self.lock().iter().filter(is_listed).map(display_name).collect())
    }

    async fn org(&self, org: &str) -> Result<Option<String>> {
        let key = org_key(org);
        Ok(self.lock().get(&key).filter(|stored| stored.is_listed()).map(|stored| {
            stored.names.get(&(NameKind::Org, 0)).map_or_else(|| key.clone(), |entry| entry.name.clone())
        }))
    }
}

#[async_trait]
impl CheckpointStore for MemoryStore {
    async fn load(&self, key: &CheckpointKey) -> Result<Option<StoredCheckpoint>> {
        Ok(self.read(&key.org(), |stored| stored.checkpoints.get(&key.name()).cloned()))
    }

    async fn load_repos(&self, org: &str) -> Result<Vec<(i64, StoredCheckpoint)>> {
        let repos: BTreeMap<i64, StoredCheckpoint> = self.read(org, |stored| {
            let repo =
                |(name, checkpoint): (&String, &StoredCheckpoint)| match CheckpointKey::parse(org, name)? {
                    CheckpointKey::Repo(_, id) => Some((id, checkpoint.clone())),
                    CheckpointKey::Org(_) => None,
                };
            stored.checkpoints.iter().filter_map(repo).collect()
        });
        Ok(repos.into_iter().collect())
    }

    async fn save(&self, key: &CheckpointKey, body: &str, expected: Option<Revision>) -> Result<SaveOutcome> {
        Ok(self.write(&key.org(), |stored| {
            let current = stored.checkpoints.get(&key.name()).map(|checkpoint| checkpoint.revision);
            if current != expected {
                return SaveOutcome::Conflict;
            }
            let revision = Revision(current.map_or(1, |revision| revision.0 + 1));
            stored.checkpoints.insert(key.name(), StoredCheckpoint { revision, body: body.to_owned() });
            SaveOutcome::Saved(revision)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn passes_the_conformance_suite() {
        conformance::run(async || MemoryStore::default()).await;
    }
}
