//! What may be done on GitHub, and who must agree: the part `[actions]` of an organization's configuration.

use serde::{Deserialize, Serialize};

/// The most approvals that a policy can require.
pub const MAX_APPROVALS: u8 = 2;
/// How long an action waits for approvals, unless the policy says otherwise.
pub const DEFAULT_APPROVAL_HOURS: u32 = 72;
/// The longest that an action can wait for approvals: 30 days.
pub const MAX_APPROVAL_HOURS: u32 = 720;

/// What can be done on GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKind {
    /// Create an issue, and comment on it.
    CreateIssue,
    /// Comment on an issue or a pull request.
    CreateComment,
    /// Create a pull request.
    CreatePr,
    /// Approve a pull request, and merge it.
    ApproveMergePr,
}

impl ActionKind {
    /// All kinds.
    pub const ALL: [ActionKind; 4] = [
        ActionKind::CreateIssue,
        ActionKind::CreateComment,
        ActionKind::CreatePr,
        ActionKind::ApproveMergePr,
    ];

    /// Returns the name, as in the paths of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            ActionKind::CreateIssue => "create-issue",
            ActionKind::CreateComment => "create-comment",
            ActionKind::CreatePr => "create-pr",
            ActionKind::ApproveMergePr => "approve-merge-pr",
        }
    }
}

/// The policy that applies to an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionPolicy {
    /// Number of people who must approve, 0 to [`MAX_APPROVALS`]. The requester does not count.
    pub approvals: u8,
    /// How many hours the action waits for them. Then it fails.
    pub hours: u32,
    /// Whether a request may leave out the branch or the number, so that the newest one is taken.
    pub allow_newest: bool,
    /// Whether a request may ask for the merge of a pull request from a fork.
    pub allow_fork: bool,
}

impl Default for ActionPolicy {
    fn default() -> Self {
        ActionPolicy { approvals: 0, hours: DEFAULT_APPROVAL_HOURS, allow_newest: true, allow_fork: true }
    }
}

/// A rule: the policy of some actions in some repositories.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRule {
    /// The actions. All if it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionKind>,
    /// Names of repositories without the owner, in any case. `*` stands for any characters. All if it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// As [`ActionPolicy::approvals`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<u8>,
    /// As [`ActionPolicy::hours`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<u32>,
    /// As [`ActionPolicy::allow_newest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_newest: Option<bool>,
    /// As [`ActionPolicy::allow_fork`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_fork: Option<bool>,
}

/// What an organization configures about actions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionSettings {
    /// The comment that follows a created issue if the request has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_comment: Option<String>,
    /// The rules, as `[[actions.policy]]`. Of several that match, the first one applies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<PolicyRule>,
}

impl ActionSettings {
    /// Returns whether nothing is configured.
    pub fn is_empty(&self) -> bool {
        *self == ActionSettings::default()
    }

    /// Returns the policy of an action in the repository with this name, without the owner.
    pub fn policy_of(&self, kind: ActionKind, repo: &str) -> ActionPolicy {
        let default = ActionPolicy::default();
        let Some(rule) = self.policy.iter().find(|rule| rule.matches(kind, repo)) else { return default };
        ActionPolicy {
            approvals: rule.approvals.unwrap_or(default.approvals),
            hours: rule.hours.unwrap_or(default.hours),
            allow_newest: rule.allow_newest.unwrap_or(default.allow_newest),
            allow_fork: rule.allow_fork.unwrap_or(default.allow_fork),
        }
    }

    /// Checks the numbers and names.
    ///
    /// # Errors
    /// If one of them is out of bounds. The message says which.
    pub fn validate(&self) -> Result<(), String> {
        if self.default_comment.as_ref().is_some_and(|comment| comment.trim().is_empty()) {
            return Err("default_comment in [actions] is empty: write a text, or remove it".to_owned());
        }
        for rule in &self.policy {
            if rule.approvals.is_some_and(|approvals| approvals > MAX_APPROVALS) {
                return Err(format!(
                    "invalid approvals in [[actions.policy]]: expected 0 to {MAX_APPROVALS}"
                ));
            }
            if rule.hours.is_some_and(|hours| !(1..=MAX_APPROVAL_HOURS).contains(&hours)) {
                return Err(format!(
                    "invalid hours in [[actions.policy]]: expected 1 to {MAX_APPROVAL_HOURS}"
                ));
            }
            if let Some(name) = rule.repositories.iter().find(|it| it.trim().is_empty() || it.contains('/')) {
                return Err(format!(
                    "invalid repository {name:?} in [[actions.policy]]: write a name without the owner, such as \
                     \"site\" or \"infra-*\""
                ));
            }
        }
        Ok(())
    }
}

impl PolicyRule {
    fn matches(&self, kind: ActionKind, repo: &str) -> bool {
        let is_listed = |pattern: &String| matches_glob(&pattern.to_lowercase(), &repo.to_lowercase());
        (self.actions.is_empty() || self.actions.contains(&kind))
            && (self.repositories.is_empty() || self.repositories.iter().any(is_listed))
    }
}

/// Returns whether a name matches a pattern in which `*` stands for any characters.
pub(crate) fn matches_glob(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.len() >= end.len() && left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_rule_applies() {
        let text = "default_comment = \"hello\"\n[[policy]]\nactions = [\"approve-merge-pr\"]\n\
                    repositories = [\"infra-*\"]\napprovals = 2\nallow_newest = false\n[[policy]]\n\
                    actions = [\"approve-merge-pr\"]\napprovals = 1\nhours = 4\nallow_fork = false\n";
        let settings: ActionSettings = toml::from_str(text).unwrap();
        settings.validate().unwrap();
        let infra = settings.policy_of(ActionKind::ApproveMergePr, "Infra-DNS");
        assert_eq!(
            (infra.approvals, infra.hours, infra.allow_newest, infra.allow_fork),
            (2, 72, false, true)
        );
        let site = settings.policy_of(ActionKind::ApproveMergePr, "site");
        assert_eq!((site.approvals, site.hours, site.allow_newest, site.allow_fork), (1, 4, true, false));
        assert_eq!(settings.policy_of(ActionKind::CreatePr, "infra-dns"), ActionPolicy::default());
        assert_eq!(toml::from_str::<ActionSettings>(&toml::to_string(&settings).unwrap()).unwrap(), settings);
    }

    #[test]
    fn patterns_match_complete_names() {
        for (pattern, name, expected) in [
            ("site", "site", true),
            ("site", "sites", false),
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*bc", "abc", true),
            ("a*a", "a", false),
            ("*b*", "abc", true),
            ("*b*d", "abcd", true),
            ("*b*b", "ab", false),
        ] {
            assert_eq!(matches_glob(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn invalid_settings_are_refused() {
        let rule = |text: &str| toml::from_str::<ActionSettings>(&format!("[[policy]]\n{text}"));
        for text in ["approvals = 3", "hours = 0", "hours = 721", "repositories = [\"acme/site\"]"] {
            assert!(rule(text).unwrap().validate().is_err(), "{text}");
        }
        assert!(rule("actions = [\"merge\"]").is_err());
        assert!(rule("approval = 1").is_err());
    }

    #[test]
    fn names_are_those_of_the_stored_form() {
        for kind in ActionKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
