//! Errors by what the caller must do.

/// The result of a store's operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Trying again may help: the store was busy or out of reach.
    #[error("the store is busy or out of reach: {what}")]
    Unavailable {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: Option<Source>,
    },
    /// The store cannot be used as it is; the text says why and names the mend.
    #[error("{what}")]
    Unusable {
        /// What is wrong, and the mend.
        what: String,
        /// The cause.
        #[source]
        source: Option<Source>,
    },
}

impl Error {
    /// An error that trying again may help.
    pub fn unavailable(
        what: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Error::Unavailable { what: what.into(), source: Some(Box::new(source)) }
    }

    /// An error that needs somebody's hand; the text names the mend.
    pub fn unusable(what: impl Into<String>, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Error::Unusable { what: what.into(), source: Some(Box::new(source)) }
    }

    /// Whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Unavailable { .. })
    }
}
