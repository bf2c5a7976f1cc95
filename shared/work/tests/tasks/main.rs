//! Tasks on the stores of one machine.

mod claims;
mod follower;
mod live;
mod many_workers;
mod model;
mod rules;
mod support;
#[path = "../common/test_store.rs"]
mod test_store;
