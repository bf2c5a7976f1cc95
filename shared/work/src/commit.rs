//! Commits whose answers may be lost.

use std::time::Duration;

use gam_model::Clock;
use gam_store::{CommitOutcome, RecordCommit, RecordStore, Result};

/// How often a commit is repeated if its answer is lost.
const MAX_COMMIT_RETRIES: u32 = 4;
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Commits, and repeats the commit if its answer is lost.
///
/// # Errors
/// If the store fails. After a retryable error nobody knows whether the writes were applied.
pub async fn commit_with_retries(
    records: &dyn RecordStore,
    commit: &RecordCommit,
    clock: &dyn Clock,
) -> Result<CommitOutcome> {
    let mut retries = 0;
    loop {
        match records.commit(commit, clock.now()).await {
            Err(error) if error.is_retryable() && retries < MAX_COMMIT_RETRIES => {
                retries += 1;
                tokio::time::sleep(RETRY_PAUSE * retries).await;
            }
            outcome => return outcome,
        }
    }
}
