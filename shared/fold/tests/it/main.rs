//! The fold over rows as snapshots hold them.

mod agents;
mod batches;
mod changes;
mod display_names;
mod golden;
mod items;
mod pr_classes;
mod shared_commits;
mod sides;
mod support;
