//! The columns a fold reads, found by name and checked once for each record batch.

use arrow_array::types::{Int32Type, TimestampMillisecondType};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, DictionaryArray, Int32Array, Int64Array, ListArray,
    PrimitiveArray, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
};

use crate::fold::FoldError;

/// A dictionary-encoded text column.
pub(crate) struct Codes<'a> {
    pub(crate) values: &'a StringArray,
    keys: &'a Int32Array,
}

impl<'a> Codes<'a> {
    fn of(batch: &'a RecordBatch, name: &'static str) -> Result<Self, FoldError> {
        let dictionary: &DictionaryArray<Int32Type> = column(batch, name)?;
        let values = dictionary.values().as_any().downcast_ref().ok_or(FoldError::Column(name))?;
        Ok(Codes { values, keys: dictionary.keys() })
    }

    /// The row's code, an index into `values`; `None` for null.
    pub(crate) fn get(&self, row: usize) -> Option<usize> {
        self.keys.is_valid(row).then(|| self.keys.value(row) as usize)
    }
}

fn column<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a A, FoldError> {
    let array: &ArrayRef = batch.column_by_name(name).ok_or(FoldError::Column(name))?;
    array.as_any().downcast_ref().ok_or(FoldError::Column(name))
}

/// The value of a nullable number.
pub(crate) fn number<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    array.is_valid(row).then(|| array.value(row))
}

/// The nested column of first reviews.
pub(crate) struct FirstReviews<'a> {
    list: &'a ListArray,
    members: &'a StringArray,
    kinds: &'a StringArray,
    at: &'a PrimitiveArray<TimestampMillisecondType>,
}

impl<'a> FirstReviews<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, FoldError> {
        const NAME: &str = "first_reviews";
        let list: &ListArray = column(batch, NAME)?;
        let fields: &StructArray = list.values().as_any().downcast_ref().ok_or(FoldError::Column(NAME))?;
        fn field<'a, A: 'static>(fields: &'a StructArray, name: &str) -> Result<&'a A, FoldError> {
            fields
                .column_by_name(name)
                .and_then(|array| array.as_any().downcast_ref())
                .ok_or(FoldError::Column(NAME))
        }
        Ok(FirstReviews {
            list,
            members: field(fields, "member")?,
            kinds: field(fields, "member_kind")?,
            at: field(fields, "at")?,
        })
    }

    /// The row's reviews: reviewer, kind of reviewer, time in epoch milliseconds.
    pub(crate) fn get(&self, row: usize) -> impl Iterator<Item = (&'a str, &'a str, i64)> + '_ {
        let offsets = self.list.value_offsets();
        let span =
            if self.list.is_valid(row) { offsets[row] as usize..offsets[row + 1] as usize } else { 0..0 };
        span.map(|i| (self.members.value(i), self.kinds.value(i), self.at.value(i)))
    }
}

/// The nested column of co-authors.
pub(crate) struct CoAuthors<'a> {
    list: &'a ListArray,
    names: &'a StringArray,
}

impl<'a> CoAuthors<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, FoldError> {
        const NAME: &str = "co_authors";
        let list: &ListArray = column(batch, NAME)?;
        let names = list.values().as_any().downcast_ref().ok_or(FoldError::Column(NAME))?;
        Ok(CoAuthors { list, names })
    }

    /// The row's co-authors.
    pub(crate) fn get(&self, row: usize) -> impl Iterator<Item = &'a str> + use<'a> {
        let offsets = self.list.value_offsets();
        let span =
            if self.list.is_valid(row) { offsets[row] as usize..offsets[row + 1] as usize } else { 0..0 };
        let names = self.names;
        span.map(move |i| names.value(i))
    }
}

/// All columns a fold reads.
pub(crate) struct Columns<'a> {
    pub(crate) kind: Codes<'a>,
    pub(crate) repo_id: &'a Int64Array,
    pub(crate) member: Codes<'a>,
    pub(crate) member_kind: Codes<'a>,
    pub(crate) occurred_at: &'a TimestampMillisecondArray,
    pub(crate) retracted: &'a BooleanArray,
    pub(crate) parents: &'a Int32Array,
    pub(crate) additions: &'a Int64Array,
    pub(crate) deletions: &'a Int64Array,
    pub(crate) files_changed: &'a Int64Array,
    pub(crate) co_authors: CoAuthors<'a>,
    pub(crate) pr_member: Codes<'a>,
    pub(crate) created_at: &'a TimestampMillisecondArray,
    pub(crate) first_reviews: FirstReviews<'a>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(batch: &'a RecordBatch) -> Result<Self, FoldError> {
        Ok(Columns {
            kind: Codes::of(batch, "kind")?,
            repo_id: column(batch, "repo_id")?,
            member: Codes::of(batch, "member")?,
            member_kind: Codes::of(batch, "member_kind")?,
            occurred_at: column(batch, "occurred_at")?,
            retracted: column(batch, "retracted")?,
            parents: column(batch, "parents")?,
            additions: column(batch, "additions")?,
            deletions: column(batch, "deletions")?,
            files_changed: column(batch, "files_changed")?,
            co_authors: CoAuthors::of(batch)?,
            pr_member: Codes::of(batch, "pr_member")?,
            created_at: column(batch, "created_at")?,
            first_reviews: FirstReviews::of(batch)?,
        })
    }
}
