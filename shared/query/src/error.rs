//! Why a query fails.

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no such organization, repository or member. The text says which, and what to do.
    #[error("{0}")]
    NotFound(String),
    /// The input is invalid. The text names the input, says why it is invalid, and what to do.
    #[error("{0}")]
    Invalid(String),
    /// The store failed.
    #[error("cannot read the store")]
    Store(#[from] gam_store::Error),
    /// The configuration of an organization cannot be read.
    #[error("cannot read the configuration")]
    Configuration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The registry of organizations cannot be read.
    #[error("cannot read the registry of organizations")]
    Registry(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored rollup cannot be read.
    #[error("cannot read the rollup {key}: run `github-metrics aggregate --rebuild`")]
    Unreadable {
        /// The rollup's key, for people.
        key: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}
