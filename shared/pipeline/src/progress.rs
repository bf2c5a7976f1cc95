//! What a use case tells while it works.

use chrono::{DateTime, Utc};
use gam_model::Month;

/// Something that happened during a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
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
    /// Inbox batches were found.
    Inbox {
        /// How many.
        batches: usize,
    },
    /// A month was folded.
    MonthDone {
        /// The month.
        month: Month,
        /// How many rollups were written.
        rollups: usize,
    },
    /// A damaged batch was set aside.
    Rejected {
        /// Where the batch is now.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Hears of a run's progress. It must return quickly and must not fail.
pub trait Observer: Send + Sync {
    /// Takes note.
    fn notice(&self, progress: Progress);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn notice(&self, _: Progress) {}
}
