//! Why a request has no answer.

use serde::Deserialize;

/// What a server says about a request that it refuses: the members of `application/problem+json` (RFC 9457) that
/// distinguish problems.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ProblemDetail {
    /// The kind of problem, such as `NOT_FOUND`. Empty from servers that do not say it.
    #[serde(default)]
    pub code: String,
    /// What was wrong, why, and what to do. It comes from the server, so it may contain control characters.
    pub detail: String,
}

/// Why a request has no answer. Addresses in it have no user, password, path or query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The address is no http or https URL. It is not repeated, because it may contain a password.
    #[error("expected a URL such as https://metrics.example.com or http://127.0.0.1:8080")]
    InvalidAddress,
    /// Tokens and data would be sent over the network in plain text.
    #[error("{origin} is reached over plain http: use https (plain http is allowed for this machine only)")]
    PlainHttp {
        /// Scheme, host and port.
        origin: String,
    },
    /// The server cannot be reached, or did not answer in time.
    #[error("cannot reach the API at {origin} ({why})")]
    Unreachable {
        /// Scheme, host and port.
        origin: String,
        /// The cause.
        why: String,
    },
    /// The server redirects to another host, or too often.
    #[error("{origin} redirects to {location:?}, which is not followed")]
    Redirect {
        /// Scheme, host and port.
        origin: String,
        /// The address that the server names.
        location: String,
    },
    /// The server refuses the request.
    #[error("{}", problem.detail)]
    Problem {
        /// The HTTP status.
        status: u16,
        /// What the server says.
        problem: ProblemDetail,
    },
    /// Something answers that is not this API.
    #[error("{origin} does not answer like the API of github-metrics ({why})")]
    Unexpected {
        /// Scheme, host and port.
        origin: String,
        /// What is unexpected.
        why: String,
    },
    /// The answer ended before it was complete.
    #[error("the answer of {origin} ended in the middle ({why})")]
    Interrupted {
        /// Scheme, host and port.
        origin: String,
        /// The cause.
        why: String,
    },
}

impl ClientError {
    /// Returns whether the server does not know the organization, repository, member or route.
    pub fn is_not_found(&self) -> bool {
        matches!(self, ClientError::Problem { status: 404, .. })
    }
}
