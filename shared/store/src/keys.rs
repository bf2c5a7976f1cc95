//! All keys of the store, typed. Adapters and callers build no keys of their own.

mod record;

pub use gam_model::subject::{ItemClass, ItemKey, Subject, SubjectKind};
pub use record::{KeyPart, RecordKey, RecordKind, RecordRange};

/// Returns the key of an organization: its login in lower case, because GitHub ignores the case of logins.
pub fn org_key(org: &str) -> String {
    org.to_lowercase()
}

/// The table of the lake whose rollups are stored under the organization's key alone.
pub const EVENTS_TABLE: &str = "events";

/// The owner of the classes of merged pull requests, which derive from two tables. It takes the place of a table in
/// [`rollup_owner`].
pub const PR_CLASSES: &str = "pr-classes";

/// Returns the owner of the rollups of a table of the lake, for [`RollupStore`](crate::RollupStore). `table` is the
/// folder of the table's snapshots.
///
/// For [`EVENTS_TABLE`] it is the organization's key; for another table the key, a `/` and the table. No login contains
/// a `/`, so no organization is the owner of another one's table.
pub fn rollup_owner(org: &str, table: &str) -> String {
    match table {
        EVENTS_TABLE => org_key(org),
        table => format!("{}/{table}", org_key(org)),
    }
}

/// The key of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckpointKey {
    /// The checkpoint of an organization, by its login.
    Org(String),
    /// The head of an organization's epochs, by its login.
    Head(String),
    /// The checkpoint of a repository, by the organization's login and GitHub's numeric repository id.
    Repo(String, i64),
}

impl CheckpointKey {
    /// Returns the key of the organization: its login in lower case.
    pub fn org(&self) -> String {
        match self {
            CheckpointKey::Org(org) | CheckpointKey::Head(org) | CheckpointKey::Repo(org, _) => org_key(org),
        }
    }

    /// Returns the name of the checkpoint within its organization: `org`, `head`, or `repo/` and the id.
    pub fn name(&self) -> String {
        match self {
            CheckpointKey::Org(_) => "org".to_owned(),
            CheckpointKey::Head(_) => "head".to_owned(),
            CheckpointKey::Repo(_, id) => format!("repo/{id}"),
        }
    }

    /// Parses what [`CheckpointKey::org`] and [`CheckpointKey::name`] return. `None` if `name` is invalid.
    pub fn parse(org: &str, name: &str) -> Option<Self> {
        match name.split_once('/') {
            None if name == "org" => Some(CheckpointKey::Org(org.to_owned())),
            None if name == "head" => Some(CheckpointKey::Head(org.to_owned())),
            None => None,
            Some(("repo", id)) => Some(CheckpointKey::Repo(org.to_owned(), id.parse().ok()?)),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_has_an_owner_of_its_own() {
        assert_eq!(rollup_owner("Acme", EVENTS_TABLE), org_key("acme"), "stored keys do not change");
        assert_eq!(rollup_owner("Acme", "sessions"), "acme/sessions");
        assert_eq!(org_key(&rollup_owner("Acme", "sessions")), "acme/sessions", "adapters keep it");
    }

    #[test]
    fn checkpoint_keys_survive_a_round_trip() {
        let org = || "acme".to_owned();
        for key in [CheckpointKey::Org(org()), CheckpointKey::Head(org()), CheckpointKey::Repo(org(), 42)] {
            assert_eq!(CheckpointKey::parse(&key.org(), &key.name()), Some(key));
        }
        for name in ["", "repo", "repo/", "repo/x", "team/1", "org/1"] {
            assert_eq!(CheckpointKey::parse("acme", name), None, "{name}");
        }
    }
}
