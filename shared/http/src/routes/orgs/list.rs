//! `/api/v1/orgs`: the organizations.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use gam_query::{OrgsAnswer, QueryPorts};

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
    Route { path, handler: get(handle), operation }
}

async fn handle(
    State(ports): State<QueryPorts>,
    _: Validated<NoParams>,
) -> Result<Json<OrgsAnswer>, ApiError> {
    Ok(Json(gam_query::orgs(&ports).await?))
}
