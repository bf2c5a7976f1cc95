//! Workers claim tasks from a store that several of them share, each through a connection of its own.

use std::sync::Arc;

use gam_model::{Clock as _, SystemClock};
use gam_store::RecordStore;
use gam_work::conformance::many_workers;
use gam_work::tasks::RandomPick;

/// Checks that each issue is claimed by one worker at a time and completed once, although processes die and answers are
/// lost.
pub(crate) async fn check(connections: &[Arc<dyn RecordStore>]) {
    let random: RandomPick = Arc::new(|below| fastrand::usize(..below));
    many_workers(connections, SystemClock.now(), &random).await;
}
