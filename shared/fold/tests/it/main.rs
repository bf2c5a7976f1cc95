//! The fold over rows as snapshots hold them.

mod affected;
mod batches;
mod display_names;
mod golden;
mod items;
mod shared_commits;
mod sides;
mod support;
