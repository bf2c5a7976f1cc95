//! What clients request.

use std::fmt;

use gam_model::ActionKind;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ActionError;

/// The longest title, in characters. GitHub refuses longer ones.
const MAX_TITLE_CHARS: usize = 256;
/// The longest text, in characters. GitHub's limit is 65,536, and the marker needs some of them.
const MAX_TEXT_CHARS: usize = 65_000;
/// The most labels of an issue. GitHub's limit.
const MAX_LABELS: usize = 100;
/// The most assignees of an issue. GitHub's limit.
const MAX_ASSIGNEES: usize = 10;
/// The longest name of a label, an assignee or a branch, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// A repository: owner and name, as the client or GitHub wrote them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RepositoryName {
    /// The login of the owner.
    pub owner: String,
    /// The name, without the owner.
    pub name: String,
}

impl RepositoryName {
    /// Parses `owner/name`, or `name` of a default owner. `None` if it cannot be the name of a repository.
    pub fn parse(text: &str, default_owner: Option<&str>) -> Option<Self> {
        let (owner, name) = text.split_once('/').or_else(|| Some((default_owner?, text)))?;
        let is_name = |text: &str| {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            (1..=100).contains(&text.len()) && text.bytes().all(is_allowed) && !matches!(text, "." | "..")
        };
        // The id of an action contains the owner, and `_` stands for no organization.
        let is_owner = is_name(owner) && !owner.contains('.') && owner != "_";
        (is_owner && is_name(name)).then(|| RepositoryName { owner: owner.to_owned(), name: name.to_owned() })
    }
}

/// `owner/name`.
impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// How a pull request is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MergeMethod {
    /// With a merge commit.
    Merge,
    /// As one commit.
    Squash,
    /// As the same commits on top of the base branch.
    Rebase,
}

impl MergeMethod {
    /// Returns GitHub's name.
    pub fn as_str(self) -> &'static str {
        match self {
            MergeMethod::Merge => "merge",
            MergeMethod::Squash => "squash",
            MergeMethod::Rebase => "rebase",
        }
    }
}

/// What a client requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ActionRequest {
    /// Create an issue.
    CreateIssue {
        /// The title.
        title: String,
        /// The description.
        body: String,
        /// Names of labels.
        labels: Vec<String>,
        /// Logins.
        assignees: Vec<String>,
        /// The number of a milestone.
        milestone: Option<i64>,
        /// The first comment. `None` if there is none.
        comment: Option<String>,
    },
    /// Comment on an issue or a pull request.
    CreateComment {
        /// Its number.
        number: i64,
        /// The comment.
        body: String,
    },
    /// Create a pull request.
    CreatePr {
        /// The branch to merge. `None` for the one with the newest commit.
        branch: Option<String>,
        /// The branch to merge into. `None` for the default branch.
        base: Option<String>,
        /// The title. `None` to make one from the name of the branch.
        title: Option<String>,
        /// The description.
        body: String,
        /// Whether it is a draft.
        is_draft: bool,
    },
    /// Approve a pull request and merge it.
    ApproveMergePr {
        /// The number. `None` for the newest open one that is neither a draft nor from a fork.
        number: Option<i64>,
        /// The head commit that the client has seen.
        expected_sha: Option<String>,
        /// The text of the review.
        review_comment: Option<String>,
        /// How to merge. `None` for the default of the repository.
        method: Option<MergeMethod>,
        /// The first line of the commit message.
        commit_title: Option<String>,
        /// The rest of the commit message.
        commit_message: Option<String>,
        /// Whether the branch may be in another repository.
        allow_fork: bool,
    },
}

impl ActionRequest {
    /// Returns the request to approve and merge a pull request, with GitHub's defaults.
    pub fn merge_of(number: i64) -> Self {
        ActionRequest::ApproveMergePr {
            number: Some(number),
            expected_sha: None,
            review_comment: None,
            method: None,
            commit_title: None,
            commit_message: None,
            allow_fork: false,
        }
    }

    /// Returns what it is.
    pub fn kind(&self) -> ActionKind {
        match self {
            ActionRequest::CreateIssue { .. } => ActionKind::CreateIssue,
            ActionRequest::CreateComment { .. } => ActionKind::CreateComment,
            ActionRequest::CreatePr { .. } => ActionKind::CreatePr,
            ActionRequest::ApproveMergePr { .. } => ActionKind::ApproveMergePr,
        }
    }

    /// Returns whether the newest branch or pull request is to be taken.
    pub fn takes_newest(&self) -> bool {
        matches!(
            self,
            ActionRequest::CreatePr { branch: None, .. } | ActionRequest::ApproveMergePr { number: None, .. }
        )
    }

    /// Checks the texts and numbers against GitHub's limits.
    ///
    /// # Errors
    /// `Invalid` if one of them is out of bounds.
    pub fn validate(&self) -> Result<(), ActionError> {
        match self {
            ActionRequest::CreateIssue { title, body, labels, assignees, milestone, comment } => {
                check_title("title", title)?;
                check_text("body", body)?;
                check_names("labels", labels, MAX_LABELS)?;
                check_names("assignees", assignees, MAX_ASSIGNEES)?;
                check_number("milestone", *milestone)?;
                comment.iter().try_for_each(|text| check_not_empty("comment", text))
            }
            ActionRequest::CreateComment { number, body } => {
                check_number("number", Some(*number))?;
                check_not_empty("body", body)
            }
            ActionRequest::CreatePr { branch, base, title, body, .. } => {
                for (name, branch) in [("branch", branch), ("base", base)] {
                    branch.iter().try_for_each(|branch| check_branch(name, branch))?;
                }
                title.iter().try_for_each(|title| check_title("title", title))?;
                check_text("body", body)
            }
            ActionRequest::ApproveMergePr {
                number,
                expected_sha,
                review_comment,
                commit_title,
                commit_message,
                ..
            } => {
                check_number("pr_number", *number)?;
                let is_sha = |sha: &String| {
                    sha.len() == 40 && sha.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
                };
                if expected_sha.as_ref().is_some_and(|sha| !is_sha(sha)) {
                    return invalid("invalid `expected_sha`: expected 40 hexadecimal digits in lower case");
                }
                review_comment.iter().try_for_each(|text| check_text("review_comment", text))?;
                commit_title.iter().try_for_each(|title| check_title("commit_title", title))?;
                commit_message.iter().try_for_each(|text| check_text("commit_message", text))
            }
        }
    }

