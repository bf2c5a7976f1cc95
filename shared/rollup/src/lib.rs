//! Rollups: what a subject did in a bucket, and the items that store them.
//!
//! Rollups can be merged: days into ranges, and any disjoint parts into their union. They hold distributions and
//! sets of members, because percentiles and distinct members can be computed from merged ones. Averages and counts
//! of distinct members could not be merged. Weeks, months and ranges are sums of days, made on reading.
//!
//! This crate does not know how rollups are computed or where they are stored.

pub mod agents;
pub mod distribution;
pub mod items;
pub mod pr_classes;
mod replace;
pub mod rollup;
pub mod stored_form;
pub mod totals;

pub use agents::{AgentDaysItem, AgentListEntry, AgentListItem, AgentSide, AgentTotals};
pub use distribution::Distribution;
pub use items::{
    BreakdownItem, Cell, DaysItem, DisplayName, ListEntry, ListItem, ListedSubject, SideTotals, SparseCell,
    SubjectRef,
};
pub use pr_classes::{PrClass, PrClassItem, PrClassTotals};
pub use rollup::{Rollup, Tally, merged_span};
pub use stored_form::{DecodeError, StoredForm, encode_breakdown};
pub use totals::{Side, SparseTotals, Totals};
