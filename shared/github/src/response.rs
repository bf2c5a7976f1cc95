//! Responses, and how a failed one is classified.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;

use crate::envelope::{self, LimitHit, mentions_secondary_limit};
use crate::error::{AttemptError, Error};
use crate::rate_limit::{RateLimitHeaders, RateLimitResource};

/// A failure that took longer is blamed on the request: GitHub gives up after 10 s.
const TOO_HEAVY_RESPONSE_TIME: Duration = Duration::from_secs(8);

/// A response of any status, with its complete body.
pub(crate) struct ApiResponse {
    pub(crate) status: StatusCode,
    pub(crate) rate_limit: RateLimitHeaders,
    /// The scopes of a classic token.
    pub(crate) scopes: Option<String>,
    /// The `Link` header, which holds the addresses of other pages.
    pub(crate) link: Option<String>,
    /// The `ETag` header, which identifies the content.
    pub(crate) etag: Option<String>,
    /// The target, if the response is a redirect.
    pub(crate) location: Option<String>,
    pub(crate) body: Bytes,
    /// How long the response took, its body included.
    pub(crate) response_time: Duration,
}

/// GitHub's error message; empty if the body has none.
pub(crate) fn error_message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct ErrorBody {
        message: String,
    }
    serde_json::from_slice::<ErrorBody>(body).map(|body| body.message).unwrap_or_default()
}

/// GitHub's error message for a request that writes, with what it says about single fields. Empty if the body has none.
pub(crate) fn write_error_message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct FieldError {
        message: Option<String>,
        field: Option<String>,
        code: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum AnyError {
        Text(String),
        Field(FieldError),
    }
    #[derive(Deserialize)]
    struct ErrorBody {
        #[serde(default)]
        message: String,
        #[serde(default)]
        errors: Vec<AnyError>,
    }
    let Ok(ErrorBody { message, errors }) = serde_json::from_slice::<ErrorBody>(body) else {
        return error_message(body);
    };
    let details: Vec<String> = errors
        .into_iter()
        .filter_map(|error| match error {
            AnyError::Text(text) => Some(text),
            AnyError::Field(FieldError { message: Some(message), .. }) => Some(message),
            AnyError::Field(FieldError { field, code, .. }) => Some(format!("{} {}", field?, code?)),
        })
        .collect();
    if details.is_empty() { message } else { format!("{message}: {}", details.join("; ")) }
}

impl ApiResponse {
    /// Returns the rate limit that the response reports as hit, if any. The message may be missing and the
    /// headers may be wrong, so in a rejection either one is enough.
    pub(crate) fn limit_hit(&self, resource: RateLimitResource) -> Option<LimitHit> {
        if self.status.is_success() {
            return (resource == RateLimitResource::GraphQl)
                .then(|| envelope::find_limit_hit(&self.body))
                .flatten();
        }
        let message = error_message(&self.body);
        if mentions_secondary_limit(&message) {
            return Some(LimitHit::Secondary(message));
        }
        let is_rejected = matches!(self.status.as_u16(), 403 | 429);
        if is_rejected && (self.rate_limit.is_used_up() || message.to_lowercase().contains("rate limit")) {
            return Some(LimitHit::Primary(message));
        }
        let is_secondary = is_rejected
            && (self.rate_limit.has_retry_after() || self.status == StatusCode::TOO_MANY_REQUESTS);
        is_secondary.then_some(LimitHit::Secondary(message))
    }
}

/// Classifies a response that is neither a success nor a rate limit.
pub(crate) fn classify_failure(what: &str, response: &ApiResponse, message: &str) -> AttemptError {
    let status = response.status.as_u16();
    let detail =
        if message.is_empty() { format!("status {status}") } else { format!("status {status}, {message}") };
    match status {
        401 => AttemptError::Fatal(Error::Unauthorized(format!(
            "GitHub refused the token ({detail}): set GITHUB_TOKEN to a valid token that has not expired"
        ))),
        451 => AttemptError::Fatal(Error::Blocked(format!("GitHub blocks access to {what} ({detail})"))),
        403 if message.contains("access blocked") => {
            AttemptError::Fatal(Error::Blocked(format!("GitHub blocks access to {what} ({detail})")))
        }
        403 => AttemptError::Fatal(Error::Forbidden(format!(
            "the token lacks permission to read {what} ({detail}): grant it access to the repository's \
             contents, pull requests, issues and deployments, and authorize it for the organization"
        ))),
        404 | 409 | 410 | 422 => {
            AttemptError::Fatal(Error::NotFound(format!("GitHub cannot find {what} ({detail})")))
        }
        500..=599 | 408 => {
            let why = server_failure_text(status, message, &response.body);
            if response.response_time > TOO_HEAVY_RESPONSE_TIME {
                AttemptError::TooHeavy(why)
            } else if envelope::says_too_heavy(&response.body) {
                AttemptError::MaybeTooHeavy(why)
            } else {
                AttemptError::ServerFailure(why)
            }
        }
        _ => AttemptError::Fatal(Error::Invalid(format!(
            "unexpected response from GitHub for {what} ({detail})"
        ))),
    }
}

/// What GitHub answered with a status that blames the server: a REST message, or GraphQL errors.
fn server_failure_text(status: u16, message: &str, body: &[u8]) -> String {
    let message = if message.is_empty() { envelope::first_message(body) } else { message.to_owned() };
    if message.is_empty() {
        format!("it answered with status {status}")
    } else {
        format!("it answered with status {status}, {message}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_of_refused_writes_are_shown() {
        for (body, expected) in [
            (
                r#"{"message":"Validation Failed","errors":[{"message":"A pull request already exists"}]}"#,
                "Validation Failed: A pull request already exists",
            ),
            (
                r#"{"message":"Validation Failed","errors":[{"field":"assignees","code":"invalid"}]}"#,
                "Validation Failed: assignees invalid",
            ),
            (
                r#"{"message":"Unprocessable Entity","errors":["Can not approve your own pull request"]}"#,
                "Unprocessable Entity: Can not approve your own pull request",
            ),
            (r#"{"message":"Not Found"}"#, "Not Found"),
            ("<html>", ""),
        ] {
            assert_eq!(write_error_message(body.as_bytes()), expected);
        }
    }
}
