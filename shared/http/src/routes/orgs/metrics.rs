//! `…/metrics`: the metrics of an organization, repository or member over a range.

use axum::extract::State;
use axum::routing::get;
use gam_access::RouteClass;
use gam_query::{MetricsAnswer, QueryPorts};

use super::SUBJECT_ERRORS;
use crate::answer::{Answer, AnswerFormat};
use crate::error::ApiError;
use crate::openapi::{Operation, schema_name};
use crate::params::{MetricsParams, QueryParams, SubjectQuery, WithRepoId};
use crate::routes::{Route, RouteMethod};

pub(crate) fn of_org(path: &'static str) -> Route {
    let summary = "The metrics of an organization over a range";
    let operation = Operation::of_answer(
        path,
        "org_metrics",
        summary,
        MetricsParams::accepted(),
        &[schema_name::ORG_METRICS],
        SUBJECT_ERRORS,
    );
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Read }
}

pub(crate) fn of_repo(path: &'static str) -> Route {
    let summary = "The metrics of a repository over a range";
    let parameters = WithRepoId::<MetricsParams>::accepted();
    let operation = Operation::of_answer(
        path,
        "repo_metrics",
        summary,
        parameters,
        &[schema_name::REPO_METRICS],
        SUBJECT_ERRORS,
    );
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Read }
}

pub(crate) fn of_member(path: &'static str) -> Route {
    let summary = "The metrics of a member over a range";
    let operation = Operation::of_answer(
        path,
        "member_metrics",
        summary,
        MetricsParams::accepted(),
        &[schema_name::MEMBER_METRICS],
        SUBJECT_ERRORS,
    );
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Read }
}

async fn handle(
    format: AnswerFormat,
    State(ports): State<QueryPorts>,
    SubjectQuery { org, subject, params }: SubjectQuery<MetricsParams>,
) -> Result<Answer<MetricsAnswer>, ApiError> {
    let MetricsParams { range, bots, compare } = params;
    let answer = match compare {
        true => gam_query::compared_metrics(&ports, &org, &subject, range, bots).await,
        false => gam_query::metrics(&ports, &org, &subject, range, bots).await,
    };
    Ok(Answer { format, body: answer? })
}
