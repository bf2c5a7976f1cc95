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

/// A limit that an answer of status 200 tells of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The primary limit is used up.
    Primary(String),
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

    /// Whether the token may not read what the error is about.
    pub(crate) fn is_refusal(&self) -> bool {
        self.is(&["FORBIDDEN", "INSUFFICIENT_SCOPES", "SAML_FAILURE"])
    }

    /// Whether it was too much for GitHub: asking for less may help.
    pub(crate) fn is_too_heavy(&self) -> bool {
        self.is(&["RESOURCE_LIMITS_EXCEEDED", "MAX_NODE_LIMIT_EXCEEDED"])
            || self.message.starts_with("Something went wrong")
            || self.message.contains("respond to your request in time")
            || self.message.contains("timeout")
    }

    /// Whether what the error is about is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.is(&["NOT_FOUND"])
    }

    /// Whether the error is about one of the nodes that were asked for by id: it is gone, or refused.
    pub(crate) fn is_of_a_node(&self) -> bool {
        self.is_not_found() || (self.is_refusal() && self.entry_below(&["nodes"]).is_some())
    }

    /// Whether the error is about something below that place, and not about what is there itself.
    pub(crate) fn is_below(&self, place: &[&str]) -> bool {
        let path = self.path.as_deref().unwrap_or_default();
        path.len() > place.len() && path.iter().zip(place).all(|(step, name)| step == name)
    }

    /// The entry that the error is about, below the list at that path.
    pub(crate) fn entry_below(&self, list: &[&str]) -> Option<usize> {
        let (head, rest) = self.path.as_ref()?.split_at_checked(list.len())?;
        let same = head.iter().zip(list).all(|(step, name)| step == name);
        rest.first().filter(|_| same).and_then(Value::as_u64).map(|at| at as usize)
    }
}

/// Whether the body of a failure says that the question was too much.
pub(crate) fn tells_too_heavy(body: &[u8]) -> bool {
    serde_json::from_slice::<Envelope>(body)
        .is_ok_and(|envelope| envelope.errors.iter().any(GraphQlError::is_too_heavy))
}

/// Whether GitHub's words tell of a secondary limit.
pub(crate) fn is_secondary(message: &str) -> bool {
    message.to_lowercase().contains("secondary rate limit")
}

/// The limit that an answer tells of, if it does. Most answers are long and hold data: only those that
/// can be such an error are read.
pub(crate) fn limit(body: &[u8]) -> Option<Limit> {
    #[derive(Deserialize)]
    struct Errors {
        #[serde(default)]
        errors: Vec<GraphQlError>,
    }
    const LONGEST: usize = 4096;
    let errors =
        (body.len() < LONGEST).then(|| serde_json::from_slice::<Errors>(body).ok()).flatten()?.errors;
    errors.into_iter().find_map(|error| {
        if error.is(&["RATE_LIMITED", "RATE_LIMIT"]) {
            Some(Limit::Primary(error.message))
        } else {
            is_secondary(&error.message).then_some(Limit::Secondary(error.message))
        }
    })
}

/// Reads an answer of status 200: its data, the errors that `tolerated` says leave it usable, and the
/// points it cost, where the question was to be told.
pub(crate) fn read<T: DeserializeOwned>(
    what: &str,
    body: &[u8],
    tolerated: impl Fn(&GraphQlError) -> bool,
) -> Result<(T, Vec<GraphQlError>, Option<u64>), Failure> {
    let envelope: Envelope = serde_json::from_slice(body)
        .map_err(|error| Failure::Transient(format!("the answer is no whole JSON ({error})")))?;
    if let Some(error) = envelope.errors.iter().find(|error| !tolerated(error)) {
        return Err(failure(what, error));
    }
    let data = envelope
        .data
        .filter(|data| !data.is_null())
        .ok_or_else(|| Failure::Transient("the answer holds neither data nor an error".to_owned()))?;
    let cost = data["rateLimit"]["cost"].as_u64();
    let data = serde_json::from_value(data).map_err(|error| {
        Failure::Fatal(Error::Invalid(format!(
            "GitHub's answer to {what} is not understood ({error}): please report it, with the server's version"
        )))
    })?;
    Ok((data, envelope.errors, cost))
}

fn failure(what: &str, error: &GraphQlError) -> Failure {
    let message = &error.message;
    if error.is_not_found() {
        return Failure::Fatal(Error::NotFound(message.clone()));
    }
    if message.contains("access blocked") {
        return Failure::Fatal(Error::Blocked(format!("GitHub blocks access to {what}: {message}")));
    }
    if error.is_refusal() {
        return Failure::Fatal(Error::Forbidden(format!(
            "the token may not read {what}: {message}; grant it the permission, or authorize it for the organization"
        )));
    }
    if error.is_too_heavy() {
        return Failure::Heavy(message.clone());
    }
    Failure::Fatal(Error::Invalid(format!("GitHub refused {what}: {message}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_of_the_primary_limit_and_the_secondary_one_are_told_apart() {
        let of = |body: &str| limit(body.as_bytes());
        let primary = Some(Limit::Primary("used up".to_owned()));
        assert_eq!(of(r#"{"errors":[{"type":"RATE_LIMITED","message":"used up"}]}"#), primary);
        assert_eq!(of(r#"{"data":null,"errors":[{"type":"RATE_LIMIT","message":"used up"}]}"#), primary);
        let secondary = of(r#"{"errors":[{"message":"You have exceeded a secondary rate limit."}]}"#);
        assert!(matches!(secondary, Some(Limit::Secondary(_))));
        assert_eq!(of(r#"{"errors":[{"message":"Field 'rate' doesn't exist"}]}"#), None);
        assert_eq!(of(r#"{"data":{}}"#), None);
        assert_eq!(of("<html>"), None);
    }

    #[test]
    fn an_error_names_the_entry_it_is_about() {
        let error: GraphQlError = serde_json::from_value(serde_json::json!({
            "type": "FORBIDDEN", "message": "no", "path": ["organization", "repositories", "nodes", 3, "issues"],
        }))
        .unwrap();
        assert!(error.is_refusal());
        assert_eq!(error.entry_below(&["organization", "repositories", "nodes"]), Some(3));
        assert_eq!(error.entry_below(&["organization", "membersWithRole"]), None);
    }

    #[test]
    fn a_thing_that_is_missing_is_told_from_one_whose_parent_is() {
        let of = |path: serde_json::Value| -> GraphQlError {
            serde_json::from_value(serde_json::json!({ "type": "NOT_FOUND", "path": path })).unwrap()
        };
        assert!(of(serde_json::json!(["node", "issue"])).is_below(&["node"]));
        assert!(!of(serde_json::json!(["node"])).is_below(&["node"]));
        assert!(!of(serde_json::json!(["nodes", 0])).is_below(&["node"]));
        assert!(!of(serde_json::json!(null)).is_below(&["node"]));
    }

    #[test]
    fn what_is_no_whole_json_may_be_asked_for_again() {
        let read = |body: &str| read::<Value>("it", body.as_bytes(), |_| false);
        assert!(matches!(read("{\"data\":{\"a"), Err(Failure::Transient(_))));
        assert!(matches!(read("{\"data\":null}"), Err(Failure::Transient(_))));
        let failed =
            r#"{"data":null,"errors":[{"message":"Something went wrong while executing your query"}]}"#;
        assert!(matches!(read(failed), Err(Failure::Heavy(_))));
        let wrong = r#"{"errors":[{"message":"Field 'x' doesn't exist on type 'Y'"}]}"#;
        assert!(matches!(read(wrong), Err(Failure::Fatal(Error::Invalid(_)))));
    }
}
