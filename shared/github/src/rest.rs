//! The REST endpoints, and the fields of their responses that are used. They are kept in one place so that a
//! test can check them against GitHub's OpenAPI description.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::wire::GitActor;

/// A REST endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestEndpoint {
    /// The method, in lower case.
    pub method: &'static str,
    /// The path below the API's address, with parameters in braces as in the OpenAPI description.
    pub path: &'static str,
    /// The query parameters that the client sends.
    pub query: &'static [&'static str],
}

/// Compares two tips of a branch.
pub const COMPARE: RestEndpoint = RestEndpoint {
    method: "get",
    path: "/repos/{owner}/{repo}/compare/{basehead}",
    query: &["per_page", "page"],
};
/// Returns the user to whom the token belongs.
pub const USER: RestEndpoint = RestEndpoint { method: "get", path: "/user", query: &[] };
/// Returns the rate limits. Free of charge.
pub const RATE_LIMIT: RestEndpoint = RestEndpoint { method: "get", path: "/rate_limit", query: &[] };
/// Returns the app's installation in an organization.
pub const INSTALLATION: RestEndpoint =
    RestEndpoint { method: "get", path: "/orgs/{org}/installation", query: &[] };
/// Returns the app that signs in.
pub const APP: RestEndpoint = RestEndpoint { method: "get", path: "/app", query: &[] };
/// Lists the app's installations.
pub const INSTALLATIONS: RestEndpoint =
    RestEndpoint { method: "get", path: "/app/installations", query: &["per_page"] };
/// Creates a token of an installation.
pub const INSTALLATION_TOKEN: RestEndpoint =
    RestEndpoint { method: "post", path: "/app/installations/{installation_id}/access_tokens", query: &[] };

/// Lists the runs of a workflow.
pub const WORKFLOW_RUNS: RestEndpoint = RestEndpoint {
    method: "get",
    path: "/repos/{owner}/{repo}/actions/workflows/{workflow_id}/runs",
    query: &["branch", "created", "per_page", "page"],
};
/// Returns an attempt of a run of a workflow.
pub const WORKFLOW_RUN_ATTEMPT: RestEndpoint = RestEndpoint {
    method: "get",
    path: "/repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}",
    query: &[],
};

/// Returns an issue.
pub const ISSUE: RestEndpoint =
    RestEndpoint { method: "get", path: "/repos/{owner}/{repo}/issues/{issue_number}", query: &[] };
/// Lists issues and pull requests.
pub const ISSUES: RestEndpoint = RestEndpoint {
    method: "get",
    path: "/repos/{owner}/{repo}/issues",
    query: &["state", "sort", "direction", "since", "per_page", "page"],
};
/// Returns a repository.
pub const REPOSITORY: RestEndpoint =
    RestEndpoint { method: "get", path: "/repos/{owner}/{repo}", query: &[] };
/// Lists the issues that an issue blocks.
pub const BLOCKED_ISSUES: RestEndpoint = RestEndpoint {
    method: "get",
    path: "/repos/{owner}/{repo}/issues/{issue_number}/dependencies/blocking",
    query: &["per_page"],
};
/// Returns the issue of which an issue is a sub-issue.
pub const PARENT_ISSUE: RestEndpoint =
    RestEndpoint { method: "get", path: "/repos/{owner}/{repo}/issues/{issue_number}/parent", query: &[] };
/// Returns what an account may do in a repository.
pub const COLLABORATOR_PERMISSION: RestEndpoint = RestEndpoint {
    method: "get",
    path: "/repos/{owner}/{repo}/collaborators/{username}/permission",
    query: &[],
};
/// Lists the webhooks of an organization.
pub const ORG_HOOKS: RestEndpoint =
    RestEndpoint { method: "get", path: "/orgs/{org}/hooks", query: &["per_page"] };
/// Lists the deliveries of a webhook of an organization.
pub const ORG_HOOK_DELIVERIES: RestEndpoint = RestEndpoint {
    method: "get",
    path: "/orgs/{org}/hooks/{hook_id}/deliveries",
    query: &["per_page", "cursor"],
};
/// Lists the webhooks of a repository.
pub const REPO_HOOKS: RestEndpoint =
    RestEndpoint { method: "get", path: "/repos/{owner}/{repo}/hooks", query: &["per_page"] };
/// Lists the deliveries of a webhook of a repository.
pub const REPO_HOOK_DELIVERIES: RestEndpoint = RestEndpoint {
    method: "get",
    path: "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries",
    query: &["per_page", "cursor"],
};
/// Returns the settings of the app's webhook.
pub const APP_HOOK_CONFIG: RestEndpoint =
    RestEndpoint { method: "get", path: "/app/hook/config", query: &[] };
/// Lists the deliveries of the app's webhook.
pub const APP_HOOK_DELIVERIES: RestEndpoint =
    RestEndpoint { method: "get", path: "/app/hook/deliveries", query: &["per_page", "cursor"] };

