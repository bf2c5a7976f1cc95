//! What an aggregation reports while it runs.

use gam_model::Month;

/// One step of a running aggregation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AggregateProgress {
    /// The store has no rollups of a lake that has data: it is new, was lost, or an older version of the program
    /// filled it. All months are folded.
    StoreIsNew {
        /// The organization's key.
        org: String,
        /// Number of months in the lake.
        months: usize,
    },
    /// The rules have changed: the code, bots, aliases or excluded repositories. All months are folded again.
    /// Until they are complete, answers derive from the old rules.
    RulesChanged {
        /// The organization's key.
        org: String,
    },
    /// The inbox was listed and is not empty.
    Inbox {
        /// Number of batches to process.
        batches: usize,
    },
    /// A month's rollups were written.
    MonthDone {
        /// The UTC month.
        month: Month,
        /// Number of rollups written.
        rollups: usize,
    },
    /// A damaged batch was moved to `rejected/`.
    Rejected {
        /// The new path of the batch.
        path: String,
        /// What is wrong with the batch.
        why: String,
    },
}

/// Receives the progress of an aggregation.
pub trait AggregateObserver: Send + Sync {
    /// Receives one step. It must return quickly and must not fail.
    fn notice(&self, progress: AggregateProgress);
}

/// Ignores all progress.
impl AggregateObserver for () {
    fn notice(&self, _: AggregateProgress) {}
}
