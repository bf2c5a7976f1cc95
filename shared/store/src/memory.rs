//! The ports in memory: for tests, and as the simplest example of an adapter.

mod records;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::SubsecRound;
use gam_model::Month;

use crate::error::Result;
use crate::head::Epoch;
use crate::keys::{CheckpointKey, ItemClass, ItemKey, RecordKey, org_key};
use crate::port::{
    AdvanceOutcome, ChangeToken, CheckpointStore, FoldScope, Marker, NameEntry, NameKind, NameStore,
    OrgStore, PutOutcome, Revision, RollupStore, SaveOutcome, StoredCheckpoint, StoredItem,
};
use crate::record::Record;

/// A store in memory. Clones share their content, which is lost with the last clone.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    /// By organization in lower case.
    orgs: Arc<Mutex<BTreeMap<String, OrgData>>>,
    records: Arc<Mutex<BTreeMap<RecordKey, Record>>>,
    changes: Arc<ChangeCounter>,
}

/// Counts the writes of a store.
#[derive(Debug)]
struct ChangeCounter {
    /// Identifies the counter among those of this process.
    number: u64,
    /// It is raised while the content is locked.
    count: AtomicU64,
}

impl Default for ChangeCounter {
    fn default() -> Self {
        ChangeCounter { number: ChangeToken::new_counter(), count: 0.into() }
    }
}

/// Everything that is stored about one organization.
#[derive(Debug, Default)]
struct OrgData {
    items: BTreeMap<(Epoch, ItemKey), StoredItem>,
    markers: BTreeMap<(Epoch, Month), Marker>,
    names: BTreeMap<(NameKind, i64), NameEntry>,
    checkpoints: BTreeMap<String, StoredCheckpoint>,
}

impl OrgData {
    /// Returns whether the organization has a name or a head.
    fn is_listed(&self) -> bool {
        !self.names.is_empty() || self.checkpoints.contains_key("head")
    }
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, OrgData>> {
        // Every write is complete before the lock is released, so the content is valid after a panic as well.
        self.orgs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many items of an organization's epoch are stored.
    pub fn item_count(&self, org: &str, epoch: Epoch) -> usize {
        self.read(org, |stored| stored.items.keys().filter(|(of, _)| *of == epoch).count())
    }

    fn read<T: Default>(&self, org: &str, read: impl FnOnce(&OrgData) -> T) -> T {
        self.lock().get(&org_key(org)).map(read).unwrap_or_default()
    }

    fn write<T>(&self, org: &str, write: impl FnOnce(&mut OrgData) -> T) -> T {
        let mut orgs = self.lock();
        self.changes.count.fetch_add(1, Ordering::Release);
        write(orgs.entry(org_key(org)).or_default())
    }
}

#[async_trait]
impl RollupStore for MemoryStore {
    fn change_token(&self) -> Option<ChangeToken> {
        // Waits for a write in progress, so that nobody reads its effect with a token from before it.
        let _orgs = self.lock();
        Some(ChangeToken::new(self.changes.number, self.changes.count.load(Ordering::Acquire)))
    }

    async fn put(&self, org: &str, epoch: Epoch, items: &[(ItemKey, StoredItem)]) -> Result<PutOutcome> {
        Ok(self.write(org, |stored| {
            let mut outcome = PutOutcome::default();
            for (key, new) in items {
                match stored.items.entry((epoch, key.clone())) {
                    Entry::Vacant(vacant) => {
                        vacant.insert(new.clone());
                    }
                    Entry::Occupied(mut old) => {
                        if !outcome.record_if_refused(old.get().generation, new) {
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
        epoch: Epoch,
        class: &ItemClass,
        first: Month,
        last: Month,
    ) -> Result<Vec<(ItemKey, StoredItem)>> {
        let start = (epoch, ItemKey::new(class.clone(), first));
        Ok(self.read(org, |stored| {
            let from_start = stored.items.range(start..);
            from_start
                .take_while(|((of, key), _)| *of == epoch && key.class == *class && key.month <= last)
                .map(|((_, key), item)| (key.clone(), item.clone()))
                .collect()
        }))
    }

    async fn get(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<Vec<(ItemKey, StoredItem)>> {
        Ok(self.read(org, |stored| {
            let item = |key: &ItemKey| Some((key.clone(), stored.items.get(&(epoch, key.clone()))?.clone()));
            keys.iter().filter_map(item).collect()
        }))
    }

    async fn item_keys(&self, org: &str, epoch: Epoch) -> Result<Vec<ItemKey>> {
        Ok(self.read(org, |stored| {
            let of_epoch = stored.items.keys().filter(|(of, _)| *of == epoch);
            of_epoch.map(|(_, key)| key.clone()).collect()
        }))
    }

    async fn delete(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<()> {
        self.write(org, |stored| {
            for key in keys {
                stored.items.remove(&(epoch, key.clone()));
            }
        });
        Ok(())
    }

    async fn marker(&self, org: &str, epoch: Epoch, month: Month) -> Result<Option<Marker>> {
        Ok(self.read(org, |stored| stored.markers.get(&(epoch, month)).cloned()))
    }

    async fn markers(&self, org: &str, epoch: Epoch) -> Result<Vec<Marker>> {
        Ok(self.read(org, |stored| {
            let of_epoch = stored.markers.iter().filter(|((of, _), _)| *of == epoch);
            of_epoch.map(|(_, marker)| marker.clone()).collect()
        }))
    }

    async fn advance(
        &self,
        org: &str,
        epoch: Epoch,
        month: Month,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome> {
        Ok(self.write(org, |stored| {
            let old = stored.markers.get(&(epoch, month));
            match Marker::advanced(old, month, generation, scope) {
                Some(marker) => {
                    stored.markers.insert((epoch, month), marker);
                    AdvanceOutcome::Advanced
                }
                None => AdvanceOutcome::Refused,
            }
        }))
    }

    async fn delete_markers(&self, org: &str, epoch: Epoch, months: &[Month]) -> Result<()> {
        self.write(org, |stored| {
            for month in months {
                stored.markers.remove(&(epoch, *month));
            }
        });
        Ok(())
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
                    CheckpointKey::Org(_) | CheckpointKey::Head(_) => None,
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

#[async_trait]
impl OrgStore for MemoryStore {
    async fn delete_org(&self, org: &str) -> Result<()> {
        let org = org_key(org);
        self.records().retain(|key, _| key.org() != org);
        let mut orgs = self.lock();
        self.changes.count.fetch_add(1, Ordering::Release);
        orgs.remove(&org);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn passes_the_conformance_suite() {
        conformance::run(async || MemoryStore::default()).await;
        let store = MemoryStore::default();
        conformance::run_changes(&store, &store.clone()).await;
        assert_ne!(store.change_token(), MemoryStore::default().change_token(), "another store");
    }
}