/// Every endpoint.
pub const ALL: &[RestEndpoint] = &[
    COMPARE,
    USER,
    RATE_LIMIT,
    APP,
    INSTALLATIONS,
    INSTALLATION,
    INSTALLATION_TOKEN,
    WORKFLOW_RUNS,
    WORKFLOW_RUN_ATTEMPT,
    ISSUE,
    ISSUES,
    REPOSITORY,
    BLOCKED_ISSUES,
    PARENT_ISSUE,
    COLLABORATOR_PERMISSION,
    ORG_HOOKS,
    ORG_HOOK_DELIVERIES,
    REPO_HOOKS,
    REPO_HOOK_DELIVERIES,
    APP_HOOK_CONFIG,
    APP_HOOK_DELIVERIES,
];

/// A page of the response of [`WORKFLOW_RUNS`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct WorkflowRunsPage {
    /// The runs, the last created one first.
    pub workflow_runs: Vec<WorkflowRun>,
}

/// A run of a workflow, or an earlier attempt of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct WorkflowRun {
    /// The numeric id, the same for all attempts.
    pub id: i64,
    /// What started the run: `push`, `schedule`, `workflow_dispatch` and others.
    pub event: String,
    /// `completed`, or why it is not.
    pub status: Option<String>,
    /// `success`, `failure`, `cancelled` and others; `None` as long as it runs.
    pub conclusion: Option<String>,
    /// The number of the attempt, from 1.
    pub run_attempt: Option<i64>,
    /// When the run was created, UTC.
    pub created_at: DateTime<Utc>,
    /// When the attempt was started, UTC.
    pub run_started_at: Option<DateTime<Utc>>,
    /// The object id of the commit.
    pub head_sha: Option<String>,
    /// The account that started the run.
    pub actor: Option<RestAccount>,
    /// The repository of the branch: another one if the run is of a fork's pull request.
    pub head_repository: Option<RestRepository>,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RestRepository {
    /// The numeric id.
    pub id: i64,
}

/// A page of the response of [`COMPARE`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ComparisonPage {
    /// The number of commits reachable from the base only.
    pub behind_by: i64,
    /// The number of commits on all pages.
    pub total_commits: i64,
    /// The commits on this page.
    pub commits: Vec<RestCommit>,
}

/// A commit in a comparison.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RestCommit {
    /// The object id.
    pub sha: String,
    /// What git records about the commit.
    pub commit: RestGitCommit,
    /// The author's account; `None` if the author is not linked to one.
    pub author: Option<RestAccount>,
    /// The parents; only their number is used.
    #[serde(default)]
    pub parents: Vec<RestParent>,
}

/// A parent of a commit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RestParent {}

/// What git records about a commit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RestGitCommit {
    /// The author.
    pub author: Option<GitActor>,
    /// The committer.
    pub committer: RestCommitter,
}

/// The committer of a commit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RestCommitter {
    /// The committer date, UTC.
    pub date: DateTime<Utc>,
}

/// An account. All fields are `None` if GitHub sends `{}`, as it may for an unlinked author.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RestAccount {
    /// The login.
    pub login: Option<String>,
    /// The numeric id.
    pub id: Option<i64>,
    /// `User`, `Bot` or another type of account.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// The response of [`USER`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct User {
    /// The login.
    pub login: String,
}

/// The response of [`RATE_LIMIT`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct RateLimitResponse {
    /// The rate limits by resource.
    #[serde(default)]
    pub resources: ResourceQuotas,
}

/// The rate limits by resource; `None` if the server has no such limit.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ResourceQuotas {
    /// The limit for REST.
    pub core: Option<ResourceQuota>,
    /// The limit for GraphQL.
    pub graphql: Option<ResourceQuota>,
}

/// The rate limit of one resource.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ResourceQuota {
    /// Requests or points an hour; 0 if there is no limit.
    pub limit: u64,
    /// Requests or points left.
    pub remaining: u64,
    /// When the limit resets, in seconds since the Unix epoch.
    pub reset: i64,
}

/// The response of [`APP`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct App {
    /// The app's display name.
    pub name: String,
    /// The name in addresses. The login of the app's account is this with `[bot]`.
    #[serde(default)]
    pub slug: Option<String>,
}

/// The account in which an app is installed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InstalledIn {
    /// The login; `None` for an enterprise.
    pub login: Option<String>,
}

/// The response of [`INSTALLATION`], and an entry of the response of [`INSTALLATIONS`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Installation {
    /// The installation's id.
    pub id: i64,
    /// The account in which the app is installed.
    pub account: Option<InstalledIn>,
    /// The access granted, by permission: `read` or `write`.
    #[serde(default)]
    pub permissions: std::collections::BTreeMap<String, String>,
}

/// The response of [`INSTALLATION_TOKEN`]. The `Debug` output does not show the token.
#[derive(Clone, PartialEq, Deserialize)]
pub struct InstallationToken {
    /// The token, an opaque string of any length.
    pub token: String,
    /// When the token expires, UTC.
    pub expires_at: DateTime<Utc>,
}

impl std::fmt::Debug for InstallationToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstallationToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
