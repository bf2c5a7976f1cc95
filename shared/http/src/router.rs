//! The router: the routes, and the middleware around them.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_request};
use axum::response::IntoResponse;
use axum::{Extension, Router};
use gam_access::{Principal, Role};
use gam_query::{KeptOrgs, QueryPorts};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};

use crate::auth::{AccessControl, check_access};
use crate::error::{ApiError, cut};
use crate::middleware::cors::{self, AllowedOrigins};
use crate::middleware::kept_answers::{KeptAnswers, answer_from_kept};
use crate::middleware::limits::{self, RequestLimiter};
use crate::middleware::{errors, etag, headers, log, request_id};
use crate::{pages, routes};

/// The paths of routes whose answers are kept: those about one organization. Each has one answer for all callers.
const PATHS_OF_ORGS: &str = "/api/v1/orgs/";

/// Returns the complete API over the ports, for requests that the host trusts.
pub fn router(ports: QueryPorts) -> Router {
    guarded_router(
        ports,
        AccessControl::trusted(Principal::trusted("host", Role::Viewer)),
        AllowedOrigins::default(),
    )
}

/// Returns the same API, for requests that `access` lets through, and for web pages of the allowed origins.
pub fn guarded_router(ports: QueryPorts, access: AccessControl, origins: AllowedOrigins) -> Router {
    let mut router = Router::new();
    let kept = KeptAnswers::new(ports.clone());
    for route in routes::all() {
        let handler = match route.path.starts_with(PATHS_OF_ORGS) {
            true => route
                .handler
                .options(allowed_methods)
                .layer(from_fn_with_state(kept.clone(), answer_from_kept)),
            false => route.handler.options(allowed_methods),
        };
        router = router.route(route.path, handler);
    }
    for (path, handler) in pages::routes() {
        router = router.route(path, handler.options(allowed_methods));
    }
    let router = routes::sign_in::add_to(router)
        .layer(Extension(access.clone()))
        .layer(Extension(Arc::new(KeptOrgs::default())))
        .layer(Extension(routes::ExportPermits::default()));
    // Outermost first. Errors are rendered outside of everything that can fail, so that they are
    // compressed and logged like any other response.
    let middleware = ServiceBuilder::new()
        .layer(map_request(request_id::drop_invalid))
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(from_fn(log::log_request))
        .layer(from_fn_with_state(origins, cors::allow_origins))
        .layer(from_fn(headers::add_headers))
        .layer(from_fn(errors::render_unacceptable))
        .layer(CompressionLayer::new())
        .layer(from_fn(errors::render_errors))
        .layer(CatchPanicLayer::custom(errors::panic_response))
        .layer(from_fn(limits::check_size))
        .layer(from_fn_with_state(RequestLimiter::new(), limits::limit_requests))
        .layer(from_fn(etag::add_etag))
        .layer(from_fn_with_state((access, ports.clone()), check_access))
        .layer(DefaultBodyLimit::max(limits::MAX_BODY_BYTES));
    router
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware)
        .with_state(ports)
}

/// Answers `OPTIONS` of a route in [`routes::all`], which all have the same methods.
async fn allowed_methods() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(header::ALLOW, HeaderValue::from_static("GET,HEAD,OPTIONS"))])
}

async fn no_such_route(request: Request) -> ApiError {
    ApiError::no_such_route(request.uri().path())
}

async fn method_not_allowed(request: Request) -> ApiError {
    ApiError::method_not_allowed(format!(
        "{} is not allowed at {}: the API is read-only, use GET",
        cut(request.method().as_str()),
        cut(request.uri().path())
    ))
}
