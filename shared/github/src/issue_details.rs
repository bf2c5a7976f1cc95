//! Issues with everything that a worker must know of them: for the cache of issues, not for events.
//!
//! The details come from REST, because a webhook has the same form, and GraphQL has no numeric ids of labels. What
//! REST lacks comes from GraphQL, for up to a hundred issues at a time.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use gam_model::issue::{IssueDetails, IssueState, IssueUser, RestIssue, ThreadRef};
use serde::Deserialize;
use serde_json::json;

use crate::client::Client;
use crate::envelope::GraphQlError;
use crate::error::Error;
use crate::queries::{CLOSED_ISSUES, ISSUE_RELATIONS};
use crate::wire::Nodes;

/// What the requests fetch, for messages.
pub(crate) const ISSUES: &str = "issues";

/// When a label was set on an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSetting {
    /// The present name of the label.
    pub label: String,
    /// Who set it; `None` if the account was deleted.
    pub by: Option<IssueUser>,
    /// When it was set, UTC.
    pub at: DateTime<Utc>,
}

/// An issue and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetailedIssue {
    /// The issue.
    pub details: IssueDetails,
    /// Open pull requests that close it; `None` if that was not requested, because it is closed.
    pub closing_pull_requests: Option<Vec<ThreadRef>>,
    /// When labels were set, the last 50 times.
    pub labels_set: Vec<LabelSetting>,
    /// When title or body were edited last, UTC; `None` if never.
    pub edited_at: Option<DateTime<Utc>>,
}

/// What GitHub answers for the number of an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssueLookup {
    /// The issue.
    Found(Box<DetailedIssue>),
    /// There is no such issue, or it is in another repository now.
    Gone,
    /// The number is that of a pull request.
    PullRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Relations {
    id: Option<String>,
    last_edited_at: Option<DateTime<Utc>>,
    closed_by_pull_requests_references: Option<Nodes<PullRequestNode>>,
    label_events: Option<Nodes<LabelEventNode>>,
    renames: Option<Nodes<RenameNode>>,
}

