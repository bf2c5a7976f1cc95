//! `…/metrics/timeseries`: one metric of an organization, repository or member, bucket by bucket.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use gam_query::{QueryPorts, SeriesAnswer};

use super::SUBJECT_ERRORS;
use crate::error::ApiError;
use crate::openapi::{Operation, ResponseBody, schema_name};
use crate::params::{QueryParams, SeriesParams, SubjectPath, Validated};
use crate::routes::Route;

pub(crate) fn of_org(path: &'static str) -> Route {
    route(path, "org", "A metric of an organization by day, week or month", schema_name::ORG_SERIES)
}

pub(crate) fn of_repo(path: &'static str) -> Route {
    route(path, "repo", "A metric of a repository by day, week or month", schema_name::REPO_SERIES)
}

pub(crate) fn of_member(path: &'static str) -> Route {
    route(path, "member", "A metric of a member by day, week or month", schema_name::MEMBER_SERIES)
}

fn route(path: &'static str, subject: &str, summary: &str, schema: &'static str) -> Route {
    let operation = Operation {
        id: format!("{subject}_timeseries"),
        summary: summary.to_owned(),
        parameters: SeriesParams::ACCEPTED,
        response: ResponseBody::Json(schema),
        error_statuses: SUBJECT_ERRORS,
    };
    Route { path, handler: get(handle), operation }
}

async fn handle(
    State(ports): State<QueryPorts>,
    SubjectPath { org, subject }: SubjectPath,
    Validated(SeriesParams { metric, grain, range, bots }): Validated<SeriesParams>,
) -> Result<Json<SeriesAnswer>, ApiError> {
    Ok(Json(gam_query::series(&ports, &org, &subject, metric, grain, range, bots).await?))
}
