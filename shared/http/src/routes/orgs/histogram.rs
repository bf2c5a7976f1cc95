//! `…/metrics/histogram`: how the durations of a metric of an organization, repository or member are distributed.

use axum::extract::State;
use axum::routing::get;
use gam_access::RouteClass;
use gam_query::{HistogramAnswer, QueryPorts};

use super::SUBJECT_ERRORS;
use crate::answer::{Answer, AnswerFormat};
use crate::error::ApiError;
use crate::openapi::{Operation, schema_name};
use crate::params::{HistogramParams, Parameter, QueryParams, SubjectPath, Validated, WithRepoId};
use crate::routes::Route;

pub(crate) fn of_org(path: &'static str) -> Route {
    let summary = "How the durations of a metric of an organization are distributed over a range";
    let parameters = HistogramParams::accepted();
    let operation = operation(path, "org_histogram", summary, parameters, schema_name::ORG_HISTOGRAM);
    Route { path, handler: get(handle), operation, class: RouteClass::Read }
}

pub(crate) fn of_repo(path: &'static str) -> Route {
    let summary = "How the durations of a metric of a repository are distributed over a range";
    let parameters = WithRepoId::<HistogramParams>::accepted();
    let operation = operation(path, "repo_histogram", summary, parameters, schema_name::REPO_HISTOGRAM);
    Route { path, handler: get(handle_repo), operation, class: RouteClass::Read }
}

pub(crate) fn of_member(path: &'static str) -> Route {
    let summary = "How the durations of a metric of a member are distributed over a range";
    let parameters = HistogramParams::accepted();
    let operation = operation(path, "member_histogram", summary, parameters, schema_name::MEMBER_HISTOGRAM);
    Route { path, handler: get(handle), operation, class: RouteClass::Read }
}

fn operation(
    path: &str,
    id: &str,
    summary: &str,
    parameters: Vec<Parameter>,
    schema: &'static str,
) -> Operation {
    Operation::of_answer(path, id, summary, parameters, &[schema], SUBJECT_ERRORS)
}

async fn handle(
    format: AnswerFormat,
    State(ports): State<QueryPorts>,
    path: SubjectPath,
    Validated(params): Validated<HistogramParams>,
) -> Result<Answer<HistogramAnswer>, ApiError> {
    Ok(Answer { format, body: answer(&ports, path, params).await? })
}

async fn handle_repo(
    format: AnswerFormat,
    State(ports): State<QueryPorts>,
    path: SubjectPath,
    Validated(WithRepoId { id, params }): Validated<WithRepoId<HistogramParams>>,
) -> Result<Answer<HistogramAnswer>, ApiError> {
    Ok(Answer { format, body: answer(&ports, path.with_repo_id(id), params).await? })
}

async fn answer(
    ports: &QueryPorts,
    SubjectPath { org, subject }: SubjectPath,
    HistogramParams { metric, range, bots }: HistogramParams,
) -> Result<HistogramAnswer, ApiError> {
    Ok(gam_query::histogram(ports, &org, &subject, metric, range, bots).await?)
}
