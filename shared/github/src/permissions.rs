//! What the token, or the app, may not read though it is needed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::client::{Client, Reply};
use crate::envelope::GraphQlError;
use crate::error::Error;
use crate::probe::no_such_org;
use crate::queries::PERMISSIONS;

/// What collecting needs, and the field of a repository or an organization that is refused without it.
const NEEDED: &[(&str, &[&str])] = &[
    ("Metadata", &["repositories"]),
    ("Contents", &["defaultBranchRef", "releases"]),
    ("Pull requests", &["pullRequests"]),
    ("Issues", &["issues"]),
    ("Deployments", &["deployments"]),
    (MEMBERS, &["membersWithRole"]),
];
/// What collecting can do without.
const MEMBERS: &str = "Members";

/// What a token may read in an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    /// How many repositories it sees; none where *Metadata* is missing.
    pub repos: u64,
    /// The permissions that are missing, in GitHub's words; each is needed for reading only.
    pub missing: BTreeSet<&'static str>,
}

/// The permissions that are missing from those an app was granted.
pub(crate) fn missing_of_app(granted: &BTreeMap<String, String>) -> BTreeSet<&'static str> {
    let name = |permission: &str| permission.to_lowercase().replace(' ', "_");
    NEEDED
        .iter()
        .map(|(permission, _)| *permission)
        .filter(|permission| !granted.contains_key(&name(permission)))
        .collect()
}

/// The permission without which GitHub refuses what the error is about.
pub(crate) fn missing_for(error: &GraphQlError) -> Option<&'static str> {
    let mut path = error.path.iter().flatten().filter_map(Value::as_str);
    let field = path.next_back()?;
    NEEDED.iter().find(|(_, fields)| fields.contains(&field)).map(|(permission, _)| *permission)
}

/// Whether the error is about something that is missing, and that can be named.
fn is_of_missing(error: &GraphQlError) -> bool {
    error.is_refusal() && missing_for(error).is_some()
}

/// Whether nothing of the organization is told because its members are not.
fn hides_all(reply: &Reply<Value>) -> bool {
    let refused = |error: &GraphQlError| missing_for(error) == Some(MEMBERS);
    reply.data["organization"].is_null() && reply.errors.iter().any(refused)
}

impl Client {
    /// What the token may read in the organization, tried on the repository that was pushed to last.
    ///
    /// # Errors
    /// Where there is no such organization to it, or GitHub does not answer.
    pub async fn permissions(&self, org: &str) -> Result<Permissions, Error> {
        let client = self.for_org(org).await?;
        let ask = async |members: bool| {
            let variables = json!({ "org": org, "members": members });
            client.query::<Value>(&PERMISSIONS, variables, None, is_of_missing).await
        };
        // Who the members are may be hidden from the token, which hides all else with it.
        let (reply, has_members) = match ask(true).await {
            Ok(reply) if hides_all(&reply) => (ask(false).await?, false),
            Err(Error::Forbidden(_)) => (ask(false).await?, false),
            reply => (reply.map_err(|error| no_such_org(org, error))?, true),
        };
        let mut missing: BTreeSet<_> = reply.errors.iter().filter_map(missing_for).collect();
        if !has_members {
            missing.insert(MEMBERS);
        }
        let repos = reply.data["organization"]["repositories"]["totalCount"].as_u64();
        Ok(Permissions { repos: repos.unwrap_or_default(), missing })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_refused_field_names_its_permission() {
        let error = |path: Value| -> GraphQlError {
            serde_json::from_value(json!({ "type": "FORBIDDEN", "message": "no", "path": path })).unwrap()
        };
        let repo = |field: &str| error(json!(["organization", "repositories", "nodes", 0, field]));
        assert_eq!(missing_for(&repo("deployments")), Some("Deployments"));
        assert_eq!(missing_for(&repo("releases")), Some("Contents"));
        assert_eq!(missing_for(&error(json!(["organization", "membersWithRole"]))), Some("Members"));
        assert_eq!(missing_for(&error(json!(["organization"]))), None);
    }

    #[test]
    fn hidden_members_hide_the_organization() {
        let reply = |data: Value, field: &str| {
            let error = json!({ "type": "FORBIDDEN", "message": "no", "path": ["organization", field] });
            let errors = vec![serde_json::from_value(error).unwrap()];
            Reply { data, errors, date: None, took: Duration::ZERO }
        };
        let nothing = || json!({ "organization": null });
        assert!(hides_all(&reply(nothing(), "membersWithRole")));
        assert!(!hides_all(&reply(nothing(), "repositories")), "to ask again would not help");
        assert!(!hides_all(&reply(json!({ "organization": { "login": "acme" } }), "membersWithRole")));
    }

    #[test]
    fn an_app_lacks_what_it_was_not_granted() {
        let granted = ["metadata", "contents", "pull_requests", "issues", "members"];
        let granted = granted.iter().map(|name| ((*name).to_owned(), "read".to_owned())).collect();
        assert_eq!(missing_of_app(&granted), BTreeSet::from(["Deployments"]));
    }
}
