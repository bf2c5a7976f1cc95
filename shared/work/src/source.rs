//! The port to GitHub: what the cache of issues fetches.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gam_model::issue::{IssueDetails, IssueListPosition, IssueUser, ThreadRef};

/// A repository by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepoAddress {
    /// The owner's current login.
    pub owner: String,
    /// The current name.
    pub name: String,
}

/// An issue that is to be fetched, by names, because GitHub returns no ids of repositories with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IssueAddress {
    /// The repository.
    pub repo: RepoAddress,
    /// The number.
    pub number: i64,
}

/// A label that was set on an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelEvent {
    /// The name of the label at present.
    pub label: String,
    /// Who set it.
    pub by: Option<IssueUser>,
    /// When, UTC.
    pub at: DateTime<Utc>,
}

/// An issue and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedIssue {
    /// The issue.
    pub details: IssueDetails,
    /// Open pull requests that close it. `None` if that is unknown.
    pub closing_pull_requests: Option<Vec<ThreadRef>>,
    /// When labels were set, in order of time. The newest ones at least.
    pub label_events: Vec<LabelEvent>,
    /// When title or body were edited last, UTC. `None` if they never were.
    pub edited_at: Option<DateTime<Utc>>,
}

/// What GitHub answered for one issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssueAnswer {
    /// The issue.
    Found(Box<FetchedIssue>),
    /// It was deleted or transferred.
    Gone,
    /// It is a pull request.
    PullRequest,
}

/// A page of the list of issues of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssueListPage {
    /// The issues. Pull requests are left out. Of closed issues, only the details are known.
    pub issues: Vec<FetchedIssue>,
    /// Where the next page begins. `None` if there is none.
    pub next: Option<IssueListPosition>,
}

/// Which issues a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssueListQuery {
    /// All open issues, in order of their last change.
    Open,
    /// All issues that changed at this time or later, UTC, in order of their last change.
    ChangedSince(DateTime<Utc>),
}

/// What shows whether the issues of a repository have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoSummary {
    /// GitHub's id.
    pub id: i64,
    /// The node id for GraphQL.
    pub node_id: String,
    /// The current name.
    pub name: String,
    /// Number of issues, open and closed.
    pub issues: i64,
    /// The last change of any issue, UTC. `None` if there is none.
    pub changed_at: Option<DateTime<Utc>>,
}

/// Why GitHub did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// The reason, for people.
    pub message: String,
    /// Whether the same request may succeed later.
    pub is_temporary: bool,
    /// Whether the repository, or the access to it, is gone.
    pub is_not_found: bool,
}

/// Reads issues from GitHub. The futures stay on one thread.
#[async_trait(?Send)]
pub trait IssueSource: Send + Sync {
    /// Fetches one issue.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    async fn issue(&self, repo: &RepoAddress, number: i64) -> Result<IssueAnswer, SourceError>;

    /// Lists a page of issues: the first one, or the one at a position. An issue may be on several pages, and none is
    /// missing because others changed between two pages.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    async fn issues(
        &self,
        repo: &RepoAddress,
        query: IssueListQuery,
        position: Option<IssueListPosition>,
    ) -> Result<IssueListPage, SourceError>;

    /// Lists the issues that wait for an issue: those that it blocks, and the one that it is a sub-issue of.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    async fn blocked_by(&self, repo: &RepoAddress, number: i64) -> Result<Vec<IssueAddress>, SourceError>;

    /// Lists the issues that a pull request closes.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    async fn closed_by(&self, repo: &RepoAddress, number: i64) -> Result<Vec<IssueAddress>, SourceError>;

    /// Returns whether an account has write permission in a repository.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    async fn can_write(&self, repo: &RepoAddress, login: &str) -> Result<bool, SourceError>;

    /// Returns GitHub's id of the repository that has this name now. Another one may have taken the name of one that is gone.
    ///
    /// # Errors
    /// If GitHub cannot be read, or there is none.
    async fn repo_id(&self, repo: &RepoAddress) -> Result<i64, SourceError>;

    /// Returns the repositories of an organization.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    async fn repos(&self, org: &str) -> Result<Vec<RepoSummary>, SourceError>;
}
