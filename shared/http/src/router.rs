//! The router: the routes, and the middleware around them.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_request};
use axum::response::IntoResponse;
use gam_query::QueryPorts;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};

use crate::auth::{self, TokenSource};
use crate::error::{ApiError, cut};
use crate::middleware::hosts::{AllowedHosts, check_host};
use crate::middleware::limits::{self, RequestLimiter};
use crate::middleware::{errors, etag, headers, log, request_id};
use crate::routes;

/// Returns the complete API over the ports.
pub fn router(ports: QueryPorts) -> Router {
    with_middleware(ports, |routes| routes)
}

/// Returns the same API, but only for requests with the bearer token. Health checks need no token.
pub fn guarded_router(ports: QueryPorts, token: TokenSource) -> Router {
    with_middleware(ports, |routes| routes.layer(from_fn_with_state(token, auth::require_token)))
}

/// Returns the same API, but only for requests that address the server by an allowed name. Health checks
/// need none.
pub fn local_router(ports: QueryPorts, hosts: AllowedHosts) -> Router {
    with_middleware(ports, |routes| routes.layer(from_fn_with_state(hosts, check_host)))
}

fn with_middleware(
    ports: QueryPorts,
    guard: impl FnOnce(Router<QueryPorts>) -> Router<QueryPorts>,
) -> Router {
    let mut router = Router::new();
    for route in routes::all() {
        router = router.route(route.path, route.handler.options(allowed_methods));
    }
    // Outermost first. Errors are rendered outside of everything that can fail, so that they are
    // compressed and logged like any other response.
    let middleware = ServiceBuilder::new()
        .layer(map_request(request_id::drop_invalid))
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(from_fn(log::log_request))
        .layer(from_fn(headers::add_headers))
        .layer(from_fn(errors::render_unacceptable))
        .layer(CompressionLayer::new())
        .layer(from_fn(errors::render_errors))
        .layer(CatchPanicLayer::custom(errors::panic_response))
        .layer(from_fn(limits::check_size))
        .layer(from_fn_with_state(RequestLimiter::new(), limits::limit_requests))
        .layer(from_fn(etag::add_etag));
    guard(router.fallback(no_such_route).method_not_allowed_fallback(method_not_allowed))
        .layer(middleware)
        .with_state(ports)
}

/// Answers `OPTIONS` of a route. Every route has the same methods.
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
