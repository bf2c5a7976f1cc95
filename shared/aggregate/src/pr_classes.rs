//! Classes of merged pull requests: items that derive from three snapshots.
//!
//! A month's item names the generations of the snapshot of the month in the table `events`, and of those of the month and
//! the one before in the table `sessions`. Its own generation is their sum: none of them ever becomes smaller, so a
//! greater sum is newer. A marker has the sum. Every aggregation compares it and folds the months whose sum is greater.

use std::collections::{BTreeMap, BTreeSet};

use gam_fold::fold_pr_classes;
use gam_lake::snapshot::{self, SnapshotFile};
use gam_lake::{Error as LakeError, Events, Sessions, Table};
use gam_model::{ItemClass, ItemKey, Month, SubjectKind};
use gam_rollup::StoredForm;
use gam_store::keys::{PR_CLASSES, rollup_owner};
use gam_store::{Epoch, FoldScope, StoredItem};

use crate::lake_rows::{LakeRows, fold_error};
use crate::month::run_blocking;
use crate::{AggregateError, AggregateRun};

/// The class of the items.
const CLASS: ItemClass = ItemClass::List(SubjectKind::Repo);

/// The snapshots that an item derives from: of the table `events`, and of the table `sessions` of the month and of the one
/// before.
type Sources = (Option<SnapshotFile<Events>>, [Option<SnapshotFile<Sessions>>; 2]);

impl AggregateRun<'_> {
    /// Folds the classes of the pull requests of every month whose item derives from other generations of its snapshots.
    /// Returns the number of items. Without sessions there are none.
    pub(crate) async fn refresh_pr_classes(&self) -> Result<usize, AggregateError> {
        let objects = &*self.ports.objects;
        let sessions: BTreeSet<Month> =
            snapshot::months::<Sessions>(objects, self.org).await?.into_iter().collect();
        let months = snapshot::months::<Events>(objects, self.org).await?.into_iter();
        let months: Vec<Month> = months
            .filter(|month| {
                sessions.contains(month) || month.previous().is_some_and(|it| sessions.contains(&it))
            })
            .collect();
        if months.is_empty() {
            return Ok(0);
        }
        let owner = rollup_owner(self.org, PR_CLASSES);
        let markers = self.ports.rollups.markers(&owner, self.epoch).await?.into_iter();
        let folded: BTreeMap<Month, u64> = markers.map(|marker| (marker.month, marker.generation)).collect();
        // The sessions of a month belong to two items.
        let mut of_sessions = BTreeMap::new();
        for month in sessions {
            of_sessions.insert(month, self.generation::<Sessions>(month).await?);
        }
        let mut items = 0;
        for month in months {
            let sessions_of = |month: Month| of_sessions.get(&month).copied().unwrap_or(Some(0));
            let before = month.previous().map_or(Some(0), sessions_of);
            let generations = [self.generation::<Events>(month).await?, sessions_of(month), before];
            // A month of which a snapshot belongs to another epoch is folded later.
            let Some(current) = generations.into_iter().sum::<Option<u64>>() else { continue };
            if folded.get(&month).is_none_or(|folded| *folded < current) {
                match self.fold_pr_classes(&owner, month).await {
                    // Whoever folds the month reports it.
                    Err(error) if error.is_unreadable_month() => {}
                    is_stored => items += usize::from(is_stored?),
                }
            }
        }
        Ok(items)
    }

    /// Returns the generation of a snapshot, 0 if there is none; `None` if it belongs to another epoch or cannot be read.
    async fn generation<T: Table>(&self, month: Month) -> Result<Option<u64>, AggregateError> {
        let stamp = match snapshot::read_stamp::<T>(&*self.ports.objects, self.org, month).await {
            Err(LakeError::Damaged { .. }) => return Ok(None),
            stamp => stamp?,
        };
        Ok(match stamp {
            None => Some(0),
            Some(stamp) => (stamp.epoch == self.epoch.0).then_some(stamp.generation),
        })
    }

    async fn fetch_sources(&self, month: Month) -> Result<Sources, AggregateError> {
        let objects = &*self.ports.objects;
        let events = snapshot::fetch::<Events>(objects, self.org, month).await?;
        let of_month = snapshot::fetch::<Sessions>(objects, self.org, month).await?;
        let before = match month.previous() {
            Some(before) => snapshot::fetch::<Sessions>(objects, self.org, before).await?,
            None => None,
        };
        Ok((events, [of_month, before]))
    }

    /// Folds a month's item. Returns `false` if there is nothing to fold, or another run has stored a newer one.
    async fn fold_pr_classes(&self, owner: &str, month: Month) -> Result<bool, AggregateError> {
        let (events, sessions) = self.fetch_sources(month).await?;
        let Some(events) = events else { return Ok(false) };
        let generation_of =
            |file: &Option<SnapshotFile<Sessions>>| file.as_ref().map_or(0, |file| file.stamp.generation);
        let [of_month, before] = sessions.each_ref().map(generation_of);
        let generations = [events.stamp.generation, of_month, before];
        let sessions: Vec<LakeRows<Sessions>> =
            sessions.into_iter().flatten().map(|file| LakeRows(file.rows)).collect();
        let identity = self.rules.identity.clone();
        let fold = move || fold_pr_classes(month, &LakeRows(events.rows), &sessions, generations, &identity);
        let item = run_blocking(fold).await.map_err(|error| fold_error(self.org, month, error))?;
        let generation = generations.iter().sum();
        let stored = StoredItem { generation, body: item.encode() };
        let rollups = &*self.ports.rollups;
        let put = rollups.put(owner, self.epoch, &[(ItemKey::new(CLASS, month), stored)]).await?;
        if put.refused == 0 {
            // Refused if another run is ahead: its item is newer.
            rollups.advance(owner, self.epoch, month, generation, FoldScope::Month).await?;
        }
        Ok(put.refused == 0)
    }

    /// Deletes the items of an epoch that nobody reads any more.
    pub(crate) async fn delete_pr_classes(&self, epoch: Epoch) -> Result<(), AggregateError> {
        let (rollups, owner) = (&*self.ports.rollups, rollup_owner(self.org, PR_CLASSES));
        let months: Vec<Month> =
            rollups.markers(&owner, epoch).await?.into_iter().map(|marker| marker.month).collect();
        let keys: Vec<ItemKey> = months.iter().map(|month| ItemKey::new(CLASS, *month)).collect();
        rollups.delete(&owner, epoch, &keys).await?;
        rollups.delete_markers(&owner, epoch, &months).await?;
        Ok(())
    }
}
