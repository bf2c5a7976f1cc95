//! An issue as GitHub returns it, in a webhook and from the REST API alike.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Whether an issue is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssueState {
    /// Open, also after it was reopened.
    Open,
    /// Closed, for whatever reason.
    Closed,
}

/// A GitHub account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IssueUser {
    /// GitHub's id of the account. Logins change, ids do not.
    pub id: i64,
    /// The login as GitHub displayed it last.
    pub login: String,
}

/// A label on an issue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IssueLabel {
    /// GitHub's id of the label. It survives a rename.
    pub id: i64,
    /// The latest known name.
    pub name: String,
}

/// The milestone of an issue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IssueMilestone {
    /// The number within the repository.
    pub number: i64,
    /// The title.
    pub title: String,
}

/// Identifies an issue or a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ThreadRef {
    /// GitHub's id of the repository.
    pub repo_id: i64,
    /// The number within the repository.
    pub number: i64,
}

/// Where a page of GitHub's lists of issues begins. Lists are in order of the last change, and issues that change while
/// they are read move to the end. So a position is a time, and a page number only among changes of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssueListPosition {
    /// The page has issues that changed at this time or later, UTC. `None` for all issues.
    pub since: Option<DateTime<Utc>>,
    /// The number of the page among these, from 1.
    pub page: usize,
    /// The number of the last issue of the page before. `None` for the first page.
    pub last_number: Option<i64>,
}

/// What GitHub returns of an issue in one object. All times are UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueDetails {
    /// The number within the repository.
    pub number: i64,
    /// The id for GraphQL.
    pub node_id: String,
    /// The title.
    pub title: String,
    /// The description, Markdown. Empty if there is none.
    pub body: String,
    /// Open or closed.
    pub state: IssueState,
    /// Why it was closed or reopened: `completed`, `not_planned`, `reopened`, `duplicate`.
    pub state_reason: Option<String>,
    /// Whether the conversation is locked.
    pub is_locked: bool,
    /// Labels in order of their ids.
    pub labels: Vec<IssueLabel>,
    /// Assignees in order of their ids.
    pub assignees: Vec<IssueUser>,
    /// The author. `None` if the account was deleted.
    pub author: Option<IssueUser>,
    /// The milestone, if it has one.
    pub milestone: Option<IssueMilestone>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// The last change by GitHub's clock, in full seconds. Two different states can have the same one.
    pub updated_at: DateTime<Utc>,
    /// When it was closed. `None` while it is open.
    pub closed_at: Option<DateTime<Utc>>,
    /// Number of open issues that block it. `None` if GitHub did not say, as older versions do not.
    pub blocked_by_open: Option<u32>,
    /// Number of its sub-issues that are not completed. `None` if GitHub did not say.
    pub sub_issues_open: Option<u32>,
}

/// An issue of GitHub's REST API or of a webhook, as JSON.
#[derive(Debug, Clone, Deserialize)]
pub struct RestIssue {
    number: i64,
    #[serde(default)]
    node_id: String,
    title: String,
    body: Option<String>,
    state: IssueState,
    state_reason: Option<String>,
    #[serde(default)]
    locked: bool,
    #[serde(default)]
    labels: Vec<IssueLabel>,
    #[serde(default)]
    assignees: Vec<IssueUser>,
    user: Option<IssueUser>,
    milestone: Option<IssueMilestone>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    issue_dependencies_summary: Option<DependenciesSummary>,
    sub_issues_summary: Option<SubIssuesSummary>,
    pull_request: Option<serde::de::IgnoredAny>,
    repository_url: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct SubIssuesSummary {
    total: u32,
    completed: u32,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct DependenciesSummary {
    blocked_by: u32,
}

impl RestIssue {
    /// Returns the owner and the name of the issue's repository. `None` if GitHub did not send its address.
    pub fn repository(&self) -> Option<(&str, &str)> {
        let (rest, name) = self.repository_url.as_deref()?.rsplit_once('/')?;
        Some((rest.rsplit_once('/')?.1, name))
    }

    /// Returns the number within the repository.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Returns the last change by GitHub's clock, UTC.
    pub fn updated_at(&self) -> DateTime<Utc> {
        self.updated_at
    }

    /// Returns the issue, or `None` if the object is a pull request, which the REST API lists as an issue.
    pub fn into_details(self) -> Option<IssueDetails> {
        if self.pull_request.is_some() {
            return None;
        }
        let (mut labels, mut assignees) = (self.labels, self.assignees);
        labels.sort_by_key(|label| label.id);
        assignees.sort_by_key(|user| user.id);
        Some(IssueDetails {
            number: self.number,
            node_id: self.node_id,
            title: self.title,
            body: self.body.unwrap_or_default(),
            state: self.state,
            state_reason: self.state_reason,
            is_locked: self.locked,
            labels,
            assignees,
            author: self.user,
            milestone: self.milestone,
            created_at: self.created_at,
            updated_at: self.updated_at,
            closed_at: self.closed_at,
            blocked_by_open: self.issue_dependencies_summary.map(|summary| summary.blocked_by),
            sub_issues_open: self
                .sub_issues_summary
                .map(|summary| summary.total.saturating_sub(summary.completed)),
        })
    }
}
