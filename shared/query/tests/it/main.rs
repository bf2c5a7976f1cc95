//! Queries of a store in memory whose items are made from a few cells.

mod comparisons;
mod cursors;
mod epochs;
mod ranges;
mod support;
