//! Rollups: what a subject did in a bucket.
//!
//! Rollups can be merged: days into ranges, the two parts of a week into the week, and any disjoint parts
//! into their union. They store distributions and sets of members, because percentiles and distinct members
//! can be computed from merged ones. Averages and counts of distinct members could not be merged.
//!
//! This crate does not know how rollups are computed or where they are stored.

pub mod distribution;
pub mod rollup;

pub use distribution::Distribution;
pub use rollup::{Rollup, Tally, merged_span};
