//! Whether the server runs.

use axum::Json;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Serialize;
use utoipa::ToSchema;

use super::Route;
use crate::openapi::{Answer, Operation, name};

/// The server runs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
    /// The program's version.
    version: &'static str,
}

/// Whether the server runs. The store is left out: a store that is out of reach is not mended by
/// starting the server anew, which is what a failed check leads to.
pub(super) fn check(path: &'static str, id: &str) -> Route {
    let operation = Operation {
        id: id.to_owned(),
        summary: "Whether the server runs".to_owned(),
        parameters: &[],
        answer: Answer::Json(name::HEALTH),
        refusals: &[],
    };
    Route { path, handler: get(answer), operation }
}

async fn answer() -> impl IntoResponse {
    let health = Health { status: "ok", version: env!("CARGO_PKG_VERSION") };
    ([(header::CACHE_CONTROL, "no-store")], Json(health))
}
