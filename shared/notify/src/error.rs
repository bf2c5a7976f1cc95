//! Errors of notifications.

/// The result of an operation on notifications.
pub type Result<T, E = NotifyError> = std::result::Result<T, E>;

/// Why notifications could not be gathered or sent.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] gam_store::Error),
    /// The audit log could not be read.
    #[error(transparent)]
    Log(#[from] gam_access::LogError),
    /// Other processes changed the same records again and again.
    #[error("other processes change the notifications of {org} all the time: try again")]
    Contended {
        /// The storage key of the organization.
        org: String,
    },
    /// A record cannot be read.
    #[error("the record {kind} of {org} cannot be read ({what}): upgrade github-metrics")]
    Damaged {
        /// The kind of the record.
        kind: &'static str,
        /// The storage key of the organization.
        org: String,
        /// What is wrong with it.
        what: String,
    },
    /// The facts that conditions follow from, or the numbers of a digest, could not be read.
    #[error("{what}")]
    Facts {
        /// What failed, without a secret.
        what: String,
    },
}
