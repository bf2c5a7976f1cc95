//! The ports of the store on SQL databases.
//!
//! [`SqliteStore`] stores everything in one file that several processes may use at once. `PostgresStore`, with the
//! feature `postgres`, stores everything in one schema of a database. Committed data survives a crash or a power
//! failure, and readers never wait for writers. If a file or a database cannot be used, the error says why and how to
//! fix it.
//!
//! This crate does not know what a rollup, a checkpoint or a record contains, nor when anything is written.

#[cfg(feature = "postgres")]
mod postgres;
mod sqlite;

#[cfg(feature = "postgres")]
pub use postgres::{PostgresAddress, PostgresStore};
pub use sqlite::SqliteStore;
