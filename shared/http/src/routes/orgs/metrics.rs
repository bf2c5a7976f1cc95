//! `…/metrics`: the metrics of an organization, repository or member over a range.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use gam_query::{MetricsAnswer, QueryPorts};

use super::SUBJECT_ERRORS;
use crate::error::ApiError;
use crate::openapi::{Operation, ResponseBody, schema_name};
use crate::params::{MetricsParams, QueryParams, SubjectPath, Validated};
use crate::routes::Route;

pub(crate) fn of_org(path: &'static str) -> Route {
    route(path, "org", "The metrics of an organization over a range", schema_name::ORG_METRICS)
}

pub(crate) fn of_repo(path: &'static str) -> Route {
    route(path, "repo", "The metrics of a repository over a range", schema_name::REPO_METRICS)
}

pub(crate) fn of_member(path: &'static str) -> Route {
    route(path, "member", "The metrics of a member over a range", schema_name::MEMBER_METRICS)
}

fn route(path: &'static str, subject: &str, summary: &str, schema: &'static str) -> Route {
    let operation = Operation {
        id: format!("{subject}_metrics"),
        summary: summary.to_owned(),
        parameters: MetricsParams::ACCEPTED,
        response: ResponseBody::Json(schema),
        error_statuses: SUBJECT_ERRORS,
    };
    Route { path, handler: get(handle), operation }
}

async fn handle(
    State(ports): State<QueryPorts>,
    SubjectPath { org, subject }: SubjectPath,
    Validated(MetricsParams { range, bots }): Validated<MetricsParams>,
) -> Result<Json<MetricsAnswer>, ApiError> {
    Ok(Json(gam_query::metrics(&ports, &org, &subject, range, bots).await?))
}
