//! `…/metrics`: the metrics of an organization, repository or member over a range.

use axum::Json;
use axum::extract::State;
use axum::routing::{MethodRouter, get};
use gam_access::RouteClass;
use gam_query::{MetricsAnswer, QueryPorts};

use super::SUBJECT_ERRORS;
use crate::error::ApiError;
use crate::openapi::{Operation, ResponseBody, schema_name};
use crate::params::{MetricsParams, Parameter, QueryParams, SubjectPath, Validated, WithRepoId};
use crate::routes::Route;

pub(crate) fn of_org(path: &'static str) -> Route {
    let summary = "The metrics of an organization over a range";
    route(path, get(handle), operation("org", summary, MetricsParams::accepted(), schema_name::ORG_METRICS))
}

pub(crate) fn of_repo(path: &'static str) -> Route {
    let summary = "The metrics of a repository over a range";
    let operation =
        operation("repo", summary, WithRepoId::<MetricsParams>::accepted(), schema_name::REPO_METRICS);
    route(path, get(handle_repo), operation)
}

pub(crate) fn of_member(path: &'static str) -> Route {
    let summary = "The metrics of a member over a range";
    route(
        path,
        get(handle),
        operation("member", summary, MetricsParams::accepted(), schema_name::MEMBER_METRICS),
    )
}

fn route(path: &'static str, handler: MethodRouter<QueryPorts>, operation: Operation) -> Route {
    Route { path, handler, operation, class: RouteClass::Read }
}

fn operation(subject: &str, summary: &str, parameters: Vec<Parameter>, schema: &'static str) -> Operation {
    Operation {
        id: format!("{subject}_metrics"),
        summary: summary.to_owned(),
        parameters,
        response: ResponseBody::Json(schema),
        error_statuses: SUBJECT_ERRORS,
    }
}

async fn handle(
    State(ports): State<QueryPorts>,
    SubjectPath { org, subject }: SubjectPath,
    Validated(MetricsParams { range, bots }): Validated<MetricsParams>,
) -> Result<Json<MetricsAnswer>, ApiError> {
    Ok(Json(gam_query::metrics(&ports, &org, &subject, range, bots).await?))
}

async fn handle_repo(
    State(ports): State<QueryPorts>,
    path: SubjectPath,
    Validated(WithRepoId { id, params }): Validated<WithRepoId<MetricsParams>>,
) -> Result<Json<MetricsAnswer>, ApiError> {
    let SubjectPath { org, subject } = path.with_repo_id(id);
    let MetricsParams { range, bots } = params;
    Ok(Json(gam_query::metrics(&ports, &org, &subject, range, bots).await?))
}
