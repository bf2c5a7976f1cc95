//! What tasks promise on every store, for the tests of adapters: a clock that tests set, a store that loses answers and
//! lets processes die, and many workers.
//!
//! The workers run at once, so run them on a multi-thread runtime.

mod many_workers;

pub use many_workers::many_workers;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use gam_model::Clock;
use gam_store::{CommitOutcome, Error, Record, RecordCommit, RecordKey, RecordRange, RecordStore, Result};

/// A clock that tests set. Clones show the same time, each with its own difference.
#[derive(Clone)]
pub struct TestClock {
    time: Arc<Mutex<DateTime<Utc>>>,
    ahead: TimeDelta,
}

impl TestClock {
    /// Creates a clock that shows this time.
    pub fn new(time: DateTime<Utc>) -> Self {
        TestClock { time: Arc::new(Mutex::new(time)), ahead: TimeDelta::zero() }
    }

    /// Returns a clock that is ahead of this one.
    #[must_use]
    pub fn ahead(&self, ahead: TimeDelta) -> Self {
        TestClock { ahead, ..self.clone() }
    }

    /// Lets time pass, for all clones.
    pub fn advance(&self, by: TimeDelta) {
        *self.time.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.time.lock().unwrap_or_else(PoisonError::into_inner) + self.ahead
    }
}

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
pub fn crash() -> Error {
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
