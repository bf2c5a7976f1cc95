//! Why a run fails.

use gam_model::org_registry::OrgConflict;

/// Why a collection or a reconciliation failed for the organization as a whole.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// GitHub refused or failed.
    #[error(transparent)]
    GitHub(#[from] gam_github::Error),
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] gam_lake::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] gam_store::Error),
    /// The request is invalid. The text quotes the input and says why and what to do.
    #[error("{0}")]
    Invalid(String),
    /// The organization on GitHub is not the one whose data its name leads to.
    #[error(transparent)]
    Org(#[from] OrgConflict),
    /// Another run collects the same organization, which this names.
    #[error(
        "another run is collecting {0}: wait until it has finished, then run again; what this run read is saved"
    )]
    Concurrent(String),
}
