//! Tasks: cached issues that workers claim.
//!
//! * A **task** is what the store holds about an issue that has or had a task label: who works on it, how often it
//!   failed, and where the index of assignable issues has it ([`Task`]). It is one record, and each change of it
//!   expects its revision, so two workers never get one claim.
//! * The index, the leases and the claim of a worker are records that follow from the task. They change in the commit
//!   that changes the task, and every such commit has the change's audit row.
//! * A **claim** has a lease and a **fence**, a number that grows with each claim of the issue. Only this service's clock
//!   decides whether a lease is expired. [`TAKEOVER_AFTER`] later another worker can get the issue.
//! * No request reads GitHub: a commit that changes a cached issue also changes its task ([`TaskFollower`]).

mod claim_id;
mod entries;
mod follower;
mod list;
mod live;
mod log;
mod redact;
mod reports;
mod requests;
mod rules;
mod task;

pub use claim_id::ClaimId;
pub use follower::TaskFollower;
pub use list::{TaskFilter, TaskPage, TaskState, TaskSummary};
pub use log::{LogAppend, LogPage, MAX_LOG_LINE_CHARS, MAX_LOG_LINES};
pub use redact::redact;
pub use reports::{ReportKind, ReportOutcome, TaskReport};
pub use requests::{Assignment, RequestOutcome, WorkRequest};
pub use rules::{Unassignable, login_of_worker};
pub use task::{Cancellation, ClaimOutcome, EndedClaim, LiveClaim, Task, TaskPhase};

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::{Clock, TaskRules};
use gam_store::{Error as StoreError, RecordStore};

use crate::repo::load_org;

/// How long after the end of a lease another worker can get the issue.
pub const TAKEOVER_AFTER: TimeDelta = TimeDelta::seconds(60);
/// How often a change is tried again after somebody else changed the task first.
const MAX_CONFLICTS: u32 = 10;

/// Why a request about tasks failed.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The request is invalid. The text says why, and what to do.
    #[error("{0}")]
    Invalid(String),
    /// There is no such task or claim, or the principal must not know of it.
    #[error("{0}")]
    NotFound(String),
    /// Somebody else holds a claim with a greater fence, or the fence is not the one of the claim.
    #[error("{0}")]
    Stale(String),
    /// The claim has ended.
    #[error("{0}")]
    Ended(String),
    /// Others changed the same task again and again, or too many workers requested tasks at once.
    #[error("too many workers changed the same task at once: retry in a second")]
    Busy,
    /// The store failed.
    #[error("cannot read or change the tasks in the store")]
    Store(#[from] StoreError),
}

/// Returns a number below the argument, which is at least 1. Workers that request tasks at the same time must not all
/// pick the same issue.
pub type RandomPick = Arc<dyn Fn(usize) -> usize + Send + Sync>;

/// The tasks of a store. Clones share it.
#[derive(Clone)]
pub struct Tasks {
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    pick: RandomPick,
}

impl Tasks {
    /// Connects to the records of a store.
    pub fn new(records: Arc<dyn RecordStore>, clock: Arc<dyn Clock>, pick: RandomPick) -> Self {
        Tasks { records, clock, pick }
    }

    /// Returns what keeps the tasks up to date with the cache of issues.
    pub fn follower(&self) -> TaskFollower {
        TaskFollower::new(self.records.clone())
    }

    /// Returns the rules that apply to an organization: those that its record has, so that a claim reads no lake.
    async fn rules(&self, org: &str, now: DateTime<Utc>) -> Result<TaskRules, StoreError> {
        Ok(load_org(&*self.records, org, now).await?.0.task_rules())
    }
}
