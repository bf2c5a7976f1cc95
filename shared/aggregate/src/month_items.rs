//! The items of a month, folded from its snapshot.

use gam_fold::{COMMON_CLASSES, CommonItems};
use gam_lake::SnapshotRows;
use gam_model::{ItemKey, Month};
use gam_store::{NameEntry, StoredItem};

use crate::folded_table::{FoldedTable, MonthFoldInput};
use crate::lake_rows::fold_error;
use crate::month::run_blocking;
use crate::{AggregateError, AggregateRun};

/// The result of folding a month.
pub(crate) struct FoldedMonth {
    pub(crate) items: Vec<(ItemKey, StoredItem)>,
    /// The latest names in the month, if every item was folded.
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
    pub(crate) async fn fold_month<T: FoldedTable>(
        &self,
        month: Month,
        rows: SnapshotRows<T>,
        input: MonthFoldInput<T>,
        generation: u64,
    ) -> Result<FoldedMonth, AggregateError> {
        let identity = self.rules.identity.clone();
        let fold = move || {
            let (items, names) = T::fold(month, rows, input, &identity)?;
            let items = items.into_iter().map(|(key, body)| (key, StoredItem { generation, body })).collect();
            Ok(FoldedMonth { items, names })
        };
        run_blocking(fold).await.map_err(|error| fold_error(self.org, month, error))
    }
}
