//! The fold: computes rollups from one month's snapshot.
//!
//! The input is the snapshot's rows as Arrow columns. The result is the rollups of the organization, of each
//! repository and of each member, by day, week and month. The fold is pure: the same rows in any order give
//! the same rollups. It applies the rules for bots and aliases, so a change of the rules reaches all of
//! history. A rollup depends only on the events that affect it, so a changed event leaves all other rollups
//! as they are.
//!
//! This crate does not know where snapshots and rollups are stored.

mod accumulator;
mod affected;
mod columns;
mod count;
mod fold;
mod rollup_builder;

pub use affected::affected_keys;
pub use fold::{FoldError, MonthFold, fold};

/// The version of the rollup logic. Increment it whenever the same events fold to other rollups, or to
/// another stored form.
pub const LOGIC_VERSION: u32 = 3;
