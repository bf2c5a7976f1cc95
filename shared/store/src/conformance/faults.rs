//! A store that loses answers and lets processes die, for the tests of use cases.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::{Error, Result};
use crate::keys::{RecordKey, RecordRange};
use crate::record::{CommitOutcome, Record, RecordCommit, RecordStore};

/// What happens to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// Nothing.
    None,
    /// The store cannot be reached.
    Refused,
    /// The commit is made, but its answer is lost. The caller can repeat it.
    AnswerLost,
    /// The process dies before the commit.
    CrashBefore,
    /// The process dies after the commit.
    CrashAfter,
}

/// Records whose commits have faults.
pub struct FaultyRecords {
    /// The records.
    pub inner: Arc<dyn RecordStore>,
    /// Returns what happens to the next commit.
    pub fault: Box<dyn Fn() -> CommitFault + Send + Sync>,
}

/// Returns the error after which a process is dead.
fn crash() -> Error {
    Error::Unusable { what: "the process died".to_owned(), source: None }
}

fn unavailable() -> Error {
    Error::unavailable("a test", std::io::Error::other("the answer is lost"))
}

#[async_trait]
impl RecordStore for FaultyRecords {
    async fn get(&self, key: &RecordKey, now: DateTime<Utc>) -> Result<Option<Record>> {
        self.inner.get(key, now).await
    }

    async fn range(
        &self,
        range: &RecordRange,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<(RecordKey, Record)>> {
        self.inner.range(range, limit, now).await
    }

    async fn commit(&self, commit: &RecordCommit, now: DateTime<Utc>) -> Result<CommitOutcome> {
        let fault = (self.fault)();
        match fault {
            CommitFault::Refused => return Err(unavailable()),
            CommitFault::CrashBefore => return Err(crash()),
            CommitFault::None | CommitFault::AnswerLost | CommitFault::CrashAfter => {}
        }
        let outcome = self.inner.commit(commit, now).await?;
        match fault {
            CommitFault::AnswerLost => Err(unavailable()),
            CommitFault::CrashAfter => Err(crash()),
            _ => Ok(outcome),
        }
    }
}
