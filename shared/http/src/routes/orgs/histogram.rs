//! `…/metrics/histogram`: how the durations of a metric of an organization, repository or member are distributed.

use axum::extract::State;
use axum::routing::get;
use gam_access::RouteClass;
use gam_query::{HistogramAnswer, QueryPorts};

use super::SUBJECT_ERRORS;
use crate::answer::{Answer, AnswerFormat};
use crate::error::ApiError;
use crate::openapi::{Operation, schema_name};
use crate::params::{HistogramParams, QueryParams, SubjectQuery, WithRepoId};
use crate::routes::{Route, RouteMethod};

pub(crate) fn of_org(path: &'static str) -> Route {
    let summary = "How the durations of a metric of an organization are distributed over a range";
    let parameters = HistogramParams::accepted();
    let operation = Operation::of_answer(
        path,
        "org_histogram",
        summary,
        parameters,
        &[schema_name::ORG_HISTOGRAM],
        SUBJECT_ERRORS,
    );
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Read }
}

pub(crate) fn of_repo(path: &'static str) -> Route {
    let summary = "How the durations of a metric of a repository are distributed over a range";
    let parameters = WithRepoId::<HistogramParams>::accepted();
    let operation = Operation::of_answer(
        path,
        "repo_histogram",
        summary,
        parameters,
        &[schema_name::REPO_HISTOGRAM],
        SUBJECT_ERRORS,
    );
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Read }
}

pub(crate) fn of_member(path: &'static str) -> Route {
    let summary = "How the durations of a metric of a member are distributed over a range";
    let parameters = HistogramParams::accepted();
    let operation = Operation::of_answer(
        path,
        "member_histogram",
        summary,
        parameters,
        &[schema_name::MEMBER_HISTOGRAM],
        SUBJECT_ERRORS,
    );
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Read }
}

async fn handle(
    format: AnswerFormat,
    State(ports): State<QueryPorts>,
    SubjectQuery { org, subject, params }: SubjectQuery<HistogramParams>,
) -> Result<Answer<HistogramAnswer>, ApiError> {
    let HistogramParams { metric, range, bots } = params;
    let body = gam_query::histogram(&ports, &org, &subject, metric, range, bots).await?;
    Ok(Answer { format, body })
}
