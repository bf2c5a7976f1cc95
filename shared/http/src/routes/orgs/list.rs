//! `/api/v1/orgs`: the organizations.

use axum::Extension;
use axum::extract::State;
use axum::routing::get;
use gam_access::{Principal, RouteClass};
use gam_query::{NameFilter, OrgsAnswer, QueryPorts};

use crate::answer::{Answer, AnswerFormat};
use crate::auth::visible_orgs_named;
use crate::error::ApiError;
use crate::openapi::{Operation, schema_name};
use crate::params::{OrgsParams, QueryParams, Validated};
use crate::routes::Route;

pub(crate) fn route(path: &'static str) -> Route {
    let summary = "Every organization that was ever collected, in order of their names";
    let operation = Operation::of_answer(
        path,
        "orgs",
        summary,
        OrgsParams::accepted(),
        &[schema_name::ORGS],
        &[400, 503],
    );
    Route { path, handler: get(handle), operation, class: RouteClass::Read }
}

async fn handle(
    format: AnswerFormat,
    State(ports): State<QueryPorts>,
    Extension(principal): Extension<Principal>,
    Validated(OrgsParams { name_filter }): Validated<OrgsParams>,
) -> Result<Answer<OrgsAnswer>, ApiError> {
    let filter = name_filter.unwrap_or_else(|| NameFilter::new(""));
    Ok(Answer { format, body: visible_orgs_named(&ports, &principal, &filter).await? })
}
