//! `…/metrics/timeseries`: metrics of an organization, repository or member, bucket by bucket.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gam_access::RouteClass;
use gam_query::QueryPorts;

use super::SUBJECT_ERRORS;
use crate::answer::{Answer, AnswerFormat};
use crate::error::ApiError;
use crate::openapi::{Operation, schema_name};
use crate::params::{Parameter, QueryParams, SeriesParams, SubjectPath, Validated, WithRepoId};
use crate::routes::Route;

pub(crate) fn of_org(path: &'static str) -> Route {
    let summary = "Metrics of an organization by day, week or month";
    let schemas = [schema_name::ORG_SERIES, schema_name::ORG_SERIES_OF_METRICS];
    let operation = operation(path, "org_timeseries", summary, SeriesParams::accepted(), schemas);
    Route { path, handler: get(handle), operation, class: RouteClass::Read }
}

pub(crate) fn of_repo(path: &'static str) -> Route {
    let summary = "Metrics of a repository by day, week or month";
    let schemas = [schema_name::REPO_SERIES, schema_name::REPO_SERIES_OF_METRICS];
    let parameters = WithRepoId::<SeriesParams>::accepted();
    let operation = operation(path, "repo_timeseries", summary, parameters, schemas);
    Route { path, handler: get(handle_repo), operation, class: RouteClass::Read }
}

pub(crate) fn of_member(path: &'static str) -> Route {
    let summary = "Metrics of a member by day, week or month";
    let schemas = [schema_name::MEMBER_SERIES, schema_name::MEMBER_SERIES_OF_METRICS];
    let operation = operation(path, "member_timeseries", summary, SeriesParams::accepted(), schemas);
    Route { path, handler: get(handle), operation, class: RouteClass::Read }
}

/// Describes a route whose answer has one of two schemas: that of one metric, or that of several.
fn operation(
    path: &str,
    id: &str,
    summary: &str,
    parameters: Vec<Parameter>,
    schemas: [&'static str; 2],
) -> Operation {
    Operation::of_answer(path, id, summary, parameters, &schemas, SUBJECT_ERRORS)
}

async fn handle(
    format: AnswerFormat,
    State(ports): State<QueryPorts>,
    path: SubjectPath,
    Validated(params): Validated<SeriesParams>,
) -> Result<Response, ApiError> {
    answer(format, &ports, path, params).await
}

async fn handle_repo(
    format: AnswerFormat,
    State(ports): State<QueryPorts>,
    path: SubjectPath,
    Validated(WithRepoId { id, params }): Validated<WithRepoId<SeriesParams>>,
) -> Result<Response, ApiError> {
    answer(format, &ports, path.with_repo_id(id), params).await
}

async fn answer(
    format: AnswerFormat,
    ports: &QueryPorts,
    SubjectPath { org, subject }: SubjectPath,
    SeriesParams { metrics, grain, range, bots }: SeriesParams,
) -> Result<Response, ApiError> {
    Ok(match metrics.as_slice() {
        [metric] => {
            let body = gam_query::series(ports, &org, &subject, metric, grain, range, bots).await?;
            Answer { format, body }.into_response()
        }
        metrics => {
            let body =
                gam_query::series_of_metrics(ports, &org, &subject, metrics, grain, range, bots).await?;
            Answer { format, body }.into_response()
        }
    })
}
