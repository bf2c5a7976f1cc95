//! The ports of the store on SQL databases.
//!
//! [`SqliteStore`] keeps everything in one file that several processes may use at once: what was
//! committed outlives a crash or a power cut, readers never wait for writers, and a file it cannot
//! use is an error that names the mend.
//!
//! This crate does not know what is inside a rollup or a checkpoint, nor when anything is written.

mod sqlite;

pub use sqlite::SqliteStore;
