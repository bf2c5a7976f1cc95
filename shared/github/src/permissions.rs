//! The permissions that collecting needs and the token, or the app, lacks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::client::Client;
use crate::envelope::{GraphQlError, GraphQlReply};
use crate::error::Error;
use crate::queries::PERMISSIONS;

/// The permissions that collecting uses, each with the fields of a repository or an organization that GitHub
/// refuses without it.
const USED_PERMISSIONS: &[(&str, &[&str])] = &[
    ("Metadata", &["repositories"]),
    ("Contents", &["defaultBranchRef", "releases"]),
    ("Pull requests", &["pullRequests"]),
    ("Issues", &["issues"]),
    ("Deployments", &["deployments"]),
    (MEMBERS, &["membersWithRole"]),
];
/// The permission that collecting can do without.
const MEMBERS: &str = "Members";

/// What a token may read in an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    /// The number of repositories it can see; 0 if the permission *Metadata* is missing.
    pub repos: u64,
    /// The missing permissions, by GitHub's names. Read access is enough for each.
    pub missing: BTreeSet<&'static str>,
}

/// Returns the permissions that an app was not granted. `granted` maps GitHub's API names to the access.
pub(crate) fn missing_app_permissions(granted: &BTreeMap<String, String>) -> BTreeSet<&'static str> {
    let api_name = |permission: &str| permission.to_lowercase().replace(' ', "_");
    USED_PERMISSIONS
        .iter()
        .map(|(permission, _)| *permission)
        .filter(|permission| !granted.contains_key(&api_name(permission)))
        .collect()
}

/// Returns the permission that GitHub requires for the field that the error concerns; `None` if unknown.
pub(crate) fn required_permission(error: &GraphQlError) -> Option<&'static str> {
    let mut path = error.path.iter().flatten().filter_map(Value::as_str);
    let field = path.next_back()?;
    USED_PERMISSIONS.iter().find(|(_, fields)| fields.contains(&field)).map(|(permission, _)| *permission)
}

/// Whether the error shows a missing permission that is known by name.
fn shows_missing_permission(error: &GraphQlError) -> bool {
    error.is_permission_denied() && required_permission(error).is_some()
}

/// Whether GitHub returned nothing about the organization because the token may not list its members.
fn is_hidden_with_members(reply: &GraphQlReply<Value>) -> bool {
    let refuses_members = |error: &GraphQlError| required_permission(error) == Some(MEMBERS);
    reply.data["organization"].is_null() && reply.errors.iter().any(refuses_members)
}

impl Client {
    /// Tests what the token may read in the organization, using the repository with the latest push.
    ///
    /// # Errors
    /// If the organization does not exist, the token cannot see it, or GitHub cannot be read.
    pub async fn permissions(&self, org: &str) -> Result<Permissions, Error> {
        let client = self.for_org(org).await?;
        let fetch = async |with_members: bool| {
            let variables = json!({ "org": org, "members": with_members });
            client.query::<Value>(&PERMISSIONS, variables, None, shows_missing_permission).await
        };
        // If the token may not list the members, GitHub returns nothing at all.
        let (reply, can_list_members) = match fetch(true).await {
            Ok(reply) if is_hidden_with_members(&reply) => (fetch(false).await?, false),
            Err(Error::Forbidden(_)) => (fetch(false).await?, false),
            reply => (reply.map_err(|error| error.with_org(org))?, true),
        };
        let mut missing: BTreeSet<_> = reply.errors.iter().filter_map(required_permission).collect();
        if !can_list_members {
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
    fn a_refused_field_names_the_missing_permission() {
        let error = |path: Value| -> GraphQlError {
            serde_json::from_value(json!({ "type": "FORBIDDEN", "message": "no", "path": path })).unwrap()
        };
        let repo = |field: &str| error(json!(["organization", "repositories", "nodes", 0, field]));
        assert_eq!(required_permission(&repo("deployments")), Some("Deployments"));
        assert_eq!(required_permission(&repo("releases")), Some("Contents"));
        assert_eq!(required_permission(&error(json!(["organization", "membersWithRole"]))), Some("Members"));
        assert_eq!(required_permission(&error(json!(["organization"]))), None);
    }

    #[test]
    fn hidden_members_hide_the_organization() {
        let reply = |data: Value, field: &str| {
            let error = json!({ "type": "FORBIDDEN", "message": "no", "path": ["organization", field] });
            let errors = vec![serde_json::from_value(error).unwrap()];
            GraphQlReply { data, errors, date: None, response_time: Duration::ZERO }
        };
        let nothing = || json!({ "organization": null });
        assert!(is_hidden_with_members(&reply(nothing(), "membersWithRole")));
        assert!(!is_hidden_with_members(&reply(nothing(), "repositories")), "another query would not help");
        assert!(!is_hidden_with_members(&reply(
            json!({ "organization": { "login": "acme" } }),
            "membersWithRole"
        )));
    }

    #[test]
    fn permissions_that_an_app_was_not_granted_are_missing() {
        let granted = ["metadata", "contents", "pull_requests", "issues", "members"];
        let granted = granted.iter().map(|name| ((*name).to_owned(), "read".to_owned())).collect();
        assert_eq!(missing_app_permissions(&granted), BTreeSet::from(["Deployments"]));
    }
}
