//! Why a query fails.

use gam_rollup::DecodeError;

use crate::quote::never_collected;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no such organization, repository or member. The text says which, and what to do.
    #[error("{0}")]
    NotFound(String),
    /// The input is invalid. The text names the input, says why it is invalid, and what to do.
    #[error("{0}")]
    Invalid(String),
    /// The cursor belongs to numbers that other rules made. The text says what to do.
    #[error("{0}")]
    CursorExpired(String),
    /// No epoch of the organization is complete: its first aggregation is running, or its store is rebuilt. A later
    /// retry may succeed. The text says what to do.
    #[error("{0}")]
    NotComputed(String),
    /// The store failed.
    #[error("cannot read the store")]
    Store(#[from] gam_store::Error),
    /// The configuration of an organization cannot be read.
    #[error("cannot read the configuration")]
    Configuration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The registry of organizations cannot be read.
    #[error("cannot read the registry of organizations")]
    Registry(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored item cannot be read.
    #[error("cannot read the item {key}: run `github-metrics aggregate --rebuild`")]
    Unreadable {
        /// The item's key, for people.
        key: String,
        /// The cause.
        #[source]
        source: DecodeError,
    },
}

impl QueryError {
    /// There is no organization with this name.
    pub fn unknown_org(org: &str) -> Self {
        QueryError::NotFound(never_collected(org))
    }
}
