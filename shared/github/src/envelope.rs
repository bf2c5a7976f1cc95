//! The GraphQL envelope, `{data, errors}`, including what octocrab drops: error types, paths and partial
//! data.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{AttemptError, Error};

/// A longer response holds data and is not searched for rate limit errors.
const MAX_RATE_LIMIT_ERROR_BYTES: usize = 4096;

/// A GraphQL response.
pub(crate) struct GraphQlReply<T> {
    pub(crate) data: T,
    /// The errors that were tolerated.
    pub(crate) errors: Vec<GraphQlError>,
    /// When GitHub sent the response, by its own clock, UTC.
    pub(crate) date: Option<DateTime<Utc>>,
    /// How long the response took.
    pub(crate) response_time: Duration,
}

/// An entry of `errors`. GitHub puts `type` next to `message`, not into `extensions`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct GraphQlError {
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) message: String,
    /// The field that failed: names and list indexes, from the root of `data`.
    #[serde(default)]
    pub(crate) path: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
struct Envelope {
    data: Option<Value>,
    #[serde(default)]
    errors: Vec<GraphQlError>,
}

/// A rate limit that GitHub reports as hit, with its message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LimitHit {
    /// The primary limit is used up.
    Primary(String),
    /// A secondary limit was exceeded.
    Secondary(String),
}

impl GraphQlError {
    fn has_type(&self, types: &[&str]) -> bool {
        self.kind.as_deref().is_some_and(|kind| types.contains(&kind))
    }

    /// Whether GitHub could not count a commit's lines. It returns null for the entire commit then.
    pub(crate) fn is_lines_unavailable(&self) -> bool {
        self.message.contains("count for this commit is unavailable")
    }

    /// Whether the token lacks permission to read the field.
    pub(crate) fn is_permission_denied(&self) -> bool {
        self.has_type(&["FORBIDDEN", "INSUFFICIENT_SCOPES", "SAML_FAILURE"])
    }

    /// Whether the query was too heavy for GitHub: a smaller one may succeed.
    pub(crate) fn is_too_heavy(&self) -> bool {
        self.has_type(&["RESOURCE_LIMITS_EXCEEDED", "MAX_NODE_LIMIT_EXCEEDED"])
            || self.message.starts_with("Something went wrong")
            || self.message.contains("respond to your request in time")
            || self.message.contains("timeout")
    }

    /// Whether the object does not exist or is hidden from the token.
    pub(crate) fn is_not_found(&self) -> bool {
        self.has_type(&["NOT_FOUND"])
    }

    /// Whether the error concerns a single one of the nodes requested by id: it is gone, or the token may not
    /// read it.
    pub(crate) fn affects_single_node(&self) -> bool {
        self.is_not_found() || (self.is_permission_denied() && self.entry_below(&["nodes"]).is_some())
    }

    /// Whether the error concerns something below the path, and not the object at the path itself.
    pub(crate) fn is_below(&self, parent: &[&str]) -> bool {
        let path = self.path.as_deref().unwrap_or_default();
        path.len() > parent.len() && path.iter().zip(parent).all(|(step, name)| step == name)
    }

    /// The index of the entry that the error concerns, in the list at that path; `None` if it concerns
    /// something else.
    pub(crate) fn entry_below(&self, list: &[&str]) -> Option<usize> {
        let (head, rest) = self.path.as_ref()?.split_at_checked(list.len())?;
        let is_same_list = head.iter().zip(list).all(|(step, name)| step == name);
        rest.first().filter(|_| is_same_list).and_then(Value::as_u64).map(|at| at as usize)
    }
}

/// Whether the body of a failed response says that the query was too heavy.
pub(crate) fn says_too_heavy(body: &[u8]) -> bool {
    serde_json::from_slice::<Envelope>(body)
        .is_ok_and(|envelope| envelope.errors.iter().any(GraphQlError::is_too_heavy))
}

