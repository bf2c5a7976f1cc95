//! Updating one month: merge events into its snapshot, and bring its rollups up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gam_lake::snapshot::{self, MergedMonth, SnapshotFile, Stamp};
use gam_lake::{ETag, Error as LakeError, Events, SnapshotRows, Table};
use gam_model::{Identity, ItemKey, Month};
use gam_store::{AdvanceOutcome, Checkpoint, FoldScope, Marker, StoredItem};

use crate::folded_table::{FoldedTable, MonthFoldInput};
use crate::month_items::FoldedMonth;
use crate::{AggregateError, AggregatePorts, AggregateRun};

/// How often a month is attempted while other aggregations replace its snapshot.
pub(crate) const MAX_ATTEMPTS: usize = 64;

/// What became of a month.
pub(crate) enum MonthOutcome {
    /// The month's rollups match its snapshot.
    Written {
        /// Number of rollups written, 0 if nothing had to change.
        rollups: usize,
    },
    /// A newer program has written the month, so it was not touched.
    SkippedNewerVersion,
    /// The month belongs to a newer epoch already, or there is a newer one, so it was not touched.
    Superseded(NewerEpoch),
    /// The store knows the month, and the lake has lost its snapshot. The stored rollups stay as they are, and no event
    /// was merged.
    Lost,
}

/// An epoch that is newer than a run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NewerEpoch {
    /// Its number.
    pub(crate) number: u64,
    /// Whether a program with this one's logic has written it.
    pub(crate) has_own_logic: bool,
}

/// What became of a month, and of its snapshot.
pub(crate) struct MonthUpdate {
    pub(crate) outcome: MonthOutcome,
    /// Whether the lake had lost the month's snapshot, so that the month is incomplete.
    pub(crate) was_lost: bool,
    /// How many rows have changed.
    pub(crate) rows: RowCounts,
}

/// How many rows of a month have changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RowCounts {
    /// Those that were added or changed by a merge.
    pub(crate) changed: usize,
    /// Those that were deleted, because they were erased or the month is over.
    pub(crate) deleted: usize,
}

/// What an attempt at a month begins with.
struct MonthBase {
    /// Whether a first snapshot may be written although the store knows the month.
    may_be_new: bool,
    /// A snapshot that cannot be read, if the attempt replaces it.
    replaced: Option<ETag>,
}

/// What became of one attempt at a month.
enum AttemptOutcome {
    Finished(MonthOutcome),
    /// The store refused: fold the complete month. `newest_generation` is the greatest generation among
    /// the stored items that refused.
    Refold {
        newest_generation: u64,
    },
    /// Another aggregation replaced the snapshot first.
    Conflict,
    /// The store knows the month, and no snapshot was found.
    SnapshotMissing,
}

/// Which rows of a snapshot are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deletion {
    /// The month is over.
    AllRows,
    /// Those that were erased since the snapshot was written.
    ErasedRows,
}

impl Deletion {
    fn needed<T: FoldedTable>(current: &SnapshotFile<T>, identity: &Identity, is_over: bool) -> Option<Self> {
        if is_over && current.rows.row_count() > 0 {
            return Some(Deletion::AllRows);
        }
        (current.stamp.erased < T::erasures(identity)).then_some(Deletion::ErasedRows)
    }
}

