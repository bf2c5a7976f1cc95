//! The lake: Parquet batches and month snapshots behind a small object-store port.
//!
//! Month snapshots are the truth: one object a month, one row an event id, replaced whole by
//! compare-and-swap. The inbox holds event batches under content-derived keys until they are merged.
//! Whatever bytes an object holds, reading it ends in rows or in an error, never in a panic.
//!
//! This crate does not know where events come from, what they count for, or which cloud holds them.

pub mod conformance;
pub mod error;
pub mod file;
pub mod inbox;
pub mod memory;
mod merge;
pub mod object_store;
pub mod paths;
pub mod schema;
pub mod snapshot;
mod spelling;
mod table;
#[cfg(test)]
mod testing;

pub use error::{Error, Result};
pub use file::FileStore;
pub use memory::MemoryObjects;
pub use object_store::{ETag, Object, ObjectMeta, ObjectStore, PutIfAbsent, PutIfMatch};
pub use paths::ObjectPath;
pub use snapshot::{Change, Merged, Snapshot, Stamp};
pub use spelling::{Spelling, Spellings, spellings};
