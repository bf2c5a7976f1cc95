//! The fold: computes the items of one month from its snapshot.
//!
//! The input is the snapshot's rows as Arrow columns, which are read a batch at a time. The result is the month's cells: what each member did in
//! each repository on each day. Every item is a sum of cells:
//!
//! - days: of the organization, of each repository and of each member,
//! - lists: the month's totals of all repositories, and of all members,
//! - breakdowns: each week of a repository by member, and of a member by repository.
//!
//! The fold is pure: the same rows in any order give the same items. It applies the rules for bots and aliases,
//! so a change of the rules reaches all of history. An item depends only on the events that affect it, so a
//! changed event leaves all other items as they are. An item is made when it is requested.
//!
//! A commit that lies in several repositories counts in each of them and in all breakdowns, and once for the
//! organization and its author: of the month's rows with its SHA, the row of the repository with the smallest id
//! among those whose lines are counted, or else of the repository with the smallest id.
//!
//! This crate does not know where snapshots and items are stored.

mod agents;
mod breakdowns;
mod cells;
mod changes;
mod columns;
mod count;
mod fold;
mod members;
mod month_days;
mod month_fold;
mod pr_classes;
mod row_filter;
mod rows;
mod shared_commits;
mod totals;

pub use agents::{SESSION_COLUMNS, fold_sessions};
pub use changes::{COMMON_CLASSES, CommonItems, fold_changes};
pub use columns::COLUMNS;
pub use fold::{FoldError, fold, fold_rows};
pub use month_fold::{EncodedItem, MonthFold};
pub use pr_classes::fold_pr_classes;
pub use rows::{FoldRowsError, MonthRows};

/// The version of the rollup logic. Increment it whenever the same events fold to other items, or to another
/// stored form.
pub const LOGIC_VERSION: u32 = 6;
