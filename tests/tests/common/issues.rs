//! Issues of the sample that are tasks, in the store of a program.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use gam_model::SystemClock;
use gam_store::RecordStore;
use gam_store_sql::SqliteStore;
use gam_tests::support::runtime;
use gam_work::CachedIssue;
use gam_work::tasks::Tasks;
use gam_work::testing::{store_issue, task_issue};

/// The storage key of the sample.
const ORG: &str = "octo-demo";

/// Returns when the issues were created, UTC.
pub(crate) fn created_at() -> DateTime<Utc> {
    "2026-11-01T00:00:00Z".parse().expect("a time")
}

/// Stores issues as the cache of issues does, with the tasks that follow from them.
pub(crate) fn store_issues(path: &Path, issues: impl IntoIterator<Item = CachedIssue>) {
    runtime().block_on(async {
        let store = SqliteStore::open(path).await.expect("the store");
        let records: Arc<dyn RecordStore> = Arc::new(store.clone());
        let tasks = Tasks::new(records.clone(), Arc::new(SystemClock), Arc::new(|_| 0));
        for issue in issues {
            store_issue(&*records, &tasks, ORG, &issue, created_at()).await;
        }
        store.close().await;
    });
}

/// Stores the issues with the numbers from 1 to `count`.
pub(crate) fn store_tasks(path: &Path, count: i64) {
    store_issues(path, (1..=count).map(|number| task_issue((7, "web-app"), number, created_at())));
}
