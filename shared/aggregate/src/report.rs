//! The result of an aggregation.

use std::collections::BTreeSet;

use gam_model::Month;

use crate::sessions::SessionsReport;

/// What an aggregation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AggregateReport {
    /// Number of inbox batches processed and deleted.
    pub batches: usize,
    /// Number of events read from batches.
    pub events: usize,
    /// The months whose rollups were written.
    pub months: BTreeSet<Month>,
    /// Number of rollups written.
    pub rollups: usize,
    /// Rejected batches: the path under `rejected/`, and what is wrong with the batch.
    pub rejected: Vec<(String, String)>,
    /// Number of batches left in the inbox because a newer version of the program wrote them, or wrote
    /// a month that they touch.
    pub deferred: usize,
    /// Number of batches left in the inbox because they touch a month whose snapshot is lost or cannot be read.
    pub waiting: usize,
    /// Objects left in the inbox because they are too large to be batches: path, and size in bytes.
    pub oversized: Vec<(String, u64)>,
    /// Months whose snapshot the lake has lost, until they are read again or the snapshot is restored.
    pub lost_months: BTreeSet<Month>,
    /// What was done with session events.
    pub sessions: SessionsReport,
    /// Whether the time ran out. What was done is saved, and another run continues.
    pub unfinished: bool,
}
