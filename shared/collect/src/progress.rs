//! What a run reports while it works.

use chrono::{DateTime, Utc};

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CollectProgress {
    /// The organization's repositories were listed.
    Listed {
        /// The organization's login, as GitHub writes it.
        org: String,
        /// Number of repositories in scope.
        repos: usize,
        /// Number of repositories with something to read.
        changed: usize,
    },
    /// A page of a repository was read and saved.
    Page {
        /// The repository's name.
        repo: String,
        /// What was read: `commits`, `pull_requests`, `issues`, `releases`, `deployments` or `workflow_runs`.
        what: &'static str,
        /// Number of events that the page produced.
        events: usize,
    },
    /// A repository was read to the end.
    RepoDone {
        /// The repository's name.
        repo: String,
    },
    /// A repository could not be read. The others continue.
    RepoFailed {
        /// The repository's name.
        repo: String,
        /// The reason, for people.
        why: String,
    },
    /// A comparison of the organization's repositories with GitHub has begun.
    Comparing {
        /// The organization's login, as GitHub writes it.
        org: String,
        /// Number of repositories to compare.
        repos: usize,
    },
    /// A repository was compared with GitHub.
    Compared {
        /// The repository's name.
        repo: String,
    },
    /// The run waits for a limit of the API to reset.
    Waiting {
        /// When the limit resets, UTC.
        until: DateTime<Utc>,
        /// The reason, for people.
        why: String,
    },
}

/// Receives the progress of a run. Implementations must return quickly and must not fail.
pub trait CollectObserver: Send + Sync {
    /// Called for each step of the run.
    fn notice(&self, progress: CollectProgress);
}

/// Ignores all progress.
impl CollectObserver for () {
    fn notice(&self, _: CollectProgress) {}
}