    /// Returns the SHA-256 of the request in a repository, in hexadecimal digits. Equal requests have equal hashes.
    pub(super) fn hash(&self, repo: &RepositoryName) -> String {
        let text = serde_json::to_string(&(repo.to_string().to_lowercase(), self));
        hex::encode(Sha256::digest(text.expect("the fields have only text keys")))
    }
}

fn invalid<T>(text: impl Into<String>) -> Result<T, ActionError> {
    Err(ActionError::Invalid(text.into()))
}

fn check_title(name: &str, title: &str) -> Result<(), ActionError> {
    let length = title.chars().count();
    if title.trim().is_empty() || length > MAX_TITLE_CHARS || title.contains(['\n', '\r', '\0']) {
        return invalid(format!("invalid `{name}`: expected one line of 1 to {MAX_TITLE_CHARS} characters"));
    }
    Ok(())
}

fn check_text(name: &str, text: &str) -> Result<(), ActionError> {
    if text.chars().count() > MAX_TEXT_CHARS || text.contains('\0') {
        return invalid(format!(
            "invalid `{name}`: expected at most {MAX_TEXT_CHARS} characters, and no NUL"
        ));
    }
    Ok(())
}

fn check_not_empty(name: &str, text: &str) -> Result<(), ActionError> {
    if text.trim().is_empty() {
        return invalid(format!("invalid `{name}`: it is empty; write a text"));
    }
    check_text(name, text)
}

fn check_names(name: &str, names: &[String], max: usize) -> Result<(), ActionError> {
    let is_valid = |it: &String| !it.trim().is_empty() && it.len() <= MAX_NAME_BYTES && !it.contains('\0');
    if names.len() > max || !names.iter().all(is_valid) {
        return invalid(format!(
            "invalid `{name}`: expected at most {max} names of 1 to {MAX_NAME_BYTES} bytes"
        ));
    }
    Ok(())
}

fn check_number(name: &str, number: Option<i64>) -> Result<(), ActionError> {
    if number.is_some_and(|number| !(1..=i64::from(i32::MAX)).contains(&number)) {
        return invalid(format!("invalid `{name}`: expected a number from 1 on"));
    }
    Ok(())
}

fn check_branch(name: &str, branch: &str) -> Result<(), ActionError> {
    let is_allowed = |c: char| !c.is_control() && !c.is_whitespace() && !"~^:?*[\\".contains(c);
    let is_valid = (1..=MAX_NAME_BYTES).contains(&branch.len())
        && branch.chars().all(is_allowed)
        && !branch.contains("..")
        && !branch.starts_with(['/', '-'])
        && !branch.ends_with('/');
    if !is_valid {
        return invalid(format!("invalid `{name}`: expected the name of a branch of the repository"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_have_an_owner() {
        let parse = |text, owner| RepositoryName::parse(text, owner).map(|it| it.to_string());
        assert_eq!(parse("acme/site", None).as_deref(), Some("acme/site"));
        assert_eq!(parse("site", Some("acme")).as_deref(), Some("acme/site"));
        for (text, owner) in [
            ("site", None),
            ("a/b/c", None),
            ("/b", None),
            ("a/", None),
            ("a/..", None),
            ("a/b?c", None),
            ("a.b/c", None),
            ("_/c", None),
        ] {
            assert_eq!(parse(text, owner), None, "{text}");
        }
    }

    #[test]
    fn invalid_requests_are_refused() {
        let issue = |title: &str, labels: &[&str]| ActionRequest::CreateIssue {
            title: title.to_owned(),
            body: String::new(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            assignees: Vec::new(),
            milestone: None,
            comment: None,
        };
        assert!(issue("a", &["bug"]).validate().is_ok());
        for request in [issue(" ", &[]), issue("a\nb", &[]), issue(&"x".repeat(257), &[]), issue("a", &[""])]
        {
            assert!(matches!(request.validate(), Err(ActionError::Invalid(_))), "{request:?}");
        }
        let pull = |branch: &str| ActionRequest::CreatePr {
            branch: Some(branch.to_owned()),
            base: None,
            title: None,
            body: String::new(),
            is_draft: false,
        };
        assert!(pull("feature/x-1").validate().is_ok());
        for branch in ["", "a b", "a..b", "a:b", "/a", "-a", "a/"] {
            assert!(pull(branch).validate().is_err(), "{branch}");
        }
    }

    #[test]
    fn hashes_differ_with_content_and_repository() {
        let comment = |body: &str| ActionRequest::CreateComment { number: 1, body: body.to_owned() };
        let repo = |text| RepositoryName::parse(text, None).unwrap();
        assert_eq!(comment("a").hash(&repo("Acme/Site")), comment("a").hash(&repo("acme/site")));
        assert_ne!(comment("a").hash(&repo("acme/site")), comment("b").hash(&repo("acme/site")));
        assert_ne!(comment("a").hash(&repo("acme/site")), comment("a").hash(&repo("acme/api")));
    }
}
