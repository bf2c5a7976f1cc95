//! The columns that a fold reads. They are looked up and checked once per record batch.

use std::ops::Range;

use arrow_array::types::{Int32Type, TimestampMillisecondType};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, DictionaryArray, Int32Array, Int64Array, ListArray,
    PrimitiveArray, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
};

use gam_model::Identity;

use crate::fold::FoldError;

/// The names of the columns that a fold reads. Batches may lack all others.
pub const COLUMNS: &[&str] = &[
    "kind",
    "repo",
    "repo_id",
    "member",
    "member_id",
    "member_kind",
    "occurred_at",
    "retracted",
    "author_name_hash",
    "reading",
    "parents",
    "additions",
    "deletions",
    "files_changed",
    "co_authors",
    "pr_member",
    "created_at",
    "first_reviews",
];

/// All columns that a fold reads.
pub(crate) struct EventColumns<'a> {
    pub(crate) kind: DictionaryColumn<'a>,
    pub(crate) repo_id: &'a Int64Array,
    pub(crate) member: DictionaryColumn<'a>,
    pub(crate) member_id: &'a Int64Array,
    pub(crate) member_kind: DictionaryColumn<'a>,
    pub(crate) occurred_at: &'a TimestampMillisecondArray,
    counted: CountedRows<'a>,
    pub(crate) author_name_hash: DictionaryColumn<'a>,
    pub(crate) reading: &'a Int64Array,
    pub(crate) parents: &'a Int32Array,
    pub(crate) additions: &'a Int64Array,
    pub(crate) deletions: &'a Int64Array,
    pub(crate) files_changed: &'a Int64Array,
    pub(crate) co_authors: CoAuthorsColumn<'a>,
    pub(crate) pr_member: DictionaryColumn<'a>,
    pub(crate) created_at: &'a TimestampMillisecondArray,
    pub(crate) first_reviews: FirstReviewsColumn<'a>,
}

impl<'a> EventColumns<'a> {
    /// # Errors
    /// If a column is missing or has the wrong type.
    pub(crate) fn from_batch(batch: &'a RecordBatch, identity: &Identity) -> Result<Self, FoldError> {
        Ok(EventColumns {
            counted: CountedRows::from_batch(batch, identity)?,
            kind: DictionaryColumn::from_batch(batch, "kind")?,
            repo_id: column(batch, "repo_id")?,
            member: DictionaryColumn::from_batch(batch, "member")?,
            member_id: column(batch, "member_id")?,
            member_kind: DictionaryColumn::from_batch(batch, "member_kind")?,
            occurred_at: column(batch, "occurred_at")?,
            author_name_hash: DictionaryColumn::from_batch(batch, "author_name_hash")?,
            reading: column(batch, "reading")?,
            parents: column(batch, "parents")?,
            additions: column(batch, "additions")?,
            deletions: column(batch, "deletions")?,
            files_changed: column(batch, "files_changed")?,
            co_authors: CoAuthorsColumn::from_batch(batch)?,
            pr_member: DictionaryColumn::from_batch(batch, "pr_member")?,
            created_at: column(batch, "created_at")?,
            first_reviews: FirstReviewsColumn::from_batch(batch)?,
        })
    }
}

impl EventColumns<'_> {
    pub(crate) fn row_count(&self) -> usize {
        self.repo_id.len()
    }
}

impl EventColumns<'_> {
    /// Returns whether the event in the row counts.
    pub(crate) fn counts(&self, row: usize) -> bool {
        self.counted.contains(row)
    }
}

/// The rows that count: those that are not retracted, of repositories that are not excluded.
pub(crate) struct CountedRows<'a> {
    repo: DictionaryColumn<'a>,
    /// For each value of the dictionary of `repo`, whether the repository is excluded.
    excluded_repos: Vec<bool>,
    retracted: &'a BooleanArray,
}

impl<'a> CountedRows<'a> {
    /// # Errors
    /// If a column is missing or has the wrong type.
    pub(crate) fn from_batch(batch: &'a RecordBatch, identity: &Identity) -> Result<Self, FoldError> {
        let repo = DictionaryColumn::from_batch(batch, "repo")?;
        let is_excluded = |name: Option<&str>| name.is_some_and(|name| identity.is_excluded_repo(name));
        let excluded_repos = repo.values.iter().map(is_excluded).collect();
        Ok(CountedRows { repo, excluded_repos, retracted: column(batch, "retracted")? })
    }

    pub(crate) fn contains(&self, row: usize) -> bool {
        !self.retracted.value(row) && !self.repo.index(row).is_some_and(|repo| self.excluded_repos[repo])
    }
}

