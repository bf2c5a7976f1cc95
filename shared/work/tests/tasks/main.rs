//! Tasks on the stores of one machine.

mod claims;
mod follower;
mod many_workers;
mod model;
mod rules;
mod support;
