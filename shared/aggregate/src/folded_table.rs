//! The tables of the lake whose months are folded into items.
//!
//! Markers, generations, epochs and merges are the same for all of them. What differs is here.

use chrono::{DateTime, Utc};
use gam_fold::{CommonItems, EncodedItem, FoldRowsError, fold_changes, fold_rows, fold_sessions};
use gam_lake::{Error as LakeError, Events, LatestNames, RowChange, Sessions, SnapshotRows, Table};
use gam_model::{Identity, ItemClass, ItemKey, Month, RowEdit, SessionEvent, Subject};
use gam_rollup::{AgentDaysItem, AgentListItem, DecodeError, ListItem, StoredForm};
use gam_store::NameEntry;
use gam_store::keys::rollup_owner;

use crate::lake_rows::LakeRows;
use crate::names::NameCollector;

/// What is folded of a month.
pub(crate) enum MonthFoldInput<T: Table> {
    /// Every item.
    All,
    /// The items that changed rows affect.
    Changes {
        changes: Vec<RowChange<T::Row>>,
        /// The items that all rows affect, before the change. `None` if they are not known; then all rows are folded.
        before: Option<Box<CommonItems>>,
    },
}

/// The items of a month, and the latest names in it, if every item was folded: a store that has lost its items may have
/// lost the names, too.
pub(crate) type FoldResult = Result<(Vec<EncodedItem>, Vec<NameEntry>), FoldRowsError<LakeError>>;

/// A table whose months are folded.
pub(crate) trait FoldedTable: Table {
    /// Whether its rows come from GitHub, so that a lost month can be read again.
    const IS_COLLECTED: bool;

    /// Whether the items that changed rows affect can be folded without the others.
    const FOLDS_CHANGES: bool;

    /// Returns the owner of the items in the store. `org` is the organization's key.
    fn owner(org: &str) -> String {
        rollup_owner(org, Self::SNAPSHOTS)
    }

    /// Returns whether the rows of the month are deleted at this time.
    fn is_over(_identity: &Identity, _month: Month, _now: DateTime<Utc>) -> bool {
        false
    }

    /// Returns the number of erasures that a snapshot of the table must be without.
    fn erasures(_identity: &Identity) -> u32 {
        0
    }

    /// Returns what the erasures make of a row.
    fn edit(_identity: &Identity, _row: &Self::Row) -> RowEdit<Self::Row> {
        RowEdit::Keep
    }

    /// Returns what takes the place of an item whose subject is no longer in a month that is over. `None` for an item that
    /// every fold writes.
    fn empty_item(_key: &ItemKey) -> Option<Vec<u8>> {
        None
    }

    /// Folds a month.
    ///
    /// # Errors
    /// If the rows cannot be read or are invalid.
    fn fold(
        month: Month,
        rows: SnapshotRows<Self>,
        input: MonthFoldInput<Self>,
        identity: &Identity,
    ) -> FoldResult
    where
        Self: Sized;

    /// Returns the keys of the items that a stored list of a month names.
    ///
    /// # Errors
    /// If the list cannot be read.
    fn listed_keys(list: &[u8], month: Month) -> Result<Vec<ItemKey>, DecodeError>;
}

impl FoldedTable for Events {
    const IS_COLLECTED: bool = true;
    const FOLDS_CHANGES: bool = true;

    fn fold(
        month: Month,
        rows: SnapshotRows,
        input: MonthFoldInput<Self>,
        identity: &Identity,
    ) -> FoldResult {
        match input {
            MonthFoldInput::All => {
                let names = LatestNames::from_snapshot(&rows).map_err(FoldRowsError::Rows)?;
                let fold = fold_rows(month, &LakeRows(rows), identity)?;
                Ok((fold.items(), NameCollector::from_snapshot(names).into_entries()))
            }
            MonthFoldInput::Changes { changes, before } => {
                let changed =
                    changes.iter().flat_map(|change| std::iter::once(&change.winner).chain(&change.loser));
                let before = before.map(|before| *before);
                Ok((fold_changes(month, &LakeRows(rows), changed, before, identity)?, Vec::new()))
            }
        }
    }

    fn listed_keys(list: &[u8], month: Month) -> Result<Vec<ItemKey>, DecodeError> {
        let list = ListItem::decode(list)?;
        let keys = list.entries.iter().flat_map(|entry| {
            let subject = entry.subject.subject();
            let days = ItemKey::new(ItemClass::Days(subject.clone()), month);
            let weeks = entry.breakdown_weeks();
            std::iter::once(days)
                .chain(weeks.map(move |week| ItemKey::breakdown(subject.clone(), month, week)))
        });
        Ok(keys.collect())
    }
}

impl FoldedTable for Sessions {
    const IS_COLLECTED: bool = false;
    const FOLDS_CHANGES: bool = false;

    fn is_over(identity: &Identity, month: Month, now: DateTime<Utc>) -> bool {
        identity.session_retention().is_some_and(|retention| retention.is_over(month, now))
    }

    fn erasures(identity: &Identity) -> u32 {
        identity.erased_sessions().count()
    }

    fn edit(identity: &Identity, row: &SessionEvent) -> RowEdit<SessionEvent> {
        identity.erased_sessions().edit(row)
    }

    fn empty_item(key: &ItemKey) -> Option<Vec<u8>> {
        match key.class {
            ItemClass::Days(Subject::Repo(_) | Subject::Member(_)) => Some(AgentDaysItem::default().encode()),
            _ => None,
        }
    }

    fn fold(
        month: Month,
        rows: SnapshotRows<Self>,
        _: MonthFoldInput<Self>,
        identity: &Identity,
    ) -> FoldResult {
        Ok((fold_sessions(month, &LakeRows(rows), identity)?, Vec::new()))
    }

    fn listed_keys(list: &[u8], month: Month) -> Result<Vec<ItemKey>, DecodeError> {
        let list = AgentListItem::decode(list)?;
        let subjects = list.entries.iter().map(|entry| entry.subject.subject());
        Ok(subjects.map(|subject| ItemKey::new(ItemClass::Days(subject), month)).collect())
    }
}
