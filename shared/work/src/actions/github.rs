//! The port to GitHub: what actions read there, and what they send.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::request::{MergeMethod, RepositoryName};

/// A request that changes something on GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteCall {
    /// Creates an issue.
    CreateIssue {
        /// The title.
        title: String,
        /// The description, with the marker.
        body: String,
        /// Names of labels.
        labels: Vec<String>,
        /// Logins.
        assignees: Vec<String>,
        /// The number of a milestone.
        milestone: Option<i64>,
    },
    /// Comments on an issue or a pull request.
    CreateComment {
        /// Its number.
        number: i64,
        /// The comment, with the marker.
        body: String,
    },
    /// Creates a pull request.
    CreatePull {
        /// The title.
        title: String,
        /// The description, with the marker.
        body: String,
        /// The branch to merge.
        head: String,
        /// The branch to merge into.
        base: String,
        /// Whether it is a draft.
        is_draft: bool,
    },
    /// Approves a commit of a pull request.
    Approve {
        /// The number of the pull request.
        number: i64,
        /// The head commit that is approved.
        commit_id: String,
        /// The text of the review, with the marker.
        body: String,
    },
    /// Merges a pull request if its head is still the commit.
    Merge {
        /// The number of the pull request.
        number: i64,
        /// The expected head commit.
        sha: String,
        /// How to merge. `None` for GitHub's default.
        method: Option<MergeMethod>,
        /// The first line of the commit message. `None` for GitHub's default.
        title: Option<String>,
        /// The rest of the commit message. `None` for GitHub's default.
        message: Option<String>,
        /// Whether to use the endpoint that can be repeated: GitHub answers a repetition with the first request.
        is_repeatable: bool,
    },
    /// Adds a pull request to the merge queue of its base branch if its head is still the commit.
    Enqueue {
        /// GitHub's node id of the pull request.
        node_id: String,
        /// The expected head commit.
        sha: String,
    },
}

/// What became of a request that was sent at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// GitHub did it.
    Done(WriteAnswer),
    /// GitHub did not do it.
    Refused {
        /// The HTTP status. `None` if the request was not sent.
        status: Option<u16>,
        /// GitHub's reason.
        message: String,
        /// What to do about it.
        kind: RefusalKind,
    },
    /// The request was sent, and no answer says what GitHub did.
    Unknown {
        /// What happened to the answer.
        message: String,
    },
}

/// What to do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The same request is refused again.
    Final,
    /// A rate limit. Nothing should be sent for this long.
    Limited(Duration),
    /// No connection was made.
    NotSent,
}

/// GitHub's answer to a request that it carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteAnswer {
    /// It created an issue, a comment, a pull request or a review.
    Created {
        /// The number of the issue or pull request. `None` for comments and reviews.
        number: Option<i64>,
        /// GitHub's id.
        id: i64,
        /// The address of its page.
        url: String,
        /// The names of the labels that it has.
        labels: Vec<String>,
        /// The logins of its assignees.
        assignees: Vec<String>,
        /// Whether it has a milestone.
        has_milestone: bool,
    },
    /// What became of a merge so far.
    Merge(MergeStatus),
}

/// How far a merge is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MergeStatus {
    /// GitHub works on it.
    Pending {
        /// The id of GitHub's merge request.
        uuid: String,
        /// The head commit that it merges, if GitHub says it.
        sha: Option<String>,
    },
    /// It is merged.
    Merged {
        /// The commit on the base branch, if GitHub says it.
        sha: Option<String>,
    },
    /// The merge queue has it.
    Queued,
    /// GitHub did not merge it.
    Failed {
        /// Why.
        message: String,
    },
}

/// Why GitHub could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ReadError {
    /// What was wrong, and what to do.
    pub message: String,
    /// What to do about it.
    pub kind: ReadErrorKind,
}

/// What to do about a failed read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadErrorKind {
    /// It is not there, or the credential may not see it.
    NotFound,
    /// It fails again until somebody changes something.
    Final,
    /// A later read may succeed.
    Temporary,
}

/// What GitHub says of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// The present name. A renamed repository answers to its old one, too.
    pub name: RepositoryName,
    /// The name of the default branch.
    pub default_branch: String,
    /// Whether it is read-only.
    pub is_archived: bool,
    /// Whether it has issues.
    pub has_issues: bool,
}

/// What GitHub says of a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchFacts {
    /// The name.
    pub name: String,
    /// The newest commit.
    pub sha: String,
    /// When it was committed, UTC, as the committer's clock had it.
    pub committed_at: DateTime<Utc>,
    /// Whether an open pull request is to merge it.
    pub has_open_pull: bool,
}

/// Whether a pull request is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullState {
    /// It is open.
    Open,
    /// It was closed, and not merged.
    Closed,
    /// It was merged.
    Merged,
}

