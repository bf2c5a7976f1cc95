//! What a run reports when it ends.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use gam_github::{Error, Usage};

use crate::gaps::{REPOSITORY, ReportedGap};
use crate::{RepoCost, WorkItem};

/// What a collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectReport {
    /// The organization's login, as GitHub writes it.
    pub org: String,
    /// Number of repositories in scope.
    pub repos: usize,
    /// Number of events written to the inbox.
    pub events: usize,
    /// Number of batches written to the inbox.
    pub batches: usize,
    /// Number of requests sent to GitHub.
    pub requests: u64,
    /// What all requests cost.
    pub usage: Usage,
    /// What reading each repository cost. Repositories that had nothing to read are left out.
    pub costs: Vec<RepoCost>,
    /// Names of repositories that GitHub no longer shows. What was collected of them stays.
    pub gone: Vec<String>,
    /// Names of repositories that GitHub blocks, with the reason. What was collected of them stays.
    pub blocked: Vec<(String, String)>,
    /// Names of repositories that failed, with the reason. What was read of them is saved.
    pub failed: Vec<(String, String)>,
    /// What could not be read, and is missing in the numbers. Not all of it is new.
    pub gaps: Vec<ReportedGap>,
    /// What a person should know about the numbers.
    pub warnings: Vec<CollectWarning>,
    /// When GitHub listed the repositories, by its own clock, UTC; `None` if it did not say.
    pub read_at: Option<DateTime<Utc>>,
    /// Why the API's limits stopped the run; `None` if they did not. What was read is saved.
    pub limited: Option<Limited>,
}

/// Something that a person should know about the numbers of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectWarning {
    /// The repository's name; `None` if it is about the organization.
    pub repo: Option<String>,
    /// The warning.
    pub text: String,
}

/// The API's limits stopped a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    /// When the limits reset, UTC; `None` if GitHub did not say.
    pub until: Option<DateTime<Utc>>,
    /// Why, in the words of GitHub or of the client.
    pub why: String,
}

/// The repositories of an organization that have something to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkPlan {
    /// The organization's login, as GitHub writes it.
    pub org: String,
    /// Number of repositories in scope.
    pub repos: usize,
    /// The repositories that have something to read.
    pub items: Vec<WorkItem>,
    /// Names of repositories that cannot be read, with the reason.
    pub failed: Vec<(String, String)>,
    /// What a person should know about the numbers.
    pub warnings: Vec<CollectWarning>,
    /// Number of requests sent to GitHub.
    pub requests: u64,
}

/// What [`work`](crate::work) did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkReport {
    /// What the run did in total.
    pub report: CollectReport,
    /// Ids of repositories that the limits stopped. What was read of them is saved, and more is left.
    pub stopped: BTreeSet<i64>,
    /// Repositories that failed, by id.
    pub failed: BTreeMap<i64, RepoFailure>,
}

/// Why a repository failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoFailure {
    /// The reason, for people. If several lists failed, it names all of them.
    pub why: String,
    /// Whether another try may succeed.
    pub is_transient: bool,
    /// The lists that failed, each with its reason: `commits`, `pull_requests`, `issues`, `releases`, `deployments`,
    /// or `repository` for all of them.
    pub lists: Vec<(&'static str, String)>,
}

impl RepoFailure {
    /// Another try cannot help until somebody does something about it.
    pub(crate) fn permanent(why: String) -> Self {
        RepoFailure { lists: vec![(REPOSITORY, why.clone())], why, is_transient: false }
    }

    /// Another try may succeed.
    pub(crate) fn transient(why: String) -> Self {
        RepoFailure { is_transient: true, ..Self::permanent(why) }
    }

    /// A list of the repository failed.
    pub(crate) fn of_list(list: &'static str, error: &Error) -> Self {
        let why = error.to_string();
        RepoFailure { lists: vec![(list, why.clone())], why, is_transient: error.is_transient() }
    }

    /// Adds that another list failed too.
    pub(crate) fn add(&mut self, other: RepoFailure) {
        if !self.why.contains(&other.why) {
            self.why = format!("{}; {}", self.why, other.why);
        }
        self.is_transient &= other.is_transient;
        self.lists.extend(other.lists);
    }

    /// Returns the failure of the repositories that a failed request was about. `what` says what could not
    /// be done.
    ///
    /// # Errors
    /// The error itself, if no other request can succeed either: the limits are used up, or GitHub rejects
    /// the token.
    pub(crate) fn unless_fatal(error: Error, what: &str) -> Result<Self, Error> {
        if matches!(error, Error::Limited { .. } | Error::Unauthorized(_)) {
            return Err(error);
        }
        let why = format!("{what}: {error}");
        Ok(if error.is_transient() { Self::transient(why) } else { Self::permanent(why) })
    }
}
