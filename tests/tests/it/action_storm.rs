//! Actions in a storm, on SQLite. A store in memory never waits, so a service on it is hardly ever stopped in between.

use std::sync::Arc;

use gam_store_sql::SqliteStore;

use crate::common::action_storm::{StormReport, check};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Checks that enough happened for the storm to be one.
fn expect_storm(report: &StormReport) {
    assert!(report.stops >= 10 && report.writes >= 3, "{report:?}");
    assert!(report.ends.get("succeeded").is_some_and(|count| *count >= 6), "{report:?}");
}

#[test]
fn each_action_is_done_once_in_a_storm_on_sqlite() {
    for (seed, needs_approval) in [(4, true), (5, false)] {
        let directory = tempfile::tempdir().expect("a directory");
        let report = runtime().block_on(async {
            let store = SqliteStore::open(&directory.path().join("store.sqlite")).await.expect("a store");
            let report = check(Arc::new(store.clone()), seed, needs_approval).await;
            store.close().await;
            report
        });
        expect_storm(&report);
    }
}
