//! Errors, by what the caller must do: try again, or fix the cause first.

/// The result of an operation of a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation of a store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store is busy or cannot be reached. Trying again may help.
    #[error("the store is busy or cannot be reached: {what}")]
    Unavailable {
        /// The operation that failed, and why if that is known.
        what: String,
        /// The underlying error.
        #[source]
        source: Option<Source>,
    },
    /// The store cannot be used until somebody fixes the cause. The text says what is wrong and how to fix it.
    #[error("{what}")]
    Unusable {
        /// What is wrong, and how to fix it.
        what: String,
        /// The underlying error.
        #[source]
        source: Option<Source>,
    },
}

impl Error {
    /// Creates an error for which trying again may help.
    pub fn unavailable(
        what: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Error::Unavailable { what: what.into(), source: Some(Box::new(source)) }
    }

    /// Creates an error that somebody has to fix. `what` must say how.
    pub fn unusable(what: impl Into<String>, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Error::Unusable { what: what.into(), source: Some(Box::new(source)) }
    }

    /// Returns whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Unavailable { .. })
    }
}
