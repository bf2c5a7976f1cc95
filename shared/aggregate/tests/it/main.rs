//! The promises of the pipeline, tried against ports that fail, stop and interleave.

mod bounds;
mod crash_points;
mod interleavings;
mod named;
mod order;
mod reference;
mod support;
