//! The GraphQL envelope, `{data, errors}`, with everything octocrab leaves out of it.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Failure};

/// An entry of `errors`. `type` is a key of its own, beside `extensions`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct GraphQlError {
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) path: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
struct Envelope {
    data: Option<Value>,
    #[serde(default)]
    errors: Vec<GraphQlError>,
}

/// What a GraphQL answer of status 200 is.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    /// Data, with the errors that a caller knows how to live with.
    Data(T, Vec<GraphQlError>),
    /// The primary limit is used up.
    Limited(String),
    /// A secondary limit was hit.
    Secondary(String),
}

impl GraphQlError {
    fn is(&self, kinds: &[&str]) -> bool {
        self.kind.as_deref().is_some_and(|kind| kinds.contains(&kind))
    }

    /// GitHub could not count a commit's lines; the commit itself is null then.
    pub(crate) fn is_lines_unavailable(&self) -> bool {
        self.message.contains("count for this commit is unavailable")
    }

    /// Whether the error is about the field of that name at the place below the organization.
    pub(crate) fn is_about(&self, field: &str) -> bool {
        self.path.as_ref().is_some_and(|path| path.iter().any(|step| step == field))
    }
}

/// Whether GitHub's words tell of a secondary limit.
pub(crate) fn is_secondary(message: &str) -> bool {
    message.to_lowercase().contains("secondary rate limit")
}

/// Reads an answer of status 200. `tolerated` says which errors leave the data usable.
pub(crate) fn read<T: DeserializeOwned>(
    what: &str,
    body: &[u8],
    tolerated: impl Fn(&GraphQlError) -> bool,
) -> Result<Answer<T>, Failure> {
    let envelope: Envelope = serde_json::from_slice(body)
        .map_err(|error| Failure::Transient(format!("the answer is no whole JSON ({error})")))?;
    for error in &envelope.errors {
        if error.is(&["RATE_LIMITED", "RATE_LIMIT"]) {
            return Ok(Answer::Limited(error.message.clone()));
        }
        if is_secondary(&error.message) {
            return Ok(Answer::Secondary(error.message.clone()));
        }
    }
    if let Some(error) = envelope.errors.iter().find(|error| !tolerated(error)) {
        return Err(failure(what, error));
    }
    let data = envelope
        .data
        .filter(|data| !data.is_null())
        .ok_or_else(|| Failure::Transient("the answer holds neither data nor an error".to_owned()))?;
    let data = serde_json::from_value(data).map_err(|error| {
        Failure::Fatal(Error::Invalid(format!(
            "GitHub's answer to {what} is not understood ({error}): please report it, with the server's version"
        )))
    })?;
    Ok(Answer::Data(data, envelope.errors))
}

fn failure(what: &str, error: &GraphQlError) -> Failure {
    let message = &error.message;
    if error.is(&["NOT_FOUND"]) {
        return Failure::Fatal(Error::NotFound(message.clone()));
    }
    if error.is(&["FORBIDDEN", "INSUFFICIENT_SCOPES", "SAML_FAILURE"]) {
        return Failure::Fatal(Error::Forbidden(format!(
            "the token may not read {what}: {message}; grant it the permission, or authorize it for the organization"
        )));
    }
    if error.is(&["RESOURCE_LIMITS_EXCEEDED", "MAX_NODE_LIMIT_EXCEEDED"])
        || message.starts_with("Something went wrong")
        || message.contains("respond to your request in time")
        || message.contains("timeout")
    {
        return Failure::Heavy(message.clone());
    }
    Failure::Fatal(Error::Invalid(format!("GitHub refused {what}: {message}")))
}