/// # Errors
/// If the column is missing or has the wrong type.
pub(crate) fn column<'a, A: Array + 'static>(
    batch: &'a RecordBatch,
    name: &'static str,
) -> Result<&'a A, FoldError> {
    let array: &ArrayRef = batch.column_by_name(name).ok_or(FoldError::InvalidColumn(name))?;
    array.as_any().downcast_ref().ok_or(FoldError::InvalidColumn(name))
}

/// Returns the row's value; `None` if it is null.
pub(crate) fn nullable<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    array.is_valid(row).then(|| array.value(row))
}

/// Returns where the row's elements are in the list's values; an empty range if the row is null.
pub(crate) fn elements(list: &ListArray, row: usize) -> Range<usize> {
    let offsets = list.value_offsets();
    if list.is_valid(row) { offsets[row] as usize..offsets[row + 1] as usize } else { 0..0 }
}

/// A dictionary-encoded text column.
pub(crate) struct DictionaryColumn<'a> {
    pub(crate) values: &'a StringArray,
    keys: &'a Int32Array,
}

impl<'a> DictionaryColumn<'a> {
    /// # Errors
    /// If the column is missing or has the wrong type.
    pub(crate) fn from_batch(batch: &'a RecordBatch, name: &'static str) -> Result<Self, FoldError> {
        let dictionary: &DictionaryArray<Int32Type> = column(batch, name)?;
        let values = dictionary.values().as_any().downcast_ref().ok_or(FoldError::InvalidColumn(name))?;
        Ok(DictionaryColumn { values, keys: dictionary.keys() })
    }

    /// Returns the row's value; `None` if it is null.
    pub(crate) fn text(&self, row: usize) -> Option<&'a str> {
        self.index(row).map(|index| self.values.value(index))
    }

    /// Returns the index of the row's value in `values`; `None` if it is null.
    pub(crate) fn index(&self, row: usize) -> Option<usize> {
        self.keys.is_valid(row).then(|| self.keys.value(row) as usize)
    }
}

/// A review of a merged pull request.
pub(crate) struct ReviewRow<'a> {
    pub(crate) reviewer: &'a str,
    /// The stored name of the reviewer's kind.
    pub(crate) reviewer_kind: &'a str,
    /// When the review was submitted, in epoch milliseconds.
    pub(crate) submitted_at: i64,
}

/// The nested column `first_reviews`.
pub(crate) struct FirstReviewsColumn<'a> {
    list: &'a ListArray,
    reviewers: &'a StringArray,
    reviewer_kinds: &'a StringArray,
    submitted_at: &'a PrimitiveArray<TimestampMillisecondType>,
}

impl<'a> FirstReviewsColumn<'a> {
    fn from_batch(batch: &'a RecordBatch) -> Result<Self, FoldError> {
        const NAME: &str = "first_reviews";
        let list: &ListArray = column(batch, NAME)?;
        let reviews: &StructArray =
            list.values().as_any().downcast_ref().ok_or(FoldError::InvalidColumn(NAME))?;
        fn field<'a, A: 'static>(reviews: &'a StructArray, name: &str) -> Result<&'a A, FoldError> {
            reviews
                .column_by_name(name)
                .and_then(|array| array.as_any().downcast_ref())
                .ok_or(FoldError::InvalidColumn(NAME))
        }
        Ok(FirstReviewsColumn {
            list,
            reviewers: field(reviews, "member")?,
            reviewer_kinds: field(reviews, "member_kind")?,
            submitted_at: field(reviews, "at")?,
        })
    }

    pub(crate) fn reviews(&self, row: usize) -> impl Iterator<Item = ReviewRow<'a>> + '_ {
        elements(self.list, row).map(|index| ReviewRow {
            reviewer: self.reviewers.value(index),
            reviewer_kind: self.reviewer_kinds.value(index),
            submitted_at: self.submitted_at.value(index),
        })
    }
}

/// The nested column `co_authors`.
pub(crate) struct CoAuthorsColumn<'a> {
    list: &'a ListArray,
    names: &'a StringArray,
}

impl<'a> CoAuthorsColumn<'a> {
    fn from_batch(batch: &'a RecordBatch) -> Result<Self, FoldError> {
        const NAME: &str = "co_authors";
        let list: &ListArray = column(batch, NAME)?;
        let names = list.values().as_any().downcast_ref().ok_or(FoldError::InvalidColumn(NAME))?;
        Ok(CoAuthorsColumn { list, names })
    }

    pub(crate) fn names(&self, row: usize) -> impl Iterator<Item = &'a str> + use<'a> {
        let names = self.names;
        elements(self.list, row).map(move |index| names.value(index))
    }
}
