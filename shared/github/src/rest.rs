//! The REST calls: their paths, and what is read of the answers. Kept together so that they can be
//! checked against GitHub's OpenAPI description.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::commits::ComparedCommit;
use crate::wire::GitActor;
use gam_model::Member;

/// A REST call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The method, in lower case.
    pub method: &'static str,
    /// The path below the API's address, as the description writes it.
    pub path: &'static str,
    /// The parameters in the address that it is given.
    pub query: &'static [&'static str],
}

/// What one tip of a branch has and another has not.
pub const COMPARE: Call =
    Call { method: "get", path: "/repos/{owner}/{repo}/compare/{basehead}", query: &["per_page", "page"] };
/// Whose token it is.
pub const USER: Call = Call { method: "get", path: "/user", query: &[] };
/// What is left of the limits.
pub const RATE_LIMIT: Call = Call { method: "get", path: "/rate_limit", query: &[] };
/// The app's installation in an organization.
pub const INSTALLATION: Call = Call { method: "get", path: "/orgs/{org}/installation", query: &[] };
/// The app itself.
pub const APP: Call = Call { method: "get", path: "/app", query: &[] };
/// Where the app is installed.
pub const INSTALLATIONS: Call = Call { method: "get", path: "/app/installations", query: &["per_page"] };
/// A token of an installation.
pub const INSTALLATION_TOKEN: Call =
    Call { method: "post", path: "/app/installations/{installation_id}/access_tokens", query: &[] };

/// Every REST call.
pub const ALL: &[Call] = &[COMPARE, USER, RATE_LIMIT, APP, INSTALLATIONS, INSTALLATION, INSTALLATION_TOKEN];

/// The answer to [`COMPARE`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Compared {
    /// How many ancestors the base has that the head has not.
    pub behind_by: i64,
    /// How many commits the comparison has, on all its pages.
    pub total_commits: i64,
    /// The commits of this page.
    pub commits: Vec<RestCommit>,
}

/// A commit in a comparison.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RestCommit {
    /// The object id.
    pub sha: String,
    /// What git says.
    pub commit: RestGitCommit,
    /// The author's account.
    pub author: Option<RestAccount>,
    /// Its parents.
    #[serde(default)]
    pub parents: Vec<RestParent>,
}

/// A parent of a commit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RestParent {}

/// What git says of a commit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RestGitCommit {
    /// Who wrote it.
    pub author: Option<GitActor>,
    /// Who committed it.
    pub committer: RestCommitter,
}

/// Who committed, and when.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RestCommitter {
    /// When, UTC.
    pub date: DateTime<Utc>,
}

/// An account; an unlinked author may be `{}`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RestAccount {
    /// The login.
    pub login: Option<String>,
    /// The numeric id.
    pub id: Option<i64>,
    /// `User`, `Bot` and others.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

impl From<RestCommit> for ComparedCommit {
    fn from(commit: RestCommit) -> Self {
        let account = commit.author.and_then(|author| Some((author.login?, author.id, author.kind)));
        let member = match account {
            Some((login, id, kind)) => Member::account(&login, id, kind.as_deref() == Some("Bot")),
            None => commit.commit.author.map_or_else(Member::ghost, |author| author.member()),
        };
        ComparedCommit {
            sha: commit.sha,
            committed_at: commit.commit.committer.date,
            parents: commit.parents.len(),
            member,
        }
    }
}

/// The answer to [`USER`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct User {
    /// The login.
    pub login: String,
}

/// The answer to [`RATE_LIMIT`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct RateLimit {
    /// By resource.
    #[serde(default)]
    pub resources: Resources,
}

/// The limits by resource.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Resources {
    /// REST.
    pub core: Option<Bucket>,
    /// GraphQL.
    pub graphql: Option<Bucket>,
}

/// A limit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Bucket {
    /// Requests or points an hour.
    pub limit: u64,
    /// How many are left.
    pub remaining: u64,
    /// When it is reset, in epoch seconds.
    pub reset: i64,
}

/// The answer to [`APP`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct App {
    /// Its name.
    pub name: String,
}

/// Whose account an app is installed in.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InstalledIn {
    /// The login; an enterprise has none.
    pub login: Option<String>,
}

/// The answer to [`INSTALLATION`], and an entry of the answer to [`INSTALLATIONS`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Installation {
    /// Its id.
    pub id: i64,
    /// Whose account it is in.
    pub account: Option<InstalledIn>,
    /// What the app may do, by permission: `read` or `write`.
    #[serde(default)]
    pub permissions: std::collections::BTreeMap<String, String>,
}

/// The answer to [`INSTALLATION_TOKEN`]. It is never shown.
#[derive(Clone, PartialEq, Deserialize)]
pub struct InstallationToken {
    /// The token: opaque, and of any length.
    pub token: String,
    /// Until when it is good, UTC.
    pub expires_at: DateTime<Utc>,
}

impl std::fmt::Debug for InstallationToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstallationToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
