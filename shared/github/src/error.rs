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
    /// GitHub could not be reached, several times in a row. A later run may succeed.
    #[error(
        "cannot reach GitHub for {what}: {why}; check the network and GITHUB_API_URL, or try again later"
    )]
    Unavailable {
        /// What was requested, as a noun phrase: `commits`.
        what: String,
        /// Why the last attempt failed.
        why: String,
    },
    /// GitHub was reached, but did not return what was requested. A later run may succeed.
    #[error("GitHub did not return {what}: {why}; a later run tries again")]
    Unanswered {
        /// What was requested, as a noun phrase: `commits`.
        what: String,
        /// What GitHub answered at last.
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

    /// An [`Error::Unavailable`].
    pub(crate) fn unavailable(what: &str, why: &str) -> Self {
        Error::Unavailable { what: what.to_owned(), why: without_full_stop(why) }
    }

    /// An [`Error::Unanswered`].
    pub fn unanswered(what: &str, why: &str) -> Self {
        Error::Unanswered { what: what.to_owned(), why: without_full_stop(why) }
    }

    /// Whether the same request may succeed later, although nobody changes anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Unavailable { .. } | Error::Unanswered { .. })
    }

    /// Whether a later request may succeed, although nobody changes anything: also after a rate limit.
    pub fn is_temporary(&self) -> bool {
        self.is_transient() || matches!(self, Error::Limited { .. })
    }

    /// Names what was requested more exactly: `pull requests after the first 100`.
    #[must_use]
    pub fn about(self, requested: &str) -> Self {
        match self {
            Error::Unavailable { why, .. } => Error::Unavailable { what: requested.to_owned(), why },
            Error::Unanswered { why, .. } => Error::Unanswered { what: requested.to_owned(), why },
            other => other,
        }
    }
}

/// Removes the final full stop: GitHub sends complete sentences.
fn without_full_stop(why: &str) -> String {
    why.trim_end_matches('.').to_owned()
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
    /// The connection broke. Another attempt may help.
    Transient(String),
    /// GitHub's answer is cut off or is not JSON. Another attempt may help.
    BadAnswer(String),
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

impl AttemptError {
    /// The error of a call whose last attempt failed like this.
    pub(crate) fn into_error(self, what: &str) -> Error {
        match self {
            AttemptError::Fatal(error) => error,
            AttemptError::Transient(why) | AttemptError::Unreachable(why) => Error::unavailable(what, &why),
            AttemptError::BadAnswer(why)
            | AttemptError::ServerFailure(why)
            | AttemptError::MaybeTooHeavy(why)
            | AttemptError::TooHeavy(why) => Error::unanswered(what, &why),
        }
    }
}

impl std::fmt::Display for AttemptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AttemptError::Fatal(error) => error.fmt(f),
            AttemptError::Transient(why)
            | AttemptError::BadAnswer(why)
            | AttemptError::Unreachable(why)
            | AttemptError::ServerFailure(why)
            | AttemptError::MaybeTooHeavy(why)
            | AttemptError::TooHeavy(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answered_failure_is_no_network_problem() {
        let answered = AttemptError::ServerFailure("it answered with status 502.".into());
        let error = answered.into_error("releases").about("releases after the first 100");
        assert_eq!(
            error.to_string(),
            "GitHub did not return releases after the first 100: it answered with status 502; a later run tries \
             again"
        );
        let unreachable = AttemptError::Unreachable("connection refused".into()).into_error("releases");
        assert!(unreachable.to_string().contains("check the network"), "{unreachable}");
        assert!(error.is_transient() && unreachable.is_transient());
    }
}
