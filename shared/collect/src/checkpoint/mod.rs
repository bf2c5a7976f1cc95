//! How far each repository has been read. Every time in a checkpoint comes from GitHub's clock.
//!
//! Checkpoints are stored as JSON. Fields whose name differs from the stored one are pinned with
//! `serde(rename)`.

mod commits;
mod deployments;
#[cfg(test)]
mod format;
mod releases;
mod threads;
mod unanswered;
mod workflow_runs;

use std::collections::BTreeMap;

use gam_github::RepoState;
use serde::{Deserialize, Serialize};

pub use commits::{
    CommitWalk, CommitsCheckpoint, CoveredCommits, HistorySearch, HistoryWindow, MoveStep, PendingLineCounts,
    TipMove,
};
pub use deployments::{DeploymentsCheckpoint, DeploymentsWalk, UnsettledDeployment};
pub use releases::{ProbedReleases, ReleaseListEnd, ReleasesCheckpoint};
pub use threads::{ThreadsCheckpoint, ThreadsWalk, WalkDirection};
pub use unanswered::{UnansweredEntries, UnansweredItem};
pub use workflow_runs::{UnsettledRun, WorkflowCheckpoint, WorkflowRunWalk};

/// How far a repository has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepoCheckpoint {
    /// Commits on the default branch.
    pub commits: CommitsCheckpoint,
    /// Pull requests.
    pub pulls: ThreadsCheckpoint,
    /// Issues.
    pub issues: ThreadsCheckpoint,
    /// Releases.
    pub releases: ReleasesCheckpoint,
    /// Deployments.
    pub deployments: DeploymentsCheckpoint,
    /// Runs of the workflows that count as deployments, by the name of the workflow's file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub workflows: BTreeMap<String, WorkflowCheckpoint>,
    /// Why nothing new may come from the repository. What was collected stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<RepoState>,
}
