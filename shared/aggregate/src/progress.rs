//! What an aggregation reports while it works.

use gam_model::Month;

/// Something that happened during an aggregation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AggregateProgress {
    /// Inbox batches were found.
    Inbox {
        /// How many.
        batches: usize,
    },
    /// A month was folded.
    MonthDone {
        /// The month.
        month: Month,
        /// How many rollups were written.
        rollups: usize,
    },
    /// A damaged batch was set aside.
    Rejected {
        /// Where the batch is now.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Receives the progress of an aggregation. It must return quickly and must not fail.
pub trait AggregateObserver: Send + Sync {
    /// Receives one piece of progress.
    fn notice(&self, progress: AggregateProgress);
}

/// Ignores all progress.
impl AggregateObserver for () {
    fn notice(&self, _: AggregateProgress) {}
}
