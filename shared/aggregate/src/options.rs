//! The options of an aggregation.

use chrono::{DateTime, Utc};

/// More than 100,000 events.
const DEFAULT_CHUNK_BYTES: u64 = 128 * 1024 * 1024;
/// Far larger than any batch that this program writes.
const DEFAULT_MAX_BATCH_BYTES: u64 = 256 * 1024 * 1024;

/// What an aggregation does, and within which limits.
#[derive(Debug, Clone)]
pub struct AggregateOptions {
    /// Whether to fold every month, also those whose rollups match their snapshot.
    pub rebuild: bool,
    /// Whether to look at every month and not only at those that the inbox touches. Rollups must be
    /// folded again after the store, the bots or the aliases have changed.
    pub check_months: bool,
    /// How much of the inbox is processed at once, in bytes of decoded events. While a chunk is
    /// processed, the next batch waits decoded, so up to twice as much is in memory, and a merge copies the events of its
    /// month. A batch that is larger is processed in several steps.
    pub chunk_bytes: u64,
    /// The largest batch that is read, in bytes of Parquet. Larger objects stay in the inbox unread and
    /// are listed in the report.
    pub max_batch_bytes: u64,
    /// How many months are folded again at the same time. The compressed snapshot of each is in memory.
    pub max_concurrent_months: usize,
    /// The time, UTC, from which on no further step is started. `None` for no limit.
    pub until: Option<DateTime<Utc>>,
    /// The version of the fold's rules. Another one than [`gam_fold::LOGIC_VERSION`] stands for another version of the
    /// program, in tests of a program that is replaced while it runs.
    pub logic_version: u32,
}

impl Default for AggregateOptions {
    fn default() -> Self {
        AggregateOptions {
            rebuild: false,
            check_months: true,
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            max_batch_bytes: DEFAULT_MAX_BATCH_BYTES,
            max_concurrent_months: std::thread::available_parallelism().map_or(1, usize::from),
            until: None,
            logic_version: gam_fold::LOGIC_VERSION,
        }
    }
}
