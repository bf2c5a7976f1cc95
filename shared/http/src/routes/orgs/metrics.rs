//! `…/metrics`: the metrics of an organization, repository or member over a range.

use axum::extract::State;
use axum::routing::get;
use gam_access::RouteClass;
use gam_query::{MetricsAnswer, QueryPorts};

use super::SUBJECT_ERRORS;
use crate::answer::{Answer, AnswerFormat};
use crate::error::ApiError;
use crate::openapi::{Operation, schema_name};
use crate::params::{MetricsParams, Parameter, QueryParams, SubjectPath, Validated, WithRepoId};
use crate::routes::Route;

pub(crate) fn of_org(path: &'static str) -> Route {
    let summary = "The metrics of an organization over a range";
    let operation =
        operation(path, "org_metrics", summary, MetricsParams::accepted(), schema_name::ORG_METRICS);
    Route { path, handler: get(handle), operation, class: RouteClass::Read }
}

pub(crate) fn of_repo(path: &'static str) -> Route {
    let summary = "The metrics of a repository over a range";
    let parameters = WithRepoId::<MetricsParams>::accepted();
    let operation = operation(path, "repo_metrics", summary, parameters, schema_name::REPO_METRICS);
    Route { path, handler: get(handle_repo), operation, class: RouteClass::Read }
}

pub(crate) fn of_member(path: &'static str) -> Route {
    let summary = "The metrics of a member over a range";
    let operation =
        operation(path, "member_metrics", summary, MetricsParams::accepted(), schema_name::MEMBER_METRICS);
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
    Validated(params): Validated<MetricsParams>,
) -> Result<Answer<MetricsAnswer>, ApiError> {
    Ok(Answer { format, body: answer(&ports, path, params).await? })
}

async fn handle_repo(
    format: AnswerFormat,
    State(ports): State<QueryPorts>,
    path: SubjectPath,
    Validated(WithRepoId { id, params }): Validated<WithRepoId<MetricsParams>>,
) -> Result<Answer<MetricsAnswer>, ApiError> {
    Ok(Answer { format, body: answer(&ports, path.with_repo_id(id), params).await? })
}

async fn answer(
    ports: &QueryPorts,
    SubjectPath { org, subject }: SubjectPath,
    MetricsParams { range, bots, compare }: MetricsParams,
) -> Result<MetricsAnswer, ApiError> {
    let answer = match compare {
        true => gam_query::compared_metrics(ports, &org, &subject, range, bots).await,
        false => gam_query::metrics(ports, &org, &subject, range, bots).await,
    };
    Ok(answer?)
}
