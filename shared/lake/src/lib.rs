//! The lake: Parquet files in an object store, behind a small port.
//!
//! The lake has two tables, `events` and `sessions`. Each has an inbox and snapshots of its own, and all share the code.
//! The inbox holds batches of rows, under keys derived from their content, until they are merged. A
//! snapshot holds all rows of one organization and month in one object, one row per id. It is replaced by
//! compare-and-swap. Snapshots are the truth. Reading an object returns rows or an error and never panics,
//! whatever its bytes are.
//!
//! This crate does not know where events come from, what they count for, or which cloud stores them.

pub mod audit;
pub mod configuration;
pub mod conformance;
mod edit;
pub mod error;
pub mod file;
pub mod inbox;
mod latest_names;
pub mod memory;
mod merge;
pub mod object_store;
mod parquet_file;
pub mod paths;
pub mod registry;
pub mod schema;
pub mod sessions;
pub mod snapshot;
mod split;
pub mod table;
#[cfg(test)]
mod testing;

pub use error::{Error, Result};
pub use file::FileStore;
pub use latest_names::{DatedName, LatestNames};
pub use memory::MemoryObjects;
pub use object_store::{ETag, Object, ObjectMeta, ObjectStore, ObjectVersion, PutIfAbsent, PutIfMatch};
pub use paths::ObjectPath;
pub use sessions::Sessions;
pub use snapshot::{RowChange, Snapshot, SnapshotFile, SnapshotRows, Stamp};
pub use split::SplitLake;
pub use table::{Events, Table};
