//! `/api/v1/orgs`: the organizations.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Extension, Json};
use gam_access::{Principal, RouteClass};
use gam_query::{KeptOrgs, OrgsAnswer, QueryPorts};

use crate::auth::visible_orgs;
use crate::error::ApiError;
use crate::openapi::{Operation, ResponseBody, schema_name};
use crate::params::{NoParams, QueryParams, Validated};
use crate::routes::Route;

pub(crate) fn route(path: &'static str) -> Route {
    let operation = Operation {
        id: "orgs".to_owned(),
        summary: "Every organization that was ever collected".to_owned(),
        parameters: NoParams::accepted(),
        response: ResponseBody::Json(schema_name::ORGS),
        error_statuses: &[400, 503],
    };
    Route { path, handler: get(handle), operation, class: RouteClass::Read }
}

async fn handle(
    State(ports): State<QueryPorts>,
    Extension(kept): Extension<Arc<KeptOrgs>>,
    Extension(principal): Extension<Principal>,
    _: Validated<NoParams>,
) -> Result<Json<OrgsAnswer>, ApiError> {
    Ok(Json(visible_orgs(&ports, &kept, &principal).await?))
}
