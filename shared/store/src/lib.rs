//! The ports of the rollup store and of the checkpoint store, and their typed keys.
//!
//! Rollups are a cache of the lake's snapshots: everything here can be rebuilt. The guards that make
//! concurrent writers safe are part of the ports and are told in [`port`]; every adapter must pass
//! the [`conformance`] suite.
//!
//! This crate does not know what is inside a rollup or a checkpoint, nor which database holds them.

pub mod checkpoint;
pub mod conformance;
pub mod error;
pub mod keys;
pub mod memory;
pub mod port;

pub use checkpoint::{Checkpoint, OrgCheckpoint, RepoCoverage};
pub use error::{Error, Result};
pub use keys::{CheckpointKey, RollupKey, Subject, SubjectKind};
pub use memory::MemoryStore;
pub use port::{
    AdvanceOutcome, CheckpointStore, FoldScope, Logic, Marker, NameEntry, NameKind, NameStore, PutOutcome,
    Revision, RollupStore, SaveOutcome, StoredCheckpoint, StoredRollup,
};
