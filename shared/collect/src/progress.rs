//! What a use case tells while it works.

use chrono::{DateTime, Utc};

/// Something that happened during a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CollectProgress {
    /// The organization's repositories were listed.
    Listed {
        /// The organization, as GitHub spells it.
        org: String,
        /// How many repositories are in question.
        repos: usize,
        /// How many of them have something to read.
        changed: usize,
    },
    /// A page of a repository was read and saved.
    Page {
        /// The repository.
        repo: String,
        /// What was read: `commits`, `pull_requests`, `issues`, `releases` or `deployments`.
        what: &'static str,
        /// How many events it made.
        events: usize,
    },
    /// A repository has been read.
    RepoDone {
        /// The repository.
        repo: String,
    },
    /// A repository could not be read; the others go on.
    RepoFailed {
        /// The repository.
        repo: String,
        /// Why.
        why: String,
    },
    /// The organization's repositories are to be compared with GitHub.
    Comparing {
        /// The organization, as GitHub spells it.
        org: String,
        /// How many are compared.
        repos: usize,
    },
    /// A repository has been compared.
    Compared {
        /// The repository.
        repo: String,
    },
    /// The run waits for the API's limit to be reset.
    Waiting {
        /// Until when, UTC.
        until: DateTime<Utc>,
        /// Why.
        why: String,
    },
}

/// Hears of a run's progress. It must return quickly and must not fail.
pub trait CollectObserver: Send + Sync {
    /// Takes note.
    fn notice(&self, progress: CollectProgress);
}

/// Ignores all progress.
impl CollectObserver for () {
    fn notice(&self, _: CollectProgress) {}
}
