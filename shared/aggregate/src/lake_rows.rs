//! Lets a fold read the rows of a snapshot a row group at a time.

use arrow_array::RecordBatch;
use gam_fold::{FoldRowsError, MonthRows};
use gam_lake::{Error as LakeError, SnapshotRows, Table};
use gam_model::Month;

use crate::AggregateError;

/// The rows of a month's snapshot.
pub(crate) struct LakeRows<T: Table>(pub(crate) SnapshotRows<T>);

impl<T: Table> MonthRows for LakeRows<T> {
    type Error = LakeError;

    fn batch_count(&self) -> usize {
        self.0.batch_count()
    }

    fn row_count(&self) -> usize {
        self.0.row_count()
    }

    fn batch(&self, index: usize, columns: &[&str]) -> Result<RecordBatch, LakeError> {
        self.0.batch(index, columns)
    }
}

/// Returns the error of a fold of a month of an organization.
pub(crate) fn fold_error(org: &str, month: Month, error: FoldRowsError<LakeError>) -> AggregateError {
    match error {
        FoldRowsError::Rows(error) => error.into(),
        FoldRowsError::Fold(source) => AggregateError::Fold { org: org.to_owned(), month, source },
    }
}
