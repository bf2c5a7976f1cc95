//! `/api/v1/orgs`: the organizations.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use gam_query::{KeptOrgs, OrgsAnswer, QueryPorts};

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
    let kept = Arc::new(KeptOrgs::default());
    let handler = get(move |ports, params| handle(Arc::clone(&kept), ports, params));
    Route { path, handler, operation }
}

async fn handle(
    kept: Arc<KeptOrgs>,
    State(ports): State<QueryPorts>,
    _: Validated<NoParams>,
) -> Result<Json<OrgsAnswer>, ApiError> {
    Ok(Json(kept.orgs(&ports).await?))
}
