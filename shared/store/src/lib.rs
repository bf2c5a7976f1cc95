//! The ports of the rollup store, the name registry and the checkpoint store, and their typed keys.
//!
//! Rollups are a cache of the lake's snapshots, so they can always be rebuilt. [`port`] describes the guards
//! that make concurrent writers safe. Every adapter must pass the [`conformance`] suite.
//!
//! This crate does not know what a rollup or a checkpoint contains, nor which database stores it.

pub mod checkpoint;
pub mod conformance;
pub mod error;
pub mod gaps;
pub mod head;
pub mod keys;
pub mod memory;
pub mod port;

pub use checkpoint::{Checkpoint, OrgCheckpoint, ReadAgainSpan, RepoCoverage};
pub use error::{Error, Result};
pub use gaps::{Gap, GapsByRepo, RepoGaps, list_gaps};
pub use head::{Epoch, EpochRules, Head, Logic, RetiredEpoch};
pub use keys::{CheckpointKey, ItemClass, ItemKey, Subject, SubjectKind};
pub use memory::MemoryStore;
pub use port::{
    AdvanceOutcome, ChangeToken, CheckpointStore, FoldScope, Marker, NameEntry, NameKind, NameStore,
    PutOutcome, Revision, RollupStore, SaveOutcome, StoredCheckpoint, StoredItem,
};
