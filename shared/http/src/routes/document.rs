//! The OpenAPI document.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use super::Route;
use crate::openapi::{self, Answer, Operation};

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let document = openapi::document(&super::all());
    document.to_json().expect("the document has text keys only").into()
});

/// This API's description.
pub(super) fn openapi(path: &'static str, id: &str) -> Route {
    let operation = Operation {
        id: id.to_owned(),
        summary: "This API, as an OpenAPI 3.1 document".to_owned(),
        parameters: &[],
        answer: Answer::Document,
        refusals: &[],
    };
    Route { path, handler: get(answer), operation }
}

async fn answer() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.clone())
}
