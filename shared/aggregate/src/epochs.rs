//! Epochs: which one a run works in, when answers switch to a new one, and when an old one is deleted. The rules are at
//! the top of this crate.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use gam_lake::{Events, Sessions, snapshot};
use gam_model::{ItemClass, ItemKey, Month, Subject, SubjectKind};
use gam_store::{Checkpoint, Epoch, EpochRules, FoldScope, Head, Logic, RetiredEpoch, StoredItem};

use crate::folded_table::FoldedTable;
use crate::month::NewerEpoch;
use crate::rules::Rules;
use crate::{AggregateError, AggregatePorts, AggregateProgress, AggregateRun};

/// How long an epoch is kept after the last reader can have begun to read it.
const DELETE_AFTER: TimeDelta = TimeDelta::minutes(15);

/// How often the head is loaded again while others change it.
const MAX_HEAD_ATTEMPTS: usize = 64;

/// The most items that one call deletes or copies.
const MAX_CALL_ITEMS: usize = 5_000;

/// The kinds of subjects that have lists.
const LISTED: [SubjectKind; 2] = [SubjectKind::Repo, SubjectKind::Member];

/// Which epoch a run works in.
pub(crate) enum Entered {
    /// This one.
    Epoch {
        epoch: Epoch,
        /// Whether this run has set it as a target, so that every month is to be folded.
        is_new_target: bool,
    },
    /// None: the store has the rules of a newer program.
    Behind,
}

/// Returns the epoch to work in with these rules. Sets a new target if the rules are greater than those of the
/// newest epoch.
pub(crate) async fn enter(
    ports: &AggregatePorts,
    org: &str,
    rules: &Rules,
    observer: &dyn crate::AggregateObserver,
) -> Result<Entered, AggregateError> {
    for _ in 0..MAX_HEAD_ATTEMPTS {
        let mut head = Checkpoint::load_head(&*ports.checkpoints, org).await?;
        let Some(newest) = head.value.newest().cloned() else {
            let (first, months) = first_head(ports, org, rules).await?;
            let entered = first.newest().cloned();
            head.value = first;
            if head.save_head(&*ports.checkpoints, org).await?
                && let Some(epoch) = entered
            {
                if months > 0 {
                    observer.notice(AggregateProgress::StoreIsNew { org: org.to_owned(), months });
                }
                return Ok(Entered::Epoch { epoch: epoch.epoch, is_new_target: months > 0 });
            }
            continue;
        };
        if newest.logic == rules.logic {
            return Ok(Entered::Epoch { epoch: newest.epoch, is_new_target: false });
        }
        if rules.logic.is_behind(&newest.logic) {
            return Ok(Entered::Behind);
        }
        let entered = if rules.logic.folds_like(&newest.logic) {
            rename_newest(&mut head.value, &rules.logic)
        } else {
            set_target(ports, &mut head.value, Epoch(newest.epoch.0 + 1), &rules.logic)
        };
        if head.save_head(&*ports.checkpoints, org).await? {
            let is_new_target = entered.epoch != newest.epoch;
            if is_new_target {
                observer.notice(AggregateProgress::RulesChanged { org: org.to_owned() });
            }
            return Ok(Entered::Epoch { epoch: entered.epoch, is_new_target });
        }
    }
    Err(AggregateError::HeadContended { org: org.to_owned() })
}

/// Returns the first head of a store, and the number of months that the lake has already.
///
/// The lake's snapshots can carry epochs of a store that was lost. If all carry the same one, and this version of the
/// logic, the new store goes on with it. Otherwise the first number is greater than all of them, and every snapshot is
/// written again. If there are snapshots, answers wait until all months are folded: a part of them would look complete.
async fn first_head(
    ports: &AggregatePorts,
    org: &str,
    rules: &Rules,
) -> Result<(Head, usize), AggregateError> {
    let mut stamps = BTreeSet::new();
    let months = read_stamps::<Events>(ports, org, &mut stamps).await?
        + read_stamps::<Sessions>(ports, org, &mut stamps).await?;
    let number = match (stamps.len(), stamps.last()) {
        (1, Some(&(epoch, version))) if epoch > 0 && version == rules.logic.version => epoch,
        (_, newest) => newest.map_or(1, |(epoch, _)| epoch + 1),
    };
    let epoch = Some(EpochRules { epoch: Epoch(number), logic: rules.logic.clone() });
    let head = match months {
        0 => Head { active: epoch, ..Head::default() },
        _ => Head { target: epoch, ..Head::default() },
    };
    Ok((head, months))
}

