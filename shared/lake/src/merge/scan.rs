//! Finds rows by their ids, and the keys between which a row group lies.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array as _, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::DataType;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::parallel;
use crate::error::{Error, Result};
use crate::parquet_file::ParquetFile;
use crate::schema::DictionaryStrings;
use crate::table::{Table, projected};

/// What rows are sorted by: group, time in epoch milliseconds, id.
pub(super) type Key<'a> = (&'a str, i64, &'a str);

/// The columns that identify and sort the rows of a batch.
pub(super) struct KeyRows {
    id: StringArray,
    group: DictionaryStrings,
    time: TimestampMillisecondArray,
}

impl KeyRows {
    /// # Errors
    /// [`Error::Damaged`] if a column is missing or has the wrong type.
    pub(super) fn from_batch<T: Table>(batch: &RecordBatch) -> Result<Self> {
        let column = |name: &str| {
            let column = batch.column_by_name(name);
            column.ok_or_else(|| Error::damaged("the rows", format!("column {name} is missing")))
        };
        let mistyped = |name: &str| Error::damaged("the rows", format!("column {name} has the wrong type"));
        let group = column(T::KEY.group)?;
        if !matches!(group.data_type(), DataType::Dictionary(..)) {
            return Err(mistyped(T::KEY.group));
        }
        let id = column(T::KEY.id)?.as_string_opt::<i32>().ok_or_else(|| mistyped(T::KEY.id))?;
        let time = column(T::KEY.time)?.as_primitive_opt::<TimestampMillisecondType>();
        Ok(KeyRows {
            id: id.clone(),
            group: DictionaryStrings::from_array(group),
            time: time.ok_or_else(|| mistyped(T::KEY.time))?.clone(),
        })
    }

    /// Returns the key of a row. Panics if there is no such row.
    pub(super) fn key(&self, row: usize) -> Key<'_> {
        (self.group.get(row).unwrap_or_default(), self.time.value(row), self.id.value(row))
    }
}

/// What is known of a row group before it is decoded.
pub(super) struct GroupScan {
    /// Number of rows.
    pub(super) rows: usize,
    first: (String, i64, String),
    last: (String, i64, String),
    /// Whether its rows are sorted by key.
    pub(super) is_sorted: bool,
    /// The rows that have the id of a new row: the index of the row, and that of the new row.
    pub(super) stored: Vec<(usize, usize)>,
}

impl GroupScan {
    pub(super) fn first_key(&self) -> Key<'_> {
        (&self.first.0, self.first.1, &self.first.2)
    }

    pub(super) fn last_key(&self) -> Key<'_> {
        (&self.last.0, self.last.1, &self.last.2)
    }
}

/// Scans all row groups for the ids of the new rows.
///
/// # Errors
/// [`Error::Damaged`] if the file is damaged.
pub(super) fn scan_groups<T: Table>(file: &ParquetFile, new: &KeyRows) -> Result<Vec<GroupScan>> {
    let mut by_id: FxHashMap<&str, usize> = FxHashMap::with_capacity_and_hasher(new.id.len(), FxBuildHasher);
    by_id.extend((0..new.id.len()).map(|row| (new.id.value(row), row)));
    let schema = projected(&T::schema(), &[T::KEY.id, T::KEY.group, T::KEY.time]);
    let groups: Vec<usize> = (0..file.group_count()).filter(|group| file.group_rows(*group) > 0).collect();
    if groups.len() < file.group_count() {
        return Err(Error::damaged(file.path(), "a row group is empty"));
    }
    let scan = |group: &usize| -> Result<GroupScan> {
        let keys = KeyRows::from_batch::<T>(&file.group(*group, &schema)?)?;
        let rows = keys.id.len();
        let stored = (0..rows).filter_map(|row| Some((row, *by_id.get(keys.id.value(row))?)));
        let owned = |(group, time, id): Key<'_>| (group.to_owned(), time, id.to_owned());
        Ok(GroupScan {
            rows,
            first: owned(keys.key(0)),
            last: owned(keys.key(rows - 1)),
            is_sorted: (0..rows).is_sorted_by_key(|row| keys.key(row)),
            stored: stored.collect(),
        })
    };
    parallel(&groups, scan).into_iter().collect()
}
