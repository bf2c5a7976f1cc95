//! Actions against a GitHub that fails, lags and moves, and against stores that lose answers and crash.

mod approvals;
mod choices;
mod elsewhere;
mod exactly_once;
mod keys;
mod limits;
mod support;
#[path = "../common/test_store.rs"]
mod test_store;
mod webhooks;
