//! The fold: one month's snapshot, as Arrow columns, to every rollup that derives from it.
//!
//! The result holds the organization, each repository and each member by day, week and month. The fold is
//! pure: the same rows in any order give the same rollups. Bots and aliases are applied here, not when
//! events are collected, so a change of configuration reaches all of history. A rollup depends only on the
//! events that affect it, so after a change of one event the other rollups stay as they are.
//!
//! This crate does not know where snapshots and rollups are stored.

mod affected;
mod columns;
mod fold;

pub use affected::affected_keys;
pub use fold::{FoldError, MonthFold, fold};

/// The version of the rollup logic. Raise it whenever a fold gives another result, or another stored form,
/// for the same events.
pub const LOGIC_VERSION: u32 = 3;