/// What GitHub says of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullFacts {
    /// The number.
    pub number: i64,
    /// GitHub's node id.
    pub node_id: String,
    /// The address of its page.
    pub url: String,
    /// The title.
    pub title: String,
    /// The description.
    pub body: String,
    /// The login of the author, with `[bot]` for an app. `None` for a deleted account.
    pub author: Option<String>,
    /// Whether it is open.
    pub state: PullState,
    /// Whether it is a draft.
    pub is_draft: bool,
    /// Whether its branch is in another repository.
    pub is_fork: bool,
    /// The branch to merge.
    pub head: String,
    /// The head commit.
    pub head_sha: String,
    /// The branch to merge into.
    pub base: String,
    /// The commit on the base branch, if it is merged.
    pub merge_sha: Option<String>,
    /// Whether it is in a merge queue.
    pub is_queued: bool,
    /// Whether it can be merged without conflicts. `None` while GitHub computes that.
    pub is_mergeable: Option<bool>,
}

/// A text of a list: an issue or a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedText {
    /// The number of an issue. 0 for a comment.
    pub number: i64,
    /// GitHub's id.
    pub id: i64,
    /// The address of its page.
    pub url: String,
    /// The text.
    pub body: String,
    /// The login of the author, with `[bot]` for an app.
    pub author: Option<String>,
    /// The names of the labels of an issue.
    pub labels: Vec<String>,
    /// The logins of the assignees of an issue.
    pub assignees: Vec<String>,
    /// Whether an issue has a milestone.
    pub has_milestone: bool,
}

/// A review of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewFacts {
    /// GitHub's id.
    pub id: i64,
    /// The address.
    pub url: String,
    /// The login of the reviewer, with `[bot]` for an app.
    pub author: Option<String>,
    /// Whether it approves.
    pub is_approval: bool,
    /// The commit that it is about.
    pub commit_id: String,
}

/// GitHub, as actions use it. The implementation has the only credential that may write. Its futures stay on the thread of
/// [`super::Actions::run_due`].
#[async_trait(?Send)]
pub trait GitHubActions: Send + Sync {
    /// Names the account that GitHub keeps limits for, if it acts in the organization of this owner. It contains no
    /// secret.
    fn account(&self, owner: &str) -> String;

    /// Returns the login under which GitHub shows what is written for this owner, with `[bot]` for an app.
    async fn login(&self, owner: &str) -> Result<String, ReadError>;

    /// Sends a request once. It is never repeated after it may have reached GitHub.
    async fn write(&self, repo: &RepositoryName, call: &WriteCall) -> WriteOutcome;

    /// Reads a repository.
    async fn repository(&self, repo: &RepositoryName) -> Result<RepositoryFacts, ReadError>;

    /// Reads all branches.
    async fn branches(&self, repo: &RepositoryName) -> Result<Vec<BranchFacts>, ReadError>;

    /// Returns the newest commit of a branch, or `None` if there is no such branch.
    async fn branch(&self, repo: &RepositoryName, branch: &str) -> Result<Option<String>, ReadError>;

    /// Returns how many commits `head` has that `base` has not.
    async fn commits_ahead(&self, repo: &RepositoryName, base: &str, head: &str) -> Result<u64, ReadError>;

    /// Reads a pull request, or returns `None` if there is none.
    async fn pull(&self, repo: &RepositoryName, number: i64) -> Result<Option<PullFacts>, ReadError>;

    /// Lists up to 100 open pull requests, the newest first.
    async fn open_pulls(&self, repo: &RepositoryName) -> Result<Vec<PullFacts>, ReadError>;

    /// Lists the pull requests of a branch of the repository into another one, in any state, the newest first.
    async fn pulls_of(
        &self,
        repo: &RepositoryName,
        head: &str,
        base: &str,
    ) -> Result<Vec<PullFacts>, ReadError>;

    /// Lists the issues that changed at or after `since`, on all pages.
    async fn issues_since(
        &self,
        repo: &RepositoryName,
        since: DateTime<Utc>,
    ) -> Result<Vec<ListedText>, ReadError>;

    /// Lists the comments of an issue or pull request that changed at or after `since`, on all pages.
    async fn comments_since(
        &self,
        repo: &RepositoryName,
        number: i64,
        since: DateTime<Utc>,
    ) -> Result<Vec<ListedText>, ReadError>;

    /// Lists the reviews of a pull request, on all pages.
    async fn reviews(&self, repo: &RepositoryName, number: i64) -> Result<Vec<ReviewFacts>, ReadError>;

    /// Returns how far a merge request is, or `None` if GitHub does not know it any more.
    async fn merge_status(
        &self,
        repo: &RepositoryName,
        number: i64,
        uuid: &str,
    ) -> Result<Option<MergeStatus>, ReadError>;
}
