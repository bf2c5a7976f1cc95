//! `/api/v1/orgs`: the organizations.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::routing::get;
use gam_access::{Principal, RouteClass};
use gam_query::{KeptOrgs, OrgsAnswer, QueryPorts};

use crate::answer::{Answer, AnswerFormat};
use crate::auth::visible_orgs;
use crate::error::ApiError;
use crate::openapi::{Operation, schema_name};
use crate::params::{OrgsParams, QueryParams, Validated};
use crate::routes::{Route, RouteMethod};

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
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Read }
}

async fn handle(
    format: AnswerFormat,
    State(ports): State<QueryPorts>,
    Extension(kept): Extension<Arc<KeptOrgs>>,
    Extension(principal): Extension<Principal>,
    Validated(OrgsParams { name_filter }): Validated<OrgsParams>,
) -> Result<Answer<OrgsAnswer>, ApiError> {
    Ok(Answer { format, body: visible_orgs(&ports, &kept, &principal, name_filter.as_ref()).await? })
}
