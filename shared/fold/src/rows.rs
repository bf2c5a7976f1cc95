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

    /// Returns the number of rows in all batches, which a fold reserves memory for.
    fn row_count(&self) -> usize;

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

    fn row_count(&self) -> usize {
        self.iter().map(RecordBatch::num_rows).sum()
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

/// Reads batches on other threads while the ones before them are visited.
pub(crate) struct BatchReader<'a, R: ?Sized> {
    rows: &'a R,
    /// The number of threads that read. At most `2 * threads + 1` batches are in memory.
    threads: usize,
}

impl<'a, R: MonthRows + ?Sized> BatchReader<'a, R> {
    /// Reads on one thread, for a fold that takes about as long as reading.
    pub(crate) fn new(rows: &'a R) -> Self {
        BatchReader { rows, threads: 1 }
    }

    /// Reads on all cores, for a fold that takes less time than reading.
    pub(crate) fn on_all_cores(rows: &'a R) -> Self {
        BatchReader { rows, threads: thread::available_parallelism().map_or(1, usize::from) }
    }

    pub(crate) fn batch_count(&self) -> usize {
        self.rows.batch_count()
    }

    pub(crate) fn row_count(&self) -> usize {
        self.rows.row_count()
    }

    /// Calls `visit` with the index and these columns of each batch, in order.
    pub(crate) fn for_each(
        &self,
        columns: &[&str],
        visit: impl FnMut(usize, &RecordBatch) -> Result<(), FoldError>,
    ) -> Result<(), FoldRowsError<R::Error>> {
        self.for_each_of(&(0..self.batch_count()).collect::<Vec<_>>(), columns, visit)
    }

    /// As [`BatchReader::for_each`], for the batches with these indexes, in their order.
    pub(crate) fn for_each_of(
        &self,
        indexes: &[usize],
        columns: &[&str],
        mut visit: impl FnMut(usize, &RecordBatch) -> Result<(), FoldError>,
    ) -> Result<(), FoldRowsError<R::Error>> {
        let read = |index: usize| self.rows.batch(index, columns).map_err(FoldRowsError::Rows);
        if indexes.len() <= 1 {
            return indexes.iter().try_for_each(|&index| Ok(visit(index, &read(index)?)?));
        }
        let threads = self.threads.min(indexes.len());
        thread::scope(|scope| {
            let receivers: Vec<_> = (0..threads)
                .map(|first| {
                    let (sender, receiver) = mpsc::sync_channel(0);
                    let mut own = indexes.iter().skip(first).step_by(threads);
                    // Ends when everything is read, or when nobody receives any more because a batch is invalid.
                    scope.spawn(move || own.try_for_each(|&index| sender.send(read(index)).ok()));
                    receiver
                })
                .collect();
            for (&index, receiver) in indexes.iter().zip(receivers.iter().cycle()) {
                // A reader that has panicked sends nothing any more, and the scope passes its panic on.
                let Ok(batch) = receiver.recv() else { break };
                visit(index, &batch?)?;
            }
            Ok(())
        })
    }
}
