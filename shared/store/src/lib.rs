//! The ports of the store: rollups, names, checkpoints and records, and their typed keys.
//!
//! Rollups are a cache of the lake's snapshots, so they can always be rebuilt. [`port`] describes the guards
//! that make concurrent writers safe. Records are a source of their own, under the rules of [`record`]. Every
//! adapter must pass the [`conformance`] suite.
//!
//! This crate does not know what a rollup, a checkpoint or a record contains, nor which database stores it.

pub mod checkpoint;
pub mod conformance;
pub mod error;
pub mod gaps;
pub mod head;
pub mod keys;
pub mod memory;
pub mod port;
pub mod record;
mod work_orgs;

pub use checkpoint::{Checkpoint, OrgCheckpoint, ReadAgainSpan, RepoCoverage};
pub use error::{Error, Result};
pub use gaps::{Gap, GapsByRepo, RepoGaps, list_gaps};
pub use head::{Epoch, EpochRules, Head, Logic, RetiredEpoch};
pub use keys::{
    CheckpointKey, ItemClass, ItemKey, KeyPart, RecordKey, RecordKind, RecordRange, Subject, SubjectKind,
};
pub use memory::MemoryStore;
pub use port::{
    AdvanceOutcome, ChangeToken, CheckpointStore, FoldScope, Marker, NameEntry, NameKind, NameStore,
    OrgStore, PutOutcome, Revision, RollupStore, SaveOutcome, StoredCheckpoint, StoredItem,
};
pub use record::{
    CommitOutcome, Expectation, MAX_COMMIT_WRITES, Record, RecordChange, RecordCommit, RecordCommitId,
    RecordStore, RecordWrite, commit_until_answered,
};
pub use work_orgs::{work_org_key, work_orgs};
