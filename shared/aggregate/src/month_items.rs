//! The items of a month, folded from its snapshot.

use gam_fold::{COMMON_CLASSES, CommonItems, fold_changes, fold_rows};
use gam_lake::{LatestNames, RowChange, SnapshotRows};
use gam_model::{ItemKey, Month};
use gam_store::{NameEntry, StoredItem};

use crate::lake_rows::{LakeRows, fold_error};
use crate::month::run_blocking;
use crate::names::NameCollector;
use crate::{AggregateError, AggregateRun};

/// What is folded of a month.
pub(crate) enum MonthFoldInput {
    /// Every item.
    All,
    /// The items that changed rows affect.
    Changes {
        changes: Vec<RowChange>,
        /// The items that all rows affect, before the change. `None` if they are not known; then all rows are folded.
        before: Option<Box<CommonItems>>,
    },
}

/// The result of folding a month.
pub(crate) struct FoldedMonth {
    pub(crate) items: Vec<(ItemKey, StoredItem)>,
    /// The latest names in the month, if every item was folded: a store that has lost its items may have lost the names,
    /// too.
    pub(crate) names: Vec<NameEntry>,
}

impl AggregateRun<'_> {
    /// Returns the stored items that all rows of the month affect, if they are those of this generation of its
    /// snapshot. Every fold writes them, so a complete month has them.
    pub(crate) async fn common_items(
        &self,
        month: Month,
        generation: u64,
    ) -> Result<Option<Box<CommonItems>>, AggregateError> {
        let keys = COMMON_CLASSES.map(|class| ItemKey::new(class, month));
        let stored = self.ports.rollups.get(self.org, self.epoch, &keys).await?;
        let bodies = keys.map(|key| {
            let item = stored.iter().find(|(stored, item)| *stored == key && item.generation == generation);
            item.map(|(_, item)| &item.body[..])
        });
        let [Some(org_days), Some(repo_list), Some(member_list)] = bodies else { return Ok(None) };
        // The fold replaces damaged items.
        Ok(CommonItems::decode([org_days, repo_list, member_list]).ok().map(Box::new))
    }

    /// Folds the month. The items get the generation.
    pub(crate) async fn fold_month(
        &self,
        month: Month,
        rows: SnapshotRows,
        input: MonthFoldInput,
        generation: u64,
    ) -> Result<FoldedMonth, AggregateError> {
        let identity = self.rules.identity.clone();
        let fold = move || {
            let (items, names) = match input {
                MonthFoldInput::All => {
                    let names = LatestNames::from_snapshot(&rows).map_err(gam_fold::FoldRowsError::Rows)?;
                    let fold = fold_rows(month, &LakeRows(rows), &identity)?;
                    (fold.items(), NameCollector::from_snapshot(names).into_entries())
                }
                MonthFoldInput::Changes { changes, before } => {
                    let changed = changes
                        .iter()
                        .flat_map(|change| std::iter::once(&change.winner).chain(&change.loser));
                    (
                        fold_changes(
                            month,
                            &LakeRows(rows),
                            changed,
                            before.map(|before| *before),
                            &identity,
                        )?,
                        Vec::new(),
                    )
                }
            };
            let items = items.into_iter().map(|(key, body)| (key, StoredItem { generation, body })).collect();
            Ok(FoldedMonth { items, names })
        };
        run_blocking(fold).await.map_err(|error| fold_error(self.org, month, error))
    }
}
