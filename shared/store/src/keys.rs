//! All keys of the store, typed. No adapter and no caller makes a key of its own.

pub use gam_model::subject::{RollupKey, Subject, SubjectKind};

/// The key of an organization: logins are compared without regard to case.
pub fn org_key(org: &str) -> String {
    org.to_lowercase()
}

/// The key of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckpointKey {
    /// What is known of the organization's collection as a whole.
    Org(String),
    /// How far a repository has been read, by organization and GitHub's numeric repository id.
    Repo(String, i64),
}

impl CheckpointKey {
    /// The organization, in lower case.
    pub fn org(&self) -> String {
        match self {
            CheckpointKey::Org(org) | CheckpointKey::Repo(org, _) => org_key(org),
        }
    }

    /// The key within the organization, as text.
    pub fn name(&self) -> String {
        match self {
            CheckpointKey::Org(_) => "org".to_owned(),
            CheckpointKey::Repo(_, id) => format!("repo/{id}"),
        }
    }

    /// The key that [`CheckpointKey::org`] and [`CheckpointKey::name`] wrote.
    pub fn parse(org: &str, name: &str) -> Option<Self> {
        match name.split_once('/') {
            None => (name == "org").then(|| CheckpointKey::Org(org.to_owned())),
            Some(("repo", id)) => Some(CheckpointKey::Repo(org.to_owned(), id.parse().ok()?)),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoint_keys_survive_being_written() {
        for key in [CheckpointKey::Org("acme".into()), CheckpointKey::Repo("acme".into(), 42)] {
            assert_eq!(CheckpointKey::parse(&key.org(), &key.name()), Some(key));
        }
        for name in ["", "repo", "repo/", "repo/x", "team/1", "org/1"] {
            assert_eq!(CheckpointKey::parse("acme", name), None, "{name}");
        }
    }
}
