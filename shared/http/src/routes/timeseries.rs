//! A subject's metric, bucket by bucket.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use gam_query::QueryPorts;
use gam_query::SeriesAnswer;

use super::{Route, SUBJECT_REFUSALS};
use crate::openapi::{Answer, Operation, name};
use crate::params::{Asked, Question, SeriesQuestion, Target};
use crate::problem::Failure;

/// An organization's metric, bucket by bucket.
pub(super) fn of_org(path: &'static str) -> Route {
    route(path, "org", "An organization's", name::ORG_SERIES)
}

/// A repository's metric, bucket by bucket.
pub(super) fn of_repo(path: &'static str) -> Route {
    route(path, "repo", "A repository's", name::REPO_SERIES)
}

/// A member's metric, bucket by bucket.
pub(super) fn of_member(path: &'static str) -> Route {
    route(path, "member", "A member's", name::MEMBER_SERIES)
}

fn route(path: &'static str, subject: &str, whose: &str, schema: &'static str) -> Route {
    let operation = Operation {
        id: format!("{subject}_timeseries"),
        summary: format!("{whose} metric by day, week or month"),
        parameters: SeriesQuestion::PARAMETERS,
        answer: Answer::Json(schema),
        refusals: SUBJECT_REFUSALS,
    };
    Route { path, handler: get(answer), operation }
}

async fn answer(
    State(ports): State<QueryPorts>,
    target: Target,
    Asked(asked): Asked<SeriesQuestion>,
) -> Result<Json<SeriesAnswer>, Failure> {
    let SeriesQuestion { metric, grain, range, bots } = asked;
    Ok(Json(gam_query::series(&ports, &target.org, &target.subject, metric, grain, range, bots).await?))
}
