//! The router: the routes, and the layers around them.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state, map_request};
use gam_query::QueryPorts;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};

use crate::access::{self, Token};
use crate::problem::Failure;
use crate::{layers, routes};

/// The whole API over a ports: every route, its layers, and the answers to what is no route.
pub fn router(ports: QueryPorts) -> Router {
    layered(ports, |routes| routes)
}

/// The same for those only who show the bearer token.
pub fn guarded_router(ports: QueryPorts, token: Token) -> Router {
    layered(ports, |routes| routes.layer(from_fn_with_state(token, access::require)))
}

fn layered(ports: QueryPorts, guard: impl FnOnce(Router<QueryPorts>) -> Router<QueryPorts>) -> Router {
    let mut router = Router::new();
    for route in routes::all() {
        router = router.route(route.path, route.handler);
    }
    // Outermost first. Failures are rendered outside everything that can fail, and compressed and
    // logged as any other answer.
    let layers = ServiceBuilder::new()
        .layer(map_request(layers::drop_ill_formed_request_id))
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(from_fn(layers::observe))
        .layer(from_fn(layers::complete_headers))
        .layer(CompressionLayer::new())
        .layer(from_fn(layers::render_failure))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn(layers::revalidate));
    guard(router.fallback(no_such_route).method_not_allowed_fallback(method_not_allowed))
        .layer(layers)
        .with_state(ports)
}

async fn no_such_route(request: Request) -> Failure {
    Failure::no_such_route(request.uri().path())
}

async fn method_not_allowed(request: Request) -> Failure {
    Failure::method_not_allowed(format!(
        "{} is not allowed at {}: the API is read-only, use GET",
        request.method(),
        request.uri().path()
    ))
}