/// The message of the first error in the body of a failed response; empty if it has none.
pub(crate) fn first_message(body: &[u8]) -> String {
    let errors = serde_json::from_slice::<Envelope>(body).map(|envelope| envelope.errors).unwrap_or_default();
    errors.into_iter().next().map(|error| error.message).unwrap_or_default()
}

/// Whether the message reports a secondary rate limit.
pub(crate) fn mentions_secondary_limit(message: &str) -> bool {
    message.to_lowercase().contains("secondary rate limit")
}

/// Returns the rate limit that a response of status 200 reports as hit, if any. Long responses hold data, so
/// only short ones are parsed.
pub(crate) fn find_limit_hit(body: &[u8]) -> Option<LimitHit> {
    #[derive(Deserialize)]
    struct ErrorsOnly {
        #[serde(default)]
        errors: Vec<GraphQlError>,
    }
    if body.len() >= MAX_RATE_LIMIT_ERROR_BYTES {
        return None;
    }
    let errors = serde_json::from_slice::<ErrorsOnly>(body).ok()?.errors;
    errors.into_iter().find_map(|error| {
        if error.has_type(&["RATE_LIMITED", "RATE_LIMIT"]) {
            Some(LimitHit::Primary(error.message))
        } else {
            mentions_secondary_limit(&error.message).then_some(LimitHit::Secondary(error.message))
        }
    })
}

/// Parses a response of status 200. Returns its data, its tolerated errors, and the points it cost if the
/// query requested `rateLimit { cost }`.
///
/// # Errors
/// If an error is not tolerated, or the body is not a GraphQL response with data of type `T`.
pub(crate) fn parse_reply<T: DeserializeOwned>(
    what: &str,
    body: &[u8],
    is_tolerated: impl Fn(&GraphQlError) -> bool,
) -> Result<(T, Vec<GraphQlError>, Option<u64>), AttemptError> {
    let envelope: Envelope = parse_json(what, body)?;
    if let Some(error) = envelope.errors.iter().find(|error| !is_tolerated(error)) {
        return Err(classify_error(what, error));
    }
    let data = envelope
        .data
        .filter(|data| !data.is_null())
        .ok_or_else(|| AttemptError::BadAnswer("its answer has neither data nor an error".to_owned()))?;
    let cost = data["rateLimit"]["cost"].as_u64();
    let data = serde_json::from_value(data).map_err(|error| unparsable(what, &error))?;
    Ok((data, envelope.errors, cost))
}

/// Parses a body of REST or GraphQL. A body that is not complete JSON may be complete next time. JSON of an
/// unknown shape stays so.
///
/// # Errors
/// If the body is not complete JSON, or has another shape than `T`.
pub(crate) fn parse_json<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, AttemptError> {
    serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            AttemptError::Fatal(unparsable(what, &error))
        } else {
            AttemptError::BadAnswer(format!("its answer is not complete JSON ({error})"))
        }
    })
}

/// The error for a response whose data has an unknown shape.
pub(crate) fn unparsable(what: &str, error: &serde_json::Error) -> Error {
    Error::Invalid(format!(
        "cannot parse GitHub's response for {what} ({error}): please report this, with the server's version"
    ))
}