#[derive(Deserialize)]
struct PullRequestNode {
    number: i64,
    repository: RepositoryId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RepositoryId {
    database_id: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LabelEventNode {
    created_at: DateTime<Utc>,
    actor: Option<ActorNode>,
    label: Option<LabelNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActorNode {
    login: String,
    database_id: Option<i64>,
}

#[derive(Deserialize)]
struct LabelNode {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenameNode {
    created_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct WithRepository {
    repository: Option<WithPullRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WithPullRequest {
    pull_request: Option<WithClosedIssues>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WithClosedIssues {
    closing_issues_references: Option<Nodes<ClosedIssueNode>>,
}

#[derive(Deserialize)]
struct ClosedIssueNode {
    number: i64,
    repository: RepositoryNode,
}

#[derive(Deserialize)]
struct RepositoryNode {
    name: String,
    owner: OwnerNode,
}

#[derive(Deserialize)]
struct OwnerNode {
    login: String,
}

#[derive(Deserialize)]
struct RepositoryNames {
    id: i64,
    full_name: String,
    #[serde(default = "has_issues")]
    has_issues: bool,
}

/// A repository has issues unless GitHub says otherwise.
fn has_issues() -> bool {
    true
}

#[derive(Deserialize)]
struct AccountPermission {
    permission: String,
}

impl Relations {
    fn add_to(self, issue: &mut DetailedIssue) {
        let pulls = self.closed_by_pull_requests_references.map(nodes).unwrap_or_default();
        let reference = |pull: PullRequestNode| {
            Some(ThreadRef { repo_id: pull.repository.database_id?, number: pull.number })
        };
        let mut pulls: Vec<ThreadRef> = pulls.into_iter().filter_map(reference).collect();
        pulls.sort();
        issue.closing_pull_requests = Some(pulls);
        let setting = |event: LabelEventNode| {
            let by =
                event.actor.and_then(|actor| Some(IssueUser { id: actor.database_id?, login: actor.login }));
            Some(LabelSetting { label: event.label?.name, by, at: event.created_at })
        };
        issue.labels_set =
            self.label_events.map(nodes).unwrap_or_default().into_iter().filter_map(setting).collect();
        let renamed_at = self.renames.map(nodes).unwrap_or_default().iter().map(|it| it.created_at).max();
        issue.edited_at = self.last_edited_at.max(renamed_at);
    }
}

fn nodes<T>(nodes: Nodes<T>) -> Vec<T> {
    nodes.nodes.into_iter().flatten().collect()
}

pub(crate) fn without_relations(details: IssueDetails) -> DetailedIssue {
    DetailedIssue { details, closing_pull_requests: None, labels_set: Vec::new(), edited_at: None }
}

impl Client {
    /// Fetches an issue. If the repository was renamed, the old name works too.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository is gone, hidden from the token, or has issues switched off; other errors if
    /// GitHub cannot be read.
    pub async fn issue_details(&self, owner: &str, repo: &str, number: i64) -> Result<IssueLookup, Error> {
        let path = format!("/repos/{owner}/{repo}/issues/{number}");
        let issue = match self.get::<RestIssue>(ISSUES, &path).await {
            Ok((issue, _)) => issue,
            Err(Error::NotFound(why)) => return self.check_gone(owner, repo, why).await,
            Err(error) => return Err(error),
        };
        if issue.number() != number || !self.is_in_repository(&issue, owner, repo).await? {
            return Ok(IssueLookup::Gone);
        }
        let Some(details) = issue.into_details() else { return Ok(IssueLookup::PullRequest) };
        let mut issues = vec![without_relations(details)];
        self.add_relations(&mut issues).await?;
        Ok(IssueLookup::Found(Box::new(issues.remove(0))))
    }

    /// Finds out whether an issue that GitHub does not return is gone. GitHub answers alike if the token may not see the
    /// repository, or if its issues are switched off.
    async fn check_gone(&self, owner: &str, repo: &str, why: String) -> Result<IssueLookup, Error> {
        let (names, _) =
            self.get::<RepositoryNames>("the repository", &format!("/repos/{owner}/{repo}")).await?;
        if names.has_issues { Ok(IssueLookup::Gone) } else { Err(Error::NotFound(why)) }
    }

    /// Returns whether an issue is in the requested repository. GitHub redirects to where it was transferred,
    /// and to the new name of a renamed repository alike.
    async fn is_in_repository(&self, issue: &RestIssue, owner: &str, repo: &str) -> Result<bool, Error> {
        let Some((actual_owner, actual_repo)) = issue.repository() else { return Ok(true) };
        let is_same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        if is_same(actual_owner, owner) && is_same(actual_repo, repo) {
            return Ok(true);
        }
        match self.get::<RepositoryNames>("the repository", &format!("/repos/{owner}/{repo}")).await {
            Ok((names, _)) => Ok(is_same(&names.full_name, &format!("{actual_owner}/{actual_repo}"))),
            Err(Error::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns GitHub's id of the repository that has this name, or had it last if none has it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, or it has another owner now; other errors if GitHub cannot be read.
    pub async fn repository_id(&self, owner: &str, repo: &str) -> Result<i64, Error> {
        let path = format!("/repos/{owner}/{repo}");
        let (repository, _) = self.get::<RepositoryNames>("the repository", &path).await?;
        let actual_owner = repository.full_name.split('/').next().unwrap_or_default();
        match actual_owner.eq_ignore_ascii_case(owner) {
            true => Ok(repository.id),
            false => Err(Error::NotFound(format!("{owner}/{repo} is {} now", repository.full_name))),
        }
    }

    /// Fetches what belongs to the open ones of up to a hundred issues.
    pub(crate) async fn add_relations(&self, issues: &mut [DetailedIssue]) -> Result<(), Error> {
        let open = issues.iter_mut().filter(|issue| issue.details.state == IssueState::Open);
        let mut open: HashMap<String, &mut DetailedIssue> =
            open.map(|issue| (issue.details.node_id.clone(), issue)).collect();
        if open.is_empty() {
            return Ok(());
        }
        let ids: Vec<&String> = open.keys().collect();
        // An issue that is gone by now has no relations, and will be fetched again.
        let reply = self
            .query::<Nodes<Relations>>(
                &ISSUE_RELATIONS,
                json!({ "ids": ids }),
                None,
                GraphQlError::is_not_found,
            )
            .await?;
        for relations in nodes(reply.data) {
            if let Some(issue) = relations.id.as_ref().and_then(|id| open.get_mut(id)) {
                relations.add_to(issue);
            }
        }
        Ok(())
    }

    /// Lists the issues that wait for an issue: those that it blocks, up to 100, and its parent. Each is owner, name of the
    /// repository, number. An Enterprise Server without dependencies and sub-issues has none.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn issues_blocked_by(
        &self,
        owner: &str,
        repo: &str,
        number: i64,
    ) -> Result<Vec<(String, String, i64)>, Error> {
        let path = format!("/repos/{owner}/{repo}/issues/{number}/dependencies/blocking?per_page=100");
        let mut issues = match self.get::<Vec<RestIssue>>(ISSUES, &path).await {
            Ok((issues, _)) => issues,
            Err(Error::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let path = format!("/repos/{owner}/{repo}/issues/{number}/parent");
        match self.get::<RestIssue>(ISSUES, &path).await {
            Ok((parent, _)) => issues.push(parent),
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        let address = |issue: &RestIssue| {
            let (owner, repo) = issue.repository()?;
            Some((owner.to_owned(), repo.to_owned(), issue.number()))
        };
        Ok(issues.iter().filter_map(address).collect())
    }

    /// Lists the issues that a pull request closes, up to 50: owner, name of the repository, number.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn issues_closed_by(
        &self,
        owner: &str,
        repo: &str,
        number: i64,
    ) -> Result<Vec<(String, String, i64)>, Error> {
        let variables = json!({ "owner": owner, "name": repo, "number": number });
        let reply =
            self.query::<WithRepository>(&CLOSED_ISSUES, variables, None, GraphQlError::is_not_found).await?;
        let pull = reply.data.repository.and_then(|repository| repository.pull_request);
        let issues = pull.and_then(|pull| pull.closing_issues_references).map(nodes).unwrap_or_default();
        let address =
            |issue: ClosedIssueNode| (issue.repository.owner.login, issue.repository.name, issue.number);
        Ok(issues.into_iter().map(address).collect())
    }

    /// Returns whether an account may write to a repository.
    ///
    /// # Errors
    /// If GitHub cannot be read, or the token may not read permissions.
    pub async fn can_write(&self, owner: &str, repo: &str, login: &str) -> Result<bool, Error> {
        let path = format!("/repos/{owner}/{repo}/collaborators/{login}/permission");
        match self.get::<AccountPermission>("a permission", &path).await {
            Ok((answer, _)) => Ok(matches!(answer.permission.as_str(), "admin" | "write" | "maintain")),
            Err(Error::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
