//! Folding events into rollups, and merging rollups.
//!
//! A fold takes one month's snapshot, as Arrow columns, and gives every rollup that derives from it:
//! the organization, each repository and each member by day, week and month, and each member's work
//! in each repository by month. It is pure: the same rows in any order give the same rollups. Bots
//! and aliases are applied here and not before, so that a change of configuration reaches history.
//! A rollup follows from nothing but the events that touch it, so when an event changes, the other
//! rollups need not be written anew.
//!
//! Rollups merge: of days into ranges, of a week's two parts into the week, of any disjoint parts
//! into their union. Percentiles and distinct members survive merging, which averages and counts of
//! them would not.
//!
//! This crate does not know where snapshots and rollups are stored.

mod columns;
pub mod distribution;
pub mod fold;
pub mod rollup;
mod touched;

pub use distribution::Distribution;
pub use fold::{FoldError, MonthFold, fold};
pub use rollup::{Part, Rollup};
pub use touched::touched;

/// The version of the rollup logic: greater whenever a fold would give another result or another
/// stored form for the same events.
pub const LOGIC_VERSION: u32 = 3;
