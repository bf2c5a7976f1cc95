//! Responses, and what of them is a refusal.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;

use crate::envelope::{self, Limit, is_secondary};
use crate::error::{Error, Failure};
use crate::limits::{Resource, Told};

/// A failure that took longer than this to come is for the question: GitHub gives up after 10 s.
const GIVEN_UP: Duration = Duration::from_secs(8);

/// A response of any status, read to the end.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) told: Told,
    pub(crate) scopes: Option<String>,
    pub(crate) link: Option<String>,
    /// Where the response leads, if it is a redirect.
    pub(crate) location: Option<String>,
    pub(crate) body: Bytes,
    /// How long it took to come.
    pub(crate) took: Duration,
}

pub(crate) fn message_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    serde_json::from_slice::<Message>(body).map(|m| m.message).unwrap_or_default()
}

impl Response {
    /// The limit that the response tells of, if it does. The words are not always there, and the
    /// headers not always right, so either will do for a refusal.
    pub(crate) fn limit(&self, resource: Resource) -> Option<Limit> {
        if self.status.is_success() {
            return (resource == Resource::GraphQl).then(|| envelope::limit(&self.body)).flatten();
        }
        let message = message_of(&self.body);
        if is_secondary(&message) {
            return Some(Limit::Secondary(message));
        }
        let refused = matches!(self.status.as_u16(), 403 | 429);
        if refused && (self.told.is_used_up() || message.to_lowercase().contains("rate limit")) {
            return Some(Limit::Primary(message));
        }
        let abuse = refused && (self.told.says_when() || self.status == StatusCode::TOO_MANY_REQUESTS);
        abuse.then_some(Limit::Secondary(message))
    }
}

pub(crate) fn failure(what: &str, response: &Response, message: &str) -> Failure {
    let status = response.status.as_u16();
    let said =
        if message.is_empty() { format!("status {status}") } else { format!("status {status}, {message}") };
    match status {
        401 => Failure::Fatal(Error::Unauthorized(format!(
            "GitHub refused the token ({said}): set GITHUB_TOKEN to one that is valid and not expired"
        ))),
        451 => Failure::Fatal(Error::Blocked(format!("GitHub blocks access to {what} ({said})"))),
        403 if message.contains("access blocked") => {
            Failure::Fatal(Error::Blocked(format!("GitHub blocks access to {what} ({said})")))
        }
        403 => Failure::Fatal(Error::Forbidden(format!(
            "GitHub does not let this token read {what} ({said}): grant it access to the repository's contents, \
             pull requests, issues and deployments, and authorize it for the organization"
        ))),
        404 | 409 | 410 | 422 => {
            Failure::Fatal(Error::NotFound(format!("GitHub does not show {what} ({said})")))
        }
        500..=599 | 408 if response.took > GIVEN_UP => Failure::TooHeavy(said),
        500..=599 | 408 if envelope::tells_too_heavy(&response.body) => Failure::Heavy(said),
        500..=599 | 408 => Failure::Failing(said),
        _ => Failure::Fatal(Error::Invalid(format!("GitHub answered {what} with {said}"))),
    }
}