impl AggregateRun<'_> {
    /// Merges events into a month's snapshot and brings its items up to date. There is one event for each id, as
    /// [`Table::winners`] returns them.
    pub(crate) async fn update_month<T: FoldedTable>(
        &self,
        month: Month,
        winners: Vec<T::Row>,
        rebuild: bool,
    ) -> Result<MonthUpdate, AggregateError> {
        let winners = Arc::new(winners);
        let (mut was_lost, mut rows) = (false, RowCounts::default());
        let mut scope = if rebuild { FoldScope::Month } else { FoldScope::Affected };
        let mut refused_by = 0;
        // A month that was read again from GitHub gets a new snapshot.
        let read_again = self.read_again.as_ref().filter(|span| T::IS_COLLECTED && span.covers(month));
        let mut may_be_new = read_again.is_some();
        let can_replace = read_again.is_some_and(|span| span.has_everything) && !winners.is_empty();
        // A snapshot that cannot be read, and the same one if what was read again is to replace it.
        let (mut unreadable, mut replaced) = (None, None);
        for _ in 0..MAX_ATTEMPTS {
            let base = MonthBase { may_be_new, replaced: replaced.take() };
            let attempt = self.attempt_month::<T>(month, &winners, scope, refused_by, base, &mut rows);
            let outcome = match attempt.await {
                Err(error) if error.is_unreadable_month() && can_replace => {
                    // Another aggregation may have replaced it: only what could not be read twice is given up.
                    let etag = snapshot::etag::<T>(&*self.ports.objects, self.org, month).await?;
                    if etag.is_some() && etag == unreadable {
                        snapshot::keep_rejected::<T>(&*self.ports.objects, self.org, month).await?;
                        replaced = etag;
                    } else {
                        unreadable = etag;
                    }
                    continue;
                }
                outcome => outcome?,
            };
            match outcome {
                AttemptOutcome::SnapshotMissing => {
                    // Another aggregation may have written the first snapshot and the marker in between.
                    if let Some(generation) = self.lost_generation::<T>(month).await? {
                        if T::IS_COLLECTED {
                            self.remember_lost(month, generation).await?;
                            was_lost = true;
                        }
                        // A snapshot of these events alone would take away the numbers of all others. What does not
                        // come from GitHub cannot be read again, so nothing more is coming.
                        // What a month that is over had is deleted, whether or not its snapshot is there.
                        let is_over = T::is_over(&self.rules.identity, month, self.ports.clock.now());
                        if !is_over && (T::IS_COLLECTED || winners.is_empty()) {
                            return Ok(MonthUpdate { outcome: MonthOutcome::Lost, was_lost, rows });
                        }
                        may_be_new = true;
                    }
                }
                AttemptOutcome::Finished(outcome) => {
                    if read_again.is_some() && matches!(outcome, MonthOutcome::Written { .. }) {
                        self.forget_lost(month).await?;
                    }
                    return Ok(MonthUpdate { outcome, was_lost, rows });
                }
                AttemptOutcome::Refold { newest_generation } => {
                    (scope, refused_by) = (FoldScope::Month, newest_generation);
                }
                AttemptOutcome::Conflict => {}
            }
        }
        Err(AggregateError::Contended { org: self.org.to_owned(), month })
    }

    /// Returns the generation that the store knows of the month if the lake has no snapshot of it.
    async fn lost_generation<T: FoldedTable>(&self, month: Month) -> Result<Option<u64>, AggregateError> {
        // The marker is read first: a snapshot is always older than its marker.
        let Some(marker) = self.known_marker::<T>(month).await? else { return Ok(None) };
        let stamp = snapshot::read_stamp::<T>(&*self.ports.objects, self.org, month).await?;
        Ok(stamp.is_none().then_some(marker.generation))
    }

    /// Returns the marker of a month that was folded before, in the run's epoch or in the active one.
    async fn known_marker<T: FoldedTable>(&self, month: Month) -> Result<Option<Marker>, AggregateError> {
        let (rollups, owner) = (&*self.ports.rollups, T::owner(self.org));
        let mut marker = rollups.marker(&owner, self.epoch, month).await?;
        if marker.is_none()
            && let Some(active) = self.other_active_epoch().await?
        {
            marker = rollups.marker(&owner, active, month).await?;
        }
        Ok(marker.filter(|marker| marker.generation > 0))
    }

    /// Remembers that a month whose snapshot cannot be read is incomplete.
    pub(crate) async fn remember_unreadable<T: FoldedTable>(
        &self,
        month: Month,
    ) -> Result<(), AggregateError> {
        match self.known_marker::<T>(month).await? {
            // Only what GitHub has can be read again.
            Some(marker) if T::IS_COLLECTED => self.remember_lost(month, marker.generation).await,
            _ => Ok(()),
        }
    }

    /// Remembers that a month is incomplete until it is read again or restored.
    async fn remember_lost(&self, month: Month, generation: u64) -> Result<(), AggregateError> {
        tracing::warn!(org = self.org, %month, "the lake has no readable snapshot of the month");
        Checkpoint::change_org(&*self.ports.checkpoints, self.org, |org| {
            org.lost_months.entry(month.to_string()).or_insert(generation);
        })
        .await?;
        Ok(())
    }

    /// Forgets that a month was lost: it was read again. A run that began before that may have found it lost once more.
    async fn forget_lost(&self, month: Month) -> Result<(), AggregateError> {
        Checkpoint::change_org(&*self.ports.checkpoints, self.org, |org| {
            org.lost_months.remove(&month.to_string());
        })
        .await?;
        Ok(())
    }

    /// Reports the months that earlier runs found lost, and forgets those whose snapshot was restored. `lost` are
    /// the generations that the store knew of them.
    pub(crate) async fn check_lost(&mut self, lost: &BTreeMap<String, u64>) -> Result<(), AggregateError> {
        let mut restored = BTreeSet::new();
        for (name, generation) in lost {
            let Some(month) = Month::parse(name) else { continue };
            match snapshot::read_stamp::<Events>(&*self.ports.objects, self.org, month).await {
                // A snapshot of later batches alone has a greater generation.
                Ok(Some(stamp)) if stamp.generation <= *generation => _ = restored.insert(name.clone()),
                Ok(_) | Err(LakeError::Damaged { .. }) => _ = self.report.lost_months.insert(month),
                Err(error) => return Err(error.into()),
            }
        }
        if !restored.is_empty() {
            Checkpoint::change_org(&*self.ports.checkpoints, self.org, |org| {
                org.lost_months.retain(|month, _| !restored.contains(month));
            })
            .await?;
        }
        Ok(())
    }

    /// Tries once to update a month. `refused_by` is the greatest generation among the stored items
    /// that refused the last attempt, or 0.
    async fn attempt_month<T: FoldedTable>(
        &self,
        month: Month,
        winners: &Arc<Vec<T::Row>>,
        scope: FoldScope,
        refused_by: u64,
        base: MonthBase,
        row_counts: &mut RowCounts,
    ) -> Result<AttemptOutcome, AggregateError> {
        let AggregatePorts { objects, rollups, names, .. } = self.ports;
        let owner = T::owner(self.org);
        let MonthBase { may_be_new, replaced } = base;
        let identity = &self.rules.identity;
        let is_over = T::is_over(identity, month, self.ports.clock.now());
        let winners = if is_over { &Arc::default() } else { winners };
        let current = match &replaced {
            Some(_) => None,
            None => snapshot::fetch::<T>(&**objects, self.org, month).await?,
        };
        let marker = rollups.marker(&owner, self.epoch, month).await?;
        // A snapshot that is new to the lake can be old to the store.
        let known = if current.is_none() { self.known_marker::<T>(month).await? } else { None };
        if known.is_some() && !may_be_new {
            return Ok(AttemptOutcome::SnapshotMissing);
        }
        let stamp = current.as_ref().map(|current| &current.stamp);
        if let Some(outcome) = stamp.and_then(|stamp| self.refuse::<T>(stamp)) {
            return Ok(AttemptOutcome::Finished(outcome));
        }
        let generation = stamp.map_or(0, |stamp| stamp.generation);
        let markers = [&marker, &known].into_iter().flatten();
        let store_generation = markers.map(|marker| marker.generation).fold(refused_by, u64::max);
        let is_of_older_epoch = stamp.is_some_and(|stamp| stamp.epoch < self.epoch.0);
        let deletion = current.as_ref().and_then(|current| Deletion::needed(current, identity, is_over));
        let needs_restamp = store_generation > generation || is_of_older_epoch || deletion.is_some();
        // A snapshot of an older epoch can have the marker's generation: the lake had lost it, the epoch has a
        // copy of the month's old items, and now the snapshot was restored.
        let fold_all = scope == FoldScope::Month
            || is_of_older_epoch
            || marker.as_ref().is_none_or(|marker| marker.generation != generation);
        let is_current = !needs_restamp && (generation == 0 || !fold_all);
        if is_current && winners.is_empty() {
            return Ok(AttemptOutcome::Finished(MonthOutcome::Written { rollups: 0 }));
        }
        let next_generation = generation.max(store_generation) + 1;
        let next_stamp = Stamp::new(next_generation, self.epoch.0, self.rules.logic.version)
            .without_erased(T::erasures(identity));
        let stored = current.as_ref().map(|current| current.rows.clone());
        let edited = match (deletion, stored.clone()) {
            (Some(deletion), Some(rows)) => self.delete_rows(deletion, rows, next_stamp.clone()).await?,
            _ => None,
        };
        let row_count = |rows: &Option<SnapshotRows<T>>| rows.as_ref().map_or(0, SnapshotRows::row_count);
        let deleted = edited.as_ref().map_or(0, |edited| row_count(&stored) - edited.row_count());
        let stored = edited.clone().or(stored);
        let MergedMonth { rows: merged, changes } =
            merge::<T>(stored.clone(), Arc::clone(winners), next_stamp.clone()).await?;
        let merged = merged.or(edited);
        if is_current && changes.is_empty() {
            return Ok(AttemptOutcome::Finished(MonthOutcome::Written { rollups: 0 }));
        }
        let changed = changes.len();
        let is_written = merged.is_some() || needs_restamp;
        let written_generation = if is_written { next_generation } else { generation };
        let Some(rows) = merged.clone().or(stored) else { return Ok(AttemptOutcome::Conflict) };
        let scope = if fold_all || deletion.is_some() || !T::FOLDS_CHANGES {
            FoldScope::Month
        } else {
            FoldScope::Affected
        };
        let fold = match scope {
            FoldScope::Month => MonthFoldInput::All,
            FoldScope::Affected => {
                let before = self.common_items(month, generation).await?;
                MonthFoldInput::Changes { changes, before }
            }
        };
        let former = if is_over { self.listed_items::<T>(month).await? } else { Vec::new() };
        // The fold takes about as long as the write, and stores nothing.
        let write = self.write_snapshot(month, (current, replaced), merged, &next_stamp, needs_restamp);
        let fold = self.fold_month(month, rows, fold, written_generation);
        let (written, folded) = futures::join!(write, fold);
        if !written? {
            return Ok(AttemptOutcome::Conflict);
        }
        // A later attempt finds them merged.
        row_counts.changed += changed;
        row_counts.deleted += deleted;
        // A target that was set before the month's first snapshot existed did not see the month. Its writer may have been
        // killed, or its answer lost, so everybody looks who adds the month to the epoch.
        if marker.is_none() && !self.is_newest_epoch().await? {
            let newer = NewerEpoch { number: self.epoch.0 + 1, has_own_logic: false };
            return Ok(AttemptOutcome::Finished(MonthOutcome::Superseded(newer)));
        }
        let FoldedMonth { items, names: latest } = folded?;
        let emptied = former.into_iter().filter_map(|key| {
            let body = T::empty_item(&key)?;
            Some((key, StoredItem { generation: written_generation, body }))
        });
        // Before the lists, which then no longer name them.
        let items: Vec<_> = emptied.chain(items).collect();
        if !latest.is_empty() {
            names.put_names(self.org, &latest).await?;
        }
        let outcome = rollups.put(&owner, self.epoch, &items).await?;
        if outcome.refused > 0 {
            return Ok(AttemptOutcome::Refold { newest_generation: outcome.newest_generation });
        }
        match rollups.advance(&owner, self.epoch, month, written_generation, scope).await? {
            AdvanceOutcome::Advanced => {
                Ok(AttemptOutcome::Finished(MonthOutcome::Written { rollups: items.len() }))
            }
            AdvanceOutcome::Refused => Ok(AttemptOutcome::Refold { newest_generation: refused_by }),
        }
    }

    /// Writes the merged snapshot, or the current one with the stamp if it needs that. Instead of a current one there may
    /// be one that cannot be read, to be replaced. Returns `false` if another process has replaced the snapshot.
    async fn write_snapshot<T: FoldedTable>(
        &self,
        month: Month,
        (current, replaced): (Option<SnapshotFile<T>>, Option<ETag>),
        merged: Option<SnapshotRows<T>>,
        stamp: &Stamp,
        needs_restamp: bool,
    ) -> Result<bool, AggregateError> {
        let objects = &*self.ports.objects;
        let written = match (merged, current) {
            (Some(rows), current) => {
                // The replaced rows are no longer needed, and can take much memory.
                let expected = current.map(|current| current.etag).or(replaced);
                snapshot::put(objects, self.org, month, &rows, stamp, expected.as_ref()).await?
            }
            (None, Some(file)) if needs_restamp => {
                snapshot::restamp(objects, self.org, month, &file, stamp).await?
            }
            // There is nothing to write.
            (None, _) => return Ok(true),
        };
        Ok(written.is_some())
    }

    /// Deletes rows of a month. Returns `None` if there are none to delete.
    async fn delete_rows<T: FoldedTable>(
        &self,
        deletion: Deletion,
        rows: SnapshotRows<T>,
        stamp: Stamp,
    ) -> Result<Option<SnapshotRows<T>>, AggregateError> {
        let identity = Arc::clone(&self.rules.identity);
        let deleted = run_blocking(move || match deletion {
            Deletion::AllRows => snapshot::without_rows(&stamp).map(Some),
            Deletion::ErasedRows => snapshot::edit(&rows, &stamp, |row| T::edit(&identity, row)),
        });
        Ok(deleted.await?)
    }

    /// Returns the keys of the items of a month that its stored lists name.
    async fn listed_items<T: FoldedTable>(&self, month: Month) -> Result<Vec<ItemKey>, AggregateError> {
        let mut keys = self.keys_of_month::<T>(self.epoch, month).await?;
        keys.sort();
        keys.dedup();
        Ok(keys)
    }

    /// Returns the outcome for a snapshot that this run must not replace; `None` if it may.
    fn refuse<T: FoldedTable>(&self, stamp: &Stamp) -> Option<MonthOutcome> {
        // Epochs alone are not enough: a new store can use the number of an epoch again.
        let is_newer = stamp.epoch > self.epoch.0 || stamp.erased > T::erasures(&self.rules.identity);
        if stamp.has_newer_schema::<T>() || (is_newer && stamp.logic_version > self.rules.logic.version) {
            Some(MonthOutcome::SkippedNewerVersion)
        } else if is_newer {
            let has_own_logic = stamp.logic_version == self.rules.logic.version;
            Some(MonthOutcome::Superseded(NewerEpoch { number: stamp.epoch, has_own_logic }))
        } else {
            None
        }
    }
}

/// Merges rows into those of a snapshot.
pub(crate) async fn merge<T: Table>(
    stored: Option<SnapshotRows<T>>,
    winners: Arc<Vec<T::Row>>,
    stamp: Stamp,
) -> Result<MergedMonth<T>, AggregateError> {
    Ok(run_blocking(move || snapshot::merge::<T>(stored.as_ref(), &winners, &stamp)).await?)
}

/// Runs heavy work on a blocking thread, so that it does not hold up other tasks.
pub(crate) async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
