//! `…/metrics/timeseries`: one metric of an organization, repository or member, bucket by bucket.

use axum::Json;
use axum::extract::State;
use axum::routing::{MethodRouter, get};
use gam_access::RouteClass;
use gam_query::{QueryPorts, SeriesAnswer};

use super::SUBJECT_ERRORS;
use crate::error::ApiError;
use crate::openapi::{Operation, ResponseBody, schema_name};
use crate::params::{Parameter, QueryParams, SeriesParams, SubjectPath, Validated, WithRepoId};
use crate::routes::Route;

pub(crate) fn of_org(path: &'static str) -> Route {
    let summary = "A metric of an organization by day, week or month";
    route(path, get(handle), operation("org", summary, SeriesParams::accepted(), schema_name::ORG_SERIES))
}

pub(crate) fn of_repo(path: &'static str) -> Route {
    let summary = "A metric of a repository by day, week or month";
    let operation =
        operation("repo", summary, WithRepoId::<SeriesParams>::accepted(), schema_name::REPO_SERIES);
    route(path, get(handle_repo), operation)
}

pub(crate) fn of_member(path: &'static str) -> Route {
    let summary = "A metric of a member by day, week or month";
    route(
        path,
        get(handle),
        operation("member", summary, SeriesParams::accepted(), schema_name::MEMBER_SERIES),
    )
}

fn route(path: &'static str, handler: MethodRouter<QueryPorts>, operation: Operation) -> Route {
    Route { path, handler, operation, class: RouteClass::Read }
}

fn operation(subject: &str, summary: &str, parameters: Vec<Parameter>, schema: &'static str) -> Operation {
    Operation {
        id: format!("{subject}_timeseries"),
        summary: summary.to_owned(),
        parameters,
        response: ResponseBody::Json(schema),
        error_statuses: SUBJECT_ERRORS,
    }
}

async fn handle(
    State(ports): State<QueryPorts>,
    SubjectPath { org, subject }: SubjectPath,
    Validated(SeriesParams { metric, grain, range, bots }): Validated<SeriesParams>,
) -> Result<Json<SeriesAnswer>, ApiError> {
    Ok(Json(gam_query::series(&ports, &org, &subject, metric, grain, range, bots).await?))
}

async fn handle_repo(
    State(ports): State<QueryPorts>,
    path: SubjectPath,
    Validated(WithRepoId { id, params }): Validated<WithRepoId<SeriesParams>>,
) -> Result<Json<SeriesAnswer>, ApiError> {
    let SubjectPath { org, subject } = path.with_repo_id(id);
    let SeriesParams { metric, grain, range, bots } = params;
    Ok(Json(gam_query::series(&ports, &org, &subject, metric, grain, range, bots).await?))
}