/// Adds the epochs of a table's snapshots, with the versions of the logic, and returns the number of months. Epoch 0
/// stands for none: earlier versions of the program folded nothing from the table `sessions`.
async fn read_stamps<T: FoldedTable>(
    ports: &AggregatePorts,
    org: &str,
    stamps: &mut BTreeSet<(u64, u32)>,
) -> Result<usize, AggregateError> {
    let months = snapshot::months::<T>(&*ports.objects, org).await?;
    for month in &months {
        match snapshot::read_stamp::<T>(&*ports.objects, org, *month).await {
            // Folding the month reports it.
            Err(gam_lake::Error::Damaged { .. }) => {}
            stamp => {
                let stamp = stamp?.map(|stamp| (stamp.epoch, stamp.logic_version));
                stamps.extend(stamp.filter(|(epoch, _)| *epoch > 0 || T::IS_COLLECTED));
            }
        }
    }
    Ok(months.len())
}

/// Gives the newest epoch the number of a revision that folds alike.
fn rename_newest(head: &mut Head, logic: &Logic) -> EpochRules {
    let newest = head.target.as_mut().or(head.active.as_mut()).expect("there is a newest epoch");
    newest.logic = logic.clone();
    newest.clone()
}

/// Returns the keys of a month's lists.
fn list_keys(month: Month) -> Vec<ItemKey> {
    LISTED.map(|kind| ItemKey::new(ItemClass::List(kind), month)).to_vec()
}

/// Sets a new target with this number.
fn set_target(ports: &AggregatePorts, head: &mut Head, epoch: Epoch, logic: &Logic) -> EpochRules {
    let target = EpochRules { epoch, logic: logic.clone() };
    if let Some(abandoned) = head.target.replace(target.clone()) {
        head.retired.push(RetiredEpoch { epoch: abandoned.epoch, since: ports.clock.now() });
    }
    target
}

