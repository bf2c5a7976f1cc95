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
use crate::params::{QueryParams, SeriesParams, SubjectQuery, WithRepoId};
use crate::routes::{Route, RouteMethod};

/// The answer has one of two schemas: that of one metric, or that of several.
pub(crate) fn of_org(path: &'static str) -> Route {
    let summary = "Metrics of an organization by day, week or month";
    let schemas = [schema_name::ORG_SERIES, schema_name::ORG_SERIES_OF_METRICS];
    let operation = Operation::of_answer(
        path,
        "org_timeseries",
        summary,
        SeriesParams::accepted(),
        &schemas,
        SUBJECT_ERRORS,
    );
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Read }
}

pub(crate) fn of_repo(path: &'static str) -> Route {
    let summary = "Metrics of a repository by day, week or month";
    let schemas = [schema_name::REPO_SERIES, schema_name::REPO_SERIES_OF_METRICS];
    let parameters = WithRepoId::<SeriesParams>::accepted();
    let operation =
        Operation::of_answer(path, "repo_timeseries", summary, parameters, &schemas, SUBJECT_ERRORS);
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Read }
}

pub(crate) fn of_member(path: &'static str) -> Route {
    let summary = "Metrics of a member by day, week or month";
    let schemas = [schema_name::MEMBER_SERIES, schema_name::MEMBER_SERIES_OF_METRICS];
    let operation = Operation::of_answer(
        path,
        "member_timeseries",
        summary,
        SeriesParams::accepted(),
        &schemas,
        SUBJECT_ERRORS,
    );
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Read }
}

async fn handle(
    format: AnswerFormat,
    State(ports): State<QueryPorts>,
    SubjectQuery { org, subject, params }: SubjectQuery<SeriesParams>,
) -> Result<Response, ApiError> {
    let SeriesParams { metrics, grain, range, bots } = params;
    Ok(match metrics.as_slice() {
        [metric] => {
            let body = gam_query::series(&ports, &org, &subject, metric, grain, range, bots).await?;
            Answer { format, body }.into_response()
        }
        metrics => {
            let body =
                gam_query::series_of_metrics(&ports, &org, &subject, metrics, grain, range, bots).await?;
            Answer { format, body }.into_response()
        }
    })
}
