//! Aggregation against ports that fail, hang and interleave.

mod crashes;
mod definitions;
mod deletions;
mod dips;
mod epochs;
mod fan_out;
mod interleavings;
mod limits;
mod order;
mod races;
mod sessions;
mod support;