fn classify_error(what: &str, error: &GraphQlError) -> AttemptError {
    let message = &error.message;
    if error.is_not_found() {
        return AttemptError::Fatal(Error::NotFound(message.clone()));
    }
    if message.contains("access blocked") {
        return AttemptError::Fatal(Error::Blocked(format!("GitHub blocks access to {what}: {message}")));
    }
    if error.is_permission_denied() {
        return AttemptError::Fatal(Error::Forbidden(format!(
            "the token lacks permission to read {what}: {message}; grant it the permission, or authorize \
             it for the organization"
        )));
    }
    if error.is_too_heavy() {
        return AttemptError::MaybeTooHeavy(format!("it answered {message:?}"));
    }
    AttemptError::Fatal(Error::Invalid(format!("GitHub rejected the query for {what}: {message}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primary_and_secondary_limits_are_distinguished() {
        let limit_in = |body: &str| find_limit_hit(body.as_bytes());
        let primary = Some(LimitHit::Primary("used up".to_owned()));
        assert_eq!(limit_in(r#"{"errors":[{"type":"RATE_LIMITED","message":"used up"}]}"#), primary);
        assert_eq!(
            limit_in(r#"{"data":null,"errors":[{"type":"RATE_LIMIT","message":"used up"}]}"#),
            primary
        );
        let secondary = limit_in(r#"{"errors":[{"message":"You have exceeded a secondary rate limit."}]}"#);
        assert!(matches!(secondary, Some(LimitHit::Secondary(_))));
        assert_eq!(limit_in(r#"{"errors":[{"message":"Field 'rate' doesn't exist"}]}"#), None);
        assert_eq!(limit_in(r#"{"data":{}}"#), None);
        assert_eq!(limit_in("<html>"), None);
    }

    #[test]
    fn an_error_names_the_entry_it_concerns() {
        let error: GraphQlError = serde_json::from_value(serde_json::json!({
            "type": "FORBIDDEN", "message": "no", "path": ["organization", "repositories", "nodes", 3, "issues"],
        }))
        .unwrap();
        assert!(error.is_permission_denied());
        assert_eq!(error.entry_below(&["organization", "repositories", "nodes"]), Some(3));
        assert_eq!(error.entry_below(&["organization", "membersWithRole"]), None);
    }

    #[test]
    fn a_missing_child_is_distinguished_from_a_missing_parent() {
        let error_at = |path: serde_json::Value| -> GraphQlError {
            serde_json::from_value(serde_json::json!({ "type": "NOT_FOUND", "path": path })).unwrap()
        };
        assert!(error_at(serde_json::json!(["node", "issue"])).is_below(&["node"]));
        assert!(!error_at(serde_json::json!(["node"])).is_below(&["node"]));
        assert!(!error_at(serde_json::json!(["nodes", 0])).is_below(&["node"]));
        assert!(!error_at(serde_json::json!(null)).is_below(&["node"]));
    }

    #[test]
    fn an_unknown_shape_is_the_same_error_in_both_apis() {
        let why = |result: Result<Vec<i64>, AttemptError>| match result {
            Err(AttemptError::Fatal(error)) => error.to_string(),
            other => panic!("{other:?}"),
        };
        let rest = why(parse_json("releases", br#"{"message":"hello"}"#));
        let graphql = why(parse_reply("releases", br#"{"data":{"a":1}}"#, |_| false).map(|reply| reply.0));
        for why in [&rest, &graphql] {
            assert!(why.starts_with("cannot parse GitHub's response for releases ("), "{why}");
            assert!(!why.contains("network"), "{why}");
        }
    }

    #[test]
    fn incomplete_responses_are_retried_and_invalid_queries_are_not() {
        let parse = |body: &str| parse_reply::<Value>("it", body.as_bytes(), |_| false);
        assert!(matches!(parse("{\"data\":{\"a"), Err(AttemptError::BadAnswer(_))));
        assert!(matches!(parse("<html>"), Err(AttemptError::BadAnswer(_))));
        assert!(matches!(parse("{\"data\":null}"), Err(AttemptError::BadAnswer(_))));
        assert!(matches!(parse("[]"), Err(AttemptError::Fatal(Error::Invalid(_)))));
        let failed =
            r#"{"data":null,"errors":[{"message":"Something went wrong while executing your query"}]}"#;
        assert!(matches!(parse(failed), Err(AttemptError::MaybeTooHeavy(_))));
        let wrong = r#"{"errors":[{"message":"Field 'x' doesn't exist on type 'Y'"}]}"#;
        assert!(matches!(parse(wrong), Err(AttemptError::Fatal(Error::Invalid(_)))));
    }
}
