//! A token, as the store holds it.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::role::Role;

/// A repository of an organization. Names are compared in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RepoName {
    /// The storage key of the organization.
    pub org: String,
    /// The name of the repository, in lower case.
    pub repo: String,
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org, self.repo)
    }
}

/// Of what a token gives access.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Scope {
    /// Every organization, also those that are collected later.
    #[default]
    #[serde(rename = "all")]
    All,
    /// Organizations, by their storage keys.
    #[serde(rename = "orgs")]
    Orgs(Vec<String>),
    /// Single repositories. Nothing that sums up an organization or a member.
    #[serde(rename = "repos")]
    Repos(Vec<RepoName>),
}

impl Scope {
    /// Returns whether anything of the organization with this storage key is in scope.
    pub fn includes_org(&self, key: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Orgs(orgs) => orgs.iter().any(|org| org == key),
            Scope::Repos(repos) => repos.iter().any(|name| name.org == key),
        }
    }

    /// Returns the storage keys of the organizations in scope, sorted. `None` if every organization is.
    pub fn orgs(&self) -> Option<Vec<String>> {
        let mut orgs: Vec<String> = match self {
            Scope::All => return None,
            Scope::Orgs(orgs) => orgs.clone(),
            Scope::Repos(repos) => repos.iter().map(|name| name.org.clone()).collect(),
        };
        orgs.sort();
        orgs.dedup();
        Some(orgs)
    }

    /// Returns whether everything of the organizations in scope is in scope, and not only some repositories.
    pub fn includes_complete_orgs(&self) -> bool {
        !matches!(self, Scope::Repos(_))
    }

    /// Returns whether a repository, by its name in any case, of the organization with this storage key is in scope.
    pub fn includes_repo(&self, key: &str, repo: &str) -> bool {
        match self {
            Scope::All | Scope::Orgs(_) => self.includes_org(key),
            Scope::Repos(repos) => {
                repos.iter().any(|name| name.org == key && name.repo == repo.to_lowercase())
            }
        }
    }
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// Identifies the token in logs and in the audit log. Another token of the same name has another id.
    pub id: String,
    /// The name that people gave it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// Of what.
    pub scope: Scope,
    /// The login of the member whose sessions its holder pushes. `None` if it pushes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// When it was created, UTC.
    pub created_at: DateTime<Utc>,
    /// From when on it is refused, UTC. `None` if it does not expire.
    pub expires_at: Option<DateTime<Utc>>,
}

impl AccessToken {
    /// Returns whether the token is expired at `now`.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_includes_what_it_names() {
        assert!(Scope::All.includes_org("acme") && Scope::All.includes_repo("acme", "site"));
        let orgs = Scope::Orgs(vec!["acme".to_owned()]);
        assert!(
            orgs.includes_org("acme") && orgs.includes_repo("acme", "site") && orgs.includes_complete_orgs()
        );
        assert!(!orgs.includes_org("acme2") && !orgs.includes_repo("other", "site"));
        let repos = Scope::Repos(vec![RepoName { org: "acme".to_owned(), repo: "site".to_owned() }]);
        assert!(repos.includes_org("acme") && repos.includes_repo("acme", "Site"));
        assert!(!repos.includes_repo("acme", "other") && !repos.includes_repo("other", "site"));
        assert!(!repos.includes_complete_orgs());
        assert!(!Scope::Orgs(Vec::new()).includes_org("acme"));
    }
}
