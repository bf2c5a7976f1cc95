//! How calls address a repository.

use crate::error::Error;

/// Identifies a repository. The ids stay the same when the repository is renamed or transferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoRef {
    /// The owner's login.
    pub owner: String,
    /// The repository's name without the owner.
    pub name: String,
    /// The GraphQL node id.
    pub node_id: String,
    /// The numeric id that REST uses.
    pub id: i64,
}

impl RepoRef {
    /// The error for a repository, or something in it, that GitHub no longer returns.
    pub(crate) fn not_found(&self) -> Error {
        Error::NotFound(format!(
            "{}/{} no longer exists, or this token can no longer see it",
            self.owner, self.name
        ))
    }
}
