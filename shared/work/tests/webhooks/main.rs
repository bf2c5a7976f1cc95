//! Deliveries of webhooks: in any order, doubled and lost, they end in the state of GitHub.

mod arrivals;
mod effects;
mod support;
mod sweeps;
