//! Errors by what the caller must do.

use chrono::{DateTime, SecondsFormat, Utc};

/// Why GitHub could not be read. The texts name the input, why, and the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The token was refused.
    #[error("{0}")]
    Unauthorized(String),
    /// The token is not allowed to read this.
    #[error("{0}")]
    Forbidden(String),
    /// GitHub blocks access to the repository, whoever asks.
    #[error("{0}")]
    Blocked(String),
    /// It is not there, or the token may not know that it is.
    #[error("{0}")]
    NotFound(String),
    /// The API's limit is used up for longer than the run may wait.
    #[error("GitHub's limit is used up ({why}){}", until_text(.until))]
    Limited {
        /// When the limit is reset, UTC.
        until: Option<DateTime<Utc>>,
        /// What GitHub said.
        why: String,
    },
    /// GitHub did not answer, or not sensibly, several times in a row. A later run may fare better.
    #[error("GitHub did not answer {what}: {why}; check the network and GITHUB_API_URL, or try again later")]
    Unavailable {
        /// What was asked.
        what: String,
        /// What came back.
        why: String,
    },
    /// GitHub does not understand the request, or its answer is not understood.
    #[error("{0}")]
    Invalid(String),
}

fn until_text(until: &Option<DateTime<Utc>>) -> String {
    until.map_or_else(String::new, |at| {
        format!("; it is reset at {}", at.to_rfc3339_opts(SecondsFormat::Secs, true))
    })
}

/// What one attempt came to, when it did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another attempt cannot help.
    Fatal(Error),
    /// Another attempt may help.
    Transient(String),
    /// There was no connection. Another attempt may help, unless there never was one.
    Unreachable(String),
    /// The server failed, and did not say that it was for the question: some times more, then ask for less.
    Failing(String),
    /// The server failed, perhaps because the question was too heavy: once more, then ask for less.
    Heavy(String),
    /// The question was too heavy: ask for less at once.
    TooHeavy(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Fatal(error)
    }
}
