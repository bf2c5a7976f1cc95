//! Rollups: what a subject did in a bucket, and how rollups merge.
//!
//! Rollups of days merge into ranges, the two parts of a week into the week, and any disjoint parts into
//! their union. Percentiles and distinct members survive merging; averages and counts of them would not.
//!
//! This crate does not know how rollups are computed or where they are stored.

pub mod distribution;
pub mod rollup;

pub use distribution::Distribution;
pub use rollup::{Rollup, Tally, merged_span};
