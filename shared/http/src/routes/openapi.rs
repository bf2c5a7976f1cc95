//! `/openapi.json`: the OpenAPI document.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use gam_access::RouteClass;

use super::{Route, RouteMethod, actions, health, log, metric_catalogue, orgs, sessions, tasks};
use crate::openapi::{self, Operation, ResponseBody};
use crate::webhook::WebhookReceipt;

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let routes = super::all();
    let document = openapi::document(
        &routes,
        health::schemas()
            .into_iter()
            .chain(metric_catalogue::schemas())
            .chain(log::schemas())
            .chain(tasks::schemas())
            .chain(sessions::schemas())
            .chain(actions::schemas())
            .chain(orgs::issues::schemas())
            .chain(orgs::hooks::schemas())
            .chain([openapi::derived::<WebhookReceipt>()]),
    );
    document.to_json().expect("the document has only text keys").into()
});

pub(super) fn route(path: &'static str, id: &str) -> Route {
    let operation = Operation {
        id: id.to_owned(),
        summary: "The OpenAPI 3.1 document of this API".to_owned(),
        parameters: Vec::new(),
        response: ResponseBody::OpenApi,
        request: None,
        no_content: None,
        error_statuses: &[],
    };
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Public }
}

async fn handle() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.clone())
}
