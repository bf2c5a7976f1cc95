//! The rows of a month, as a fold reads them: a batch at a time, so that a complete month is never in memory.

use std::convert::Infallible;
use std::sync::mpsc;
use std::thread;

use arrow_array::RecordBatch;

use crate::fold::FoldError;

/// The rows of one month, in batches. A fold reads them several times, with other columns each time.
pub trait MonthRows: Sync {
    /// Why a batch cannot be read.
    type Error: Send;

    /// Returns the number of batches.
    fn batch_count(&self) -> usize;

    /// Returns these columns of the batch with this index, which is less than [`MonthRows::batch_count`]. It may have
    /// more columns. All calls return the same rows in the same order.
    ///
    /// # Errors
    /// If the batch cannot be read.
    fn batch(&self, index: usize, columns: &[&str]) -> Result<RecordBatch, Self::Error>;
}

/// Rows that are in memory, with all columns.
impl MonthRows for [RecordBatch] {
    type Error = Infallible;

    fn batch_count(&self) -> usize {
        self.len()
    }

    fn batch(&self, index: usize, _: &[&str]) -> Result<RecordBatch, Infallible> {
        Ok(self[index].clone())
    }
}

/// Why a month that is read in batches cannot be folded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldRowsError<E> {
    /// A batch cannot be read.
    #[error("cannot read the rows")]
    Rows(E),
    /// The rows cannot be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
}

impl From<FoldRowsError<Infallible>> for FoldError {
    fn from(error: FoldRowsError<Infallible>) -> Self {
        match error {
            FoldRowsError::Rows(never) => match never {},
            FoldRowsError::Fold(error) => error,
        }
    }
}

/// Calls `visit` with the index and these columns of each batch, in order. Reads a batch on another thread while the
/// one before it is visited, so two batches are in memory.
pub(crate) fn for_each_batch<R: MonthRows + ?Sized>(
    rows: &R,
    columns: &[&str],
    mut visit: impl FnMut(usize, &RecordBatch) -> Result<(), FoldError>,
) -> Result<(), FoldRowsError<R::Error>> {
    let count = rows.batch_count();
    let read = |index: usize| rows.batch(index, columns).map_err(FoldRowsError::Rows);
    if count <= 1 {
        return (0..count).try_for_each(|index| Ok(visit(index, &read(index)?)?));
    }
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(0);
        // Ends when everything is read, or when nobody receives any more because a batch is invalid.
        scope.spawn(move || (0..count).try_for_each(|index| sender.send(read(index)).ok()));
        receiver.into_iter().enumerate().try_for_each(|(index, batch)| Ok(visit(index, &batch?)?))
    })
}
