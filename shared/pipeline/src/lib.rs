//! The use cases: collect, aggregate, query. They own the [`Context`]: ports, clock and settings.
//!
//! The promises of the product hold here: batches may come in any order and any number of times,
//! incremental runs end where one backfill ends, a crash at any instant loses nothing, and rollups
//! come from snapshots alone. Everything that touches the world is behind a port, so the same code
//! runs on a laptop and in a function.
//!
//! This crate does not know about AWS, HTTP serving or the process environment.

pub mod aggregate;
pub mod checkpoint;
pub mod collect;
pub mod configuration;
pub mod context;
pub mod progress;
pub mod query;
pub mod reconcile;
mod waits;

pub use context::{Clock, Context, SystemClock};
pub use progress::{Observer, Progress, Silent};