impl AggregateRun<'_> {
    pub(crate) async fn load_head(&self) -> Result<Checkpoint<Head>, AggregateError> {
        Ok(Checkpoint::load_head(&*self.ports.checkpoints, self.org).await?)
    }

    async fn save_head(&self, head: &mut Checkpoint<Head>) -> Result<bool, AggregateError> {
        Ok(head.save_head(&*self.ports.checkpoints, self.org).await?)
    }

    /// Returns whether the run's epoch is still the newest one.
    pub(crate) async fn is_newest_epoch(&self) -> Result<bool, AggregateError> {
        let head = self.load_head().await?;
        Ok(head.value.newest().is_some_and(|newest| newest.epoch == self.epoch))
    }

    /// Returns whether the run's epoch is a target in which no month is folded yet.
    pub(crate) async fn is_target_without_months(&self) -> Result<bool, AggregateError> {
        let head = self.load_head().await?;
        let is_target = head.value.target.is_some_and(|target| target.epoch == self.epoch);
        let rollups = &*self.ports.rollups;
        Ok(is_target
            && rollups.markers(self.org, self.epoch).await?.is_empty()
            && rollups.markers(&Sessions::owner(self.org), self.epoch).await?.is_empty())
    }

    /// Sets a target for an epoch that a snapshot carries and that this store does not know: another store has
    /// aggregated the lake meanwhile, or this store was restored. If a program with the same logic wrote it, its number
    /// is taken, so that two stores end with one number.
    pub(crate) async fn pass_epoch(&self, stamped: NewerEpoch) -> Result<(), AggregateError> {
        let number = if stamped.has_own_logic { stamped.number } else { stamped.number + 1 };
        for _ in 0..MAX_HEAD_ATTEMPTS {
            let mut head = self.load_head().await?;
            match head.value.newest() {
                Some(newest)
                    if newest.epoch.0 < stamped.number && !self.rules.logic.is_behind(&newest.logic) => {}
                _ => return Ok(()),
            }
            set_target(self.ports, &mut head.value, Epoch(number), &self.rules.logic);
            if self.save_head(&mut head).await? {
                return Ok(());
            }
        }
        Err(AggregateError::HeadContended { org: self.org.to_owned() })
    }

    /// Returns the active epoch if the run works in another one.
    pub(crate) async fn other_active_epoch(&self) -> Result<Option<Epoch>, AggregateError> {
        let head = self.load_head().await?;
        let active = head.value.active.map(|active| active.epoch);
        Ok(active.filter(|active| *active != self.epoch))
    }

    /// Switches answers to the run's epoch if that is complete, and deletes the epochs that nobody can read any more.
    pub(crate) async fn switch_and_delete(&mut self) -> Result<(), AggregateError> {
        match self.switch_if_complete().await? {
            Some(mut head) => self.delete_retired_epochs(&mut head).await,
            None => Ok(()),
        }
    }

    /// Switches answers to the run's epoch if that is a target and complete. Returns the head, or `None` if another run
    /// has changed it.
    pub(crate) async fn switch_if_complete(&self) -> Result<Option<Checkpoint<Head>>, AggregateError> {
        let mut head = self.load_head().await?;
        let is_target = head.value.target.as_ref().is_some_and(|target| target.epoch == self.epoch);
        let active = head.value.active.as_ref().map(|active| active.epoch);
        if is_target && self.is_complete(active).await? {
            // Answers must not lack them for a moment.
            self.refresh_pr_classes().await?;
            if !self.switch(&mut head).await? {
                return Ok(None);
            }
        }
        Ok(Some(head))
    }

    /// Makes the target the active epoch. Returns false if another run has changed the head: it switched, or there is
    /// a newer target.
    async fn switch(&self, head: &mut Checkpoint<Head>) -> Result<bool, AggregateError> {
        let retired = std::mem::replace(&mut head.value.active, head.value.target.take());
        let since = self.ports.clock.now();
        head.value.retired.extend(retired.map(|retired| RetiredEpoch { epoch: retired.epoch, since }));
        let is_saved = self.save_head(head).await?;
        if is_saved {
            tracing::info!(org = self.org, epoch = self.epoch.0, "answers derive from the new rules now");
        }
        Ok(is_saved)
    }

    /// Returns whether every snapshot belongs to the run's epoch and is folded in it, and every month that the active
    /// epoch has and the lake has lost is copied. A month that this run could not read is copied, too.
    async fn is_complete(&self, active: Option<Epoch>) -> Result<bool, AggregateError> {
        Ok(self.is_table_complete::<Events>(active).await?
            && self.is_table_complete::<Sessions>(active).await?)
    }

    /// Does for one table what [`AggregateRun::is_complete`] does.
    async fn is_table_complete<T: FoldedTable>(&self, active: Option<Epoch>) -> Result<bool, AggregateError> {
        let (objects, owner) = (&*self.ports.objects, T::owner(self.org));
        let months = snapshot::months::<T>(objects, self.org).await?;
        let markers = self.ports.rollups.markers(&owner, self.epoch).await?;
        let folded: BTreeMap<Month, u64> =
            markers.into_iter().map(|marker| (marker.month, marker.generation)).collect();
        // While months are missing, no stamp has to be read. Everybody who folds a month looks.
        if months.iter().any(|month| !folded.contains_key(month)) {
            return Ok(false);
        }
        if let Some(active) = active.filter(|active| *active != self.epoch) {
            let known = self.ports.rollups.markers(&owner, active).await?;
            if known.iter().any(|marker| marker.generation > 0 && !folded.contains_key(&marker.month)) {
                return Ok(false);
            }
        }
        let is_readable = |month: &Month| !self.unreadable.contains(&(T::SNAPSHOTS, *month));
        for month in months.into_iter().filter(is_readable) {
            let Some(stamp) = snapshot::read_stamp::<T>(objects, self.org, month).await? else {
                continue;
            };
            let is_folded = folded.get(&month).is_some_and(|generation| *generation >= stamp.generation);
            let has_erased = stamp.erased < T::erasures(&self.rules.identity);
            if stamp.epoch != self.epoch.0 || has_erased || !is_folded {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Copies the items of a month whose snapshot the lake has lost from the active epoch, so that the month
    /// keeps its numbers under the new rules. Returns the number of items.
    pub(crate) async fn keep_lost_month<T: FoldedTable>(
        &self,
        month: Month,
        from: Epoch,
    ) -> Result<usize, AggregateError> {
        let (rollups, owner) = (&*self.ports.rollups, T::owner(self.org));
        if rollups.marker(&owner, self.epoch, month).await?.is_some() {
            return Ok(0);
        }
        let Some(marker) = rollups.marker(&owner, from, month).await? else { return Ok(0) };
        let mut count = 0;
        let keys = [self.keys_of_month::<T>(from, month).await?, list_keys(month)].concat();
        for keys in keys.chunks(MAX_CALL_ITEMS) {
            let items = rollups.get(&owner, from, keys).await?.into_iter();
            let counted = items.filter(|(_, item)| marker.should_count(item));
            // All of them are current at the marker's generation.
            let generation = marker.generation;
            let copies: Vec<_> =
                counted.map(|(key, item)| (key, StoredItem { generation, ..item })).collect();
            count += copies.len();
            rollups.put(&owner, self.epoch, &copies).await?;
        }
        rollups.advance(&owner, self.epoch, month, marker.generation, FoldScope::Month).await?;
        Ok(count)
    }

    /// Returns the keys of all items that the lists of a month name, without the lists. A list that this version of
    /// the program cannot read names none.
    pub(crate) async fn keys_of_month<T: FoldedTable>(
        &self,
        epoch: Epoch,
        month: Month,
    ) -> Result<Vec<ItemKey>, AggregateError> {
        let mut keys = vec![ItemKey::new(ItemClass::Days(Subject::Org), month)];
        for kind in LISTED {
            let (rollups, owner) = (&*self.ports.rollups, T::owner(self.org));
            let stored = rollups.range(&owner, epoch, &ItemClass::List(kind), month, month).await?;
            for (_, item) in stored {
                keys.extend(T::listed_keys(&item.body, month).unwrap_or_else(|error| {
                    tracing::warn!(org = self.org, %month, epoch = epoch.0, %error, "cannot read a stored list");
                    Vec::new()
                }));
            }
        }
        Ok(keys)
    }

    /// Deletes the items and markers of the epochs that nobody can read any more.
    async fn delete_retired_epochs(&mut self, head: &mut Checkpoint<Head>) -> Result<(), AggregateError> {
        let now = self.ports.clock.now();
        let is_over = |retired: &&RetiredEpoch| retired.since + DELETE_AFTER <= now;
        let over: BTreeSet<Epoch> =
            head.value.retired.iter().filter(is_over).map(|retired| retired.epoch).collect();
        let mut deleted = BTreeSet::new();
        for epoch in over {
            if self.is_out_of_time() {
                break;
            }
            self.delete_epoch::<Events>(epoch).await?;
            self.delete_epoch::<Sessions>(epoch).await?;
            self.delete_pr_classes(epoch).await?;
            deleted.insert(epoch);
        }
        if !deleted.is_empty() {
            head.value.retired.retain(|retired| !deleted.contains(&retired.epoch));
            // If another run has changed the head, the next one deletes again what is left: nothing.
            self.save_head(head).await?;
        }
        Ok(())
    }

    /// Deletes an epoch of a table: first what the lists of its months name, month by month, so that the keys of few items are
    /// in memory, then what no list names. An item that became empty is in no list, and a run that was killed, or that wrote
    /// for longer than an epoch is kept, leaves items whose list is gone. A month that was not folded completely has no
    /// marker, so the months of the lake are looked at, too.
    async fn delete_epoch<T: FoldedTable>(&self, epoch: Epoch) -> Result<(), AggregateError> {
        let (rollups, owner) = (&*self.ports.rollups, T::owner(self.org));
        let markers = rollups.markers(&owner, epoch).await?;
        let mut months: BTreeSet<Month> = markers.into_iter().map(|marker| marker.month).collect();
        months.extend(snapshot::months::<T>(&*self.ports.objects, self.org).await?);
        for &month in &months {
            for keys in self.keys_of_month::<T>(epoch, month).await?.chunks(MAX_CALL_ITEMS) {
                rollups.delete(&owner, epoch, keys).await?;
            }
            rollups.delete(&owner, epoch, &list_keys(month)).await?;
        }
        for keys in rollups.item_keys(&owner, epoch).await?.chunks(MAX_CALL_ITEMS) {
            rollups.delete(&owner, epoch, keys).await?;
        }
        let months: Vec<Month> = months.into_iter().collect();
        rollups.delete_markers(&owner, epoch, &months).await?;
        Ok(())
    }
}
