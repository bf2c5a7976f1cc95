//! Errors, grouped by what the caller must do.

use chrono::{DateTime, SecondsFormat, Utc};

/// Why GitHub could not be read. Each message names the input, the cause and the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// GitHub refused the token.
    #[error("{0}")]
    Unauthorized(String),
    /// The token lacks permission to read this.
    #[error("{0}")]
    Forbidden(String),
    /// GitHub blocks access to the repository for everyone.
    #[error("{0}")]
    Blocked(String),
    /// It does not exist, or the token cannot see it.
    #[error("{0}")]
    NotFound(String),
    /// A rate limit is used up for longer than the run may wait.
    #[error("GitHub's rate limit is used up ({why}){}", reset_text(.until))]
    Limited {
        /// When the limit resets, UTC; `None` if unknown.
        until: Option<DateTime<Utc>>,
        /// GitHub's message, or ours if GitHub sent none.
        why: String,
    },
    /// Several attempts in a row got no usable response. A later run may succeed.
    #[error(
        "cannot read {what} from GitHub: {why}; check the network and GITHUB_API_URL, or try again later"
    )]
    Unavailable {
        /// What was requested, as a noun phrase: `commits`.
        what: String,
        /// Why the last attempt failed.
        why: String,
    },
    /// GitHub rejected the request as invalid, or its response has an unknown shape.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// The organization does not exist, or the token cannot see it.
    pub(crate) fn no_such_org(org: &str) -> Self {
        Error::NotFound(format!(
            "organization {org:?} not found, or this token cannot see it: check the spelling and the token's \
             access"
        ))
    }

    /// Replaces [`Error::NotFound`] by an error that names the organization.
    pub(crate) fn with_org(self, org: &str) -> Self {
        match self {
            Error::NotFound(_) => Error::no_such_org(org),
            other => other,
        }
    }

    /// An [`Error::Unavailable`]; `why` loses its final full stop, because GitHub sends complete sentences.
    pub(crate) fn unavailable(what: &str, why: &str) -> Self {
        Error::Unavailable { what: what.to_owned(), why: why.trim_end_matches('.').to_owned() }
    }
}

fn reset_text(until: &Option<DateTime<Utc>>) -> String {
    until.map_or_else(String::new, |at| {
        format!("; it resets at {}", at.to_rfc3339_opts(SecondsFormat::Secs, true))
    })
}

/// Why one attempt of a call failed.
#[derive(Debug)]
pub(crate) enum AttemptError {
    /// Another attempt cannot help.
    Fatal(Error),
    /// Another attempt may help.
    Transient(String),
    /// No connection was established. Another attempt may help, unless none has ever succeeded.
    Unreachable(String),
    /// The server failed without blaming the request: retry a few times, then request less.
    ServerFailure(String),
    /// The server failed, perhaps because the request was too heavy: retry once, then request less.
    MaybeTooHeavy(String),
    /// The request was too heavy: request less at once.
    TooHeavy(String),
}

impl From<Error> for AttemptError {
    fn from(error: Error) -> Self {
        AttemptError::Fatal(error)
    }
}
