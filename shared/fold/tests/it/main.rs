//! The fold over rows as snapshots hold them.

mod affected;
mod golden;
mod shared_commits;
mod sides;
mod support;
