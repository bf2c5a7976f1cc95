//! `/healthz`: the health check.

use axum::Json;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use gam_access::RouteClass;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Route, RouteMethod};
use crate::openapi::{NamedSchema, Operation, ResponseBody, derived, schema_name};

/// The server is running.
#[derive(Serialize, ToSchema)]
struct Health {
    /// Always `ok`.
    status: &'static str,
    /// The version of the program.
    version: &'static str,
}

pub(super) fn schemas() -> [NamedSchema; 1] {
    [derived::<Health>()]
}

/// The check does not read the store. A failed check leads to a restart, which does not repair an
/// unreachable store.
pub(super) fn route(path: &'static str, id: &str) -> Route {
    let operation = Operation {
        id: id.to_owned(),
        summary: "Whether the server is running".to_owned(),
        parameters: Vec::new(),
        response: ResponseBody::Json(schema_name::HEALTH),
        request: None,
        no_content: None,
        error_statuses: &[],
    };
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Public }
}

async fn handle() -> impl IntoResponse {
    let health = Health { status: "ok", version: env!("CARGO_PKG_VERSION") };
    ([(header::CACHE_CONTROL, "no-store")], Json(health))
}
