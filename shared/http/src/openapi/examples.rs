//! Examples of parameters, answers and errors.
//!
//! Those of answers are files that a test writes from real answers: run it with `UPDATE_DOCS=1` to write them again.

use serde_json::Value;
use utoipa::openapi::example::{Example, ExampleBuilder};

use super::schema::schema_name;
use crate::error::ApiError;
use crate::params::{COMPARE_PREVIOUS, Parameter};

pub(super) const ORG: &str = "acme";
pub(super) const REPO: &str = "site";
pub(super) const MEMBER: &str = "ann";
pub(super) const ACTION_ID: &str = "acme.1795000000000.9f3a2b1c0d4e5f60";
pub(super) const CLAIM_ID: &str = "acme.1234.42.3-9f3a2b1c0d4e";

/// Lists the examples of a schema: the file with the JSON, and the one with the CSV.
macro_rules! examples {
    ($($schema:ident, $name:literal;)*) => {
        &[$((
            schema_name::$schema,
            include_str!(concat!("examples/", $name, ".json")),
            include_str!(concat!("examples/", $name, ".csv")),
        ),)*]
    };
}

/// The examples of schemas: the name, the JSON and the CSV.
const ANSWERS: &[(&str, &str, &str)] = examples! {
    ORGS, "Orgs";
    ORG_METRICS, "OrgMetrics";
    REPO_METRICS, "RepoMetrics";
    MEMBER_METRICS, "MemberMetrics";
    ORG_SERIES, "OrgSeries";
    REPO_SERIES, "RepoSeries";
    MEMBER_SERIES, "MemberSeries";
    ORG_SERIES_OF_METRICS, "OrgSeriesOfMetrics";
    REPO_SERIES_OF_METRICS, "RepoSeriesOfMetrics";
    MEMBER_SERIES_OF_METRICS, "MemberSeriesOfMetrics";
    ORG_HISTOGRAM, "OrgHistogram";
    REPO_HISTOGRAM, "RepoHistogram";
    MEMBER_HISTOGRAM, "MemberHistogram";
    MEMBERS, "Members";
    REPOS, "Repos";
};

/// Returns the example of a schema as JSON; `None` if it has none.
pub(super) fn json(schema: &str) -> Option<Value> {
    let (_, json, _) = ANSWERS.iter().find(|(name, ..)| *name == schema)?;
    serde_json::from_str(json).ok()
}

/// Returns the example of a schema as CSV; `None` if it has none.
pub(super) fn csv(schema: &str) -> Option<Value> {
    ANSWERS.iter().find(|(name, ..)| *name == schema).map(|(.., csv)| (*csv).into())
}

pub(super) fn example(value: Value) -> Example {
    ExampleBuilder::new().value(Some(value)).build()
}

/// Returns the example of a parameter; `None` if its values or its default say enough.
pub(super) fn parameter(parameter: Parameter) -> Option<Value> {
    match parameter {
        Parameter::Since => Some("2024-03-01".into()),
        Parameter::Until => Some("2024-04-01".into()),
        Parameter::Compare => Some(COMPARE_PREVIOUS.into()),
        Parameter::Metrics => Some(vec!["commits", "reviews"].into()),
        Parameter::Name => Some("a".into()),
        _ => None,
    }
}

/// Returns a real error with the status, as clients see it; `None` if there is none.
pub(super) fn problem(status: u16) -> Option<Value> {
    let error = match status {
        400 => ApiError::invalid("invalid `bots` \"maybe\": expected one of auto, exclude, include, only"),
        401 => ApiError::unauthorized(),
        403 => ApiError::forbidden(),
        404 => ApiError::no_such_route("/api/v1/nothing"),
        405 => {
            let advice = "use GET, or see /openapi.json for the methods of each route";
            ApiError::method_not_allowed(format!("POST is not allowed at /api/v1/orgs: {advice}"))
        }
        406 => ApiError::not_acceptable(),
        409 => ApiError::stale_fence("the fence 1 is stale: the issue was claimed again; stop working on it"),
        410 => ApiError::cursor_expired("the cursor is expired: leave it out to get the first page again"),
        413 => ApiError::body_too_long(65_536),
        414 => ApiError::target_too_long(16_384),
        415 => ApiError::not_json(),
        429 => ApiError::too_many_requests(1),
        431 => ApiError::headers_too_long(65_536),
        500 => ApiError::internal(std::io::Error::other("an example")),
        503 => ApiError::overloaded(),
        _ => return None,
    };
    serde_json::to_value(error.problem("6f1c1f0e-0d7f-4b3e-9a55-0c1d8b9a1e2f")).ok()
}
