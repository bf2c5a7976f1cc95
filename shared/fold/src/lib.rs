//! The fold: computes rollups from one month's snapshot.
//!
//! The input is the snapshot's rows as Arrow columns. The result is the rollups of the organization, of each
//! repository and of each member, by day, week and month. The fold is pure: the same rows in any order give
//! the same rollups. It applies the rules for bots and aliases, so a change of the rules reaches all of
//! history. A rollup depends only on the events that affect it, so a changed event leaves all other rollups
//! as they are.
//!
//! A commit that lies in several repositories counts in each of them, and once for the organization and its
//! author: of the month's rows with its SHA, the row of the repository with the smallest id among those whose
//! lines are counted, or else of the repository with the smallest id.
//!
//! This crate does not know where snapshots and rollups are stored.

mod accumulator;
mod affected;
mod columns;
mod count;
mod fold;
mod rollup_builder;
mod shared_commits;

pub use affected::{affected_by_shared_commits, affected_keys};
pub use fold::{FoldError, MonthFold, fold};

/// The version of the rollup logic. Increment it whenever the same events fold to other rollups, or to
/// another stored form.
pub const LOGIC_VERSION: u32 = 4;
