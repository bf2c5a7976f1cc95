//! 50 workers and 200 issues on the stores of one machine.

use std::sync::Arc;

use gam_model::Clock as _;
use gam_work::conformance::many_workers;
use gam_work::tasks::RandomPick;

use crate::support::{TestStore, clock};

async fn check(store: &TestStore) {
    let random: RandomPick = Arc::new(|below| fastrand::usize(..below));
    many_workers(std::slice::from_ref(&store.records), clock().now(), &random).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_issue_is_completed_once_in_memory() {
    let store = TestStore::memory();
    check(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_issue_is_completed_once_in_sqlite() {
    let store = TestStore::sqlite().await;
    check(&store).await;
    store.close().await;
}
