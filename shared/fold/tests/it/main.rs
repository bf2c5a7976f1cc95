//! The fold over rows as snapshots hold them.

mod batches;
mod changes;
mod display_names;
mod golden;
mod items;
mod shared_commits;
mod sides;
mod support;
