//! A subject's metrics over a range.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use gam_query::MetricsAnswer;
use gam_query::QueryPorts;

use super::{Route, SUBJECT_REFUSALS};
use crate::openapi::{Answer, Operation, name};
use crate::params::{Asked, MetricsQuestion, Question, Target};
use crate::problem::Failure;

/// An organization's metrics.
pub(super) fn of_org(path: &'static str) -> Route {
    route(path, "org", "An organization's", name::ORG_METRICS)
}

/// A repository's metrics.
pub(super) fn of_repo(path: &'static str) -> Route {
    route(path, "repo", "A repository's", name::REPO_METRICS)
}

/// A member's metrics.
pub(super) fn of_member(path: &'static str) -> Route {
    route(path, "member", "A member's", name::MEMBER_METRICS)
}

fn route(path: &'static str, subject: &str, whose: &str, schema: &'static str) -> Route {
    let operation = Operation {
        id: format!("{subject}_metrics"),
        summary: format!("{whose} metrics over a range"),
        parameters: MetricsQuestion::PARAMETERS,
        answer: Answer::Json(schema),
        refusals: SUBJECT_REFUSALS,
    };
    Route { path, handler: get(answer), operation }
}

async fn answer(
    State(ports): State<QueryPorts>,
    target: Target,
    Asked(asked): Asked<MetricsQuestion>,
) -> Result<Json<MetricsAnswer>, Failure> {
    Ok(Json(gam_query::metrics(&ports, &target.org, &target.subject, asked.range, asked.bots).await?))
}
