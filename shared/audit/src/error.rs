//! Errors of the audit log.

use gam_access::LogError;

/// The result of an operation on the audit log.
pub type Result<T, E = AuditError> = std::result::Result<T, E>;

/// Why an operation on the audit log failed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The lake failed, or a segment was changed.
    #[error(transparent)]
    Lake(#[from] gam_lake::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] gam_store::Error),
    /// A segment is missing though there are later ones.
    #[error(
        "segment {number} of the audit log {log} is missing, though {later} was written: run `github-metrics audit \
         verify`, and restore the segment from a backup"
    )]
    MissingSegment {
        /// The name of the log.
        log: String,
        /// The number of the segment.
        number: u64,
        /// The number of a later segment.
        later: u64,
    },
    /// Other processes keep changing the same log.
    #[error("other processes keep writing the audit log {log}: try again")]
    Contended {
        /// The name of the log.
        log: String,
    },
}

impl AuditError {
    /// Returns whether a retry may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            AuditError::Lake(error) => error.is_retryable(),
            AuditError::Store(error) => error.is_retryable(),
            AuditError::MissingSegment { .. } => false,
            AuditError::Contended { .. } => true,
        }
    }
}

impl From<AuditError> for LogError {
    fn from(error: AuditError) -> Self {
        LogError { is_retryable: error.is_retryable(), source: Box::new(error) }
    }
}
