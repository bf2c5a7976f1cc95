//! Which runs of a workflow have been read.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The runs of a workflow on a repository's default branch that have been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkflowCheckpoint {
    /// All runs created from this moment on have been read, UTC; `None` before the first walk has finished.
    pub covered_from: Option<DateTime<Utc>>,
    /// When the newest run was created, as of the beginning of the last finished walk, UTC.
    pub watermark: Option<DateTime<Utc>>,
    /// Runs that may still succeed or fail, by numeric id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unsettled: BTreeMap<i64, UnsettledRun>,
    /// When the oldest run was created that may still succeed or fail and is not in `unsettled`, UTC, because there
    /// are too many to remember; `None` if all are remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_again_from: Option<DateTime<Utc>>,
    /// The tag of GitHub's last answer with the newest runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// When the oldest run of that answer was created, UTC; `None` if it has all runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_from: Option<DateTime<Utc>>,
    /// The tip of the default branch at which the repository had no such workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absent_at: Option<String>,
    /// An unfinished walk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub walk: Option<WorkflowRunWalk>,
}

impl WorkflowCheckpoint {
    /// How many runs are remembered at most, so that the checkpoint stays small.
    const MAX_UNSETTLED: usize = 1_000;

    /// Remembers a run that may still succeed or fail. If they become too many, the time of the oldest one is
    /// remembered instead.
    pub(crate) fn remember(&mut self, id: i64, run: UnsettledRun) {
        self.unsettled.insert(id, run);
        if self.unsettled.len() > Self::MAX_UNSETTLED {
            let oldest = std::mem::take(&mut self.unsettled).into_values().map(|run| run.created_at).min();
            self.read_again_from = self.read_again_from.into_iter().chain(oldest).min();
        }
    }

    /// Returns when the oldest run was created that may still succeed or fail, UTC.
    pub(crate) fn oldest_unsettled(&self) -> Option<DateTime<Utc>> {
        let remembered = self.unsettled.values().map(|run| run.created_at);
        remembered.chain(self.read_again_from).min()
    }
}

/// A run that may still succeed or fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsettledRun {
    /// When it was created, UTC.
    pub created_at: DateTime<Utc>,
    /// The number of the last attempt that had ended without success; 0 if none had.
    pub attempts: i64,
}

/// An unfinished walk from the newest run down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowRunWalk {
    /// When the newest run was created, as of the beginning of the walk, UTC.
    pub watermark: Option<DateTime<Utc>>,
    /// The walk reads every run created from this moment on, UTC.
    pub lower_bound: DateTime<Utc>,
    /// When the run was created that was read last, UTC.
    pub reached: DateTime<Utc>,
    /// Runs created from this moment on may be unsettled although they are not remembered, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck_from: Option<DateTime<Utc>>,
}
