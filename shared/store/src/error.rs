//! Errors, by what the caller must do: retry, fix the environment, or pass other arguments.

/// The result of an operation on the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation on the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store is busy or unreachable. A retry may succeed.
    #[error("the store is busy or unreachable: {what}")]
    Unavailable {
        /// The operation that failed.
        what: String,
        /// The underlying error.
        #[source]
        source: Option<BoxError>,
    },
    /// The store cannot be used until somebody fixes its environment.
    #[error("{what}")]
    Unusable {
        /// What is wrong, and how to fix it.
        what: String,
        /// The underlying error.
        #[source]
        source: Option<BoxError>,
    },
    /// The call breaks a rule of the port. The program that made it must change.
    #[error("{what}")]
    InvalidArgument {
        /// Which argument is invalid, and what the port expects.
        what: String,
    },
}

impl Error {
    /// Creates an error that a retry may resolve.
    pub fn unavailable(
        what: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Error::Unavailable { what: what.into(), source: Some(Box::new(source)) }
    }

    /// Creates an error that somebody must fix. `what` says how.
    pub fn unusable(what: impl Into<String>, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Error::Unusable { what: what.into(), source: Some(Box::new(source)) }
    }

    /// Returns whether a retry may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Unavailable { .. })
    }
}
