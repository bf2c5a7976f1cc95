//! The router: the routes, and the middleware around them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_request};
use axum::response::IntoResponse;
use axum::routing::MethodRouter;
use axum::{Extension, Router};
use gam_access::{AuditLog, LogReadings, Principal, Role};
use gam_model::Clock;
use gam_notify::FactSource;
use gam_query::{KeptOrgs, QueryPorts};
use gam_store::RecordStore;
use gam_work::actions::{Actions, ApprovalLinks};
use gam_work::tasks::Tasks;
use gam_work::{IssueReader, PushedSessions};
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
use crate::pages::View;
use crate::service_metrics::{MetricsExtension, ServiceMetrics};
use crate::{pages, routes, service_metrics};

/// The paths of routes whose answers are kept: those about one organization, unless they read records. Each has one answer
/// for all callers.
const PATHS_OF_ORGS: &str = "/api/v1/orgs/";

/// The methods of pages.
const METHODS_OF_PAGES: &str = "GET,HEAD,OPTIONS";

/// What a host connects to the API. Ports of queries alone make an API that only reads metrics.
#[derive(Clone)]
pub struct ApiPorts {
    /// The ports of queries.
    pub query: QueryPorts,
    /// What the routes of tasks use. `None` if the host cannot change its store.
    pub work: Option<WorkPorts>,
    /// The audit log. `None` if the host cannot read it, or cannot write who reads it.
    pub log: Option<LogPorts>,
}

/// What the routes of the audit log use.
#[derive(Clone)]
pub struct LogPorts {
    /// The log.
    pub log: Arc<dyn AuditLog>,
    /// Writes who reads it.
    pub readings: LogReadings,
    /// Whether the host sends an answer while it is made. Otherwise a stream ends with what there is, and its client comes
    /// again.
    pub is_streaming: bool,
}

/// What the routes of tasks, issues and actions use.
#[derive(Clone)]
pub struct WorkPorts {
    /// The tasks of the store.
    pub tasks: Tasks,
    /// The cache of issues.
    pub issues: IssueReader,
    /// The actions on GitHub.
    pub actions: Actions,
    /// The owner of repositories that a request names without one.
    pub default_owner: Option<String>,
    /// Signs and checks links for approvers. `None` if the host has no key for them.
    pub links: Option<ApprovalLinks>,
}

/// Extracts what the host connects to tasks and actions.
pub(crate) struct HostWork(pub(crate) WorkPorts);

impl<S: Sync> FromRequestParts<S> for HostWork {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<WorkPorts>().cloned().map(HostWork).ok_or_else(ApiError::no_tasks)
    }
}

/// What the page of notifications uses.
#[derive(Clone)]
pub struct NotificationPorts {
    /// The organizations with channels.
    pub facts: Arc<dyn FactSource>,
    /// The store.
    pub records: Arc<dyn RecordStore>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// Returns a router of the API whose page shows what notifications were sent.
pub fn with_notifications(router: Router, ports: NotificationPorts) -> Router {
    router.layer(Extension(ports))
}

/// Returns a router of the API that takes session events of other machines.
pub fn with_pushed_sessions(router: Router, sessions: PushedSessions) -> Router {
    router.layer(Extension(sessions))
}

/// Returns a router of the API that answers `/metrics`.
pub fn with_service_metrics(router: Router, metrics: Arc<dyn ServiceMetrics>) -> Router {
    router.layer(Extension(MetricsExtension(metrics)))
}

impl From<QueryPorts> for ApiPorts {
    fn from(query: QueryPorts) -> Self {
        ApiPorts { query, work: None, log: None }
    }
}

/// Returns the complete API over the ports, for requests that the host trusts.
pub fn router(ports: impl Into<ApiPorts>) -> Router {
    guarded_router(
        ports,
        AccessControl::trusted(Principal::trusted("host", Role::Viewer)),
        AllowedOrigins::default(),
    )
}

/// Returns the same API, for requests that `access` lets through, and for web pages of the allowed origins.
pub fn guarded_router(ports: impl Into<ApiPorts>, access: AccessControl, origins: AllowedOrigins) -> Router {
    let ApiPorts { query: ports, work, log } = ports.into();
    let mut router = Router::new();
    let kept = KeptAnswers::new(ports.clone());
    for (path, (handler, methods)) in handlers_by_path() {
        let handler = handler.options(move || allowed_methods(methods));
        let handler = match path.starts_with(PATHS_OF_ORGS) && !routes::reads_records(path) {
            true => handler.layer(from_fn_with_state(kept.clone(), answer_from_kept)),
            false => handler,
        };
        router = router.route(path, handler);
    }
    let kept_pages = kept.with_variant(View::variant);
    let pages = pages::query_routes().into_iter().map(|(path, handler)| {
        (path, handler.layer(from_fn_with_state(kept_pages.clone(), answer_from_kept)))
    });
    for (path, handler) in pages.chain(pages::other_routes()) {
        router = router.route(path, handler.options(|| allowed_methods(METHODS_OF_PAGES.to_owned())));
    }
    let router = match work {
        Some(work) => router.layer(Extension(work)),
        None => router,
    };
    let router = match log {
        Some(log) => router.layer(Extension(log)),
        None => router,
    };
    let router = routes::sign_in::add_to(router)
        .layer(Extension(access.clone()))
        .layer(Extension(Arc::new(KeptOrgs::default())))
        .layer(Extension(routes::ExportPermits::default()))
        .layer(Extension(routes::log::StreamPermits::default()));
    // Outermost first. Errors are rendered outside of everything that can fail, so that they are
    // compressed and logged like any other response.
    let middleware = ServiceBuilder::new()
        .layer(map_request(request_id::drop_invalid))
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(from_fn(log::log_request))
        .layer(from_fn(service_metrics::record))
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

/// Returns the handlers of [`routes::all`] with their methods, as in the header `Allow`, by path.
fn handlers_by_path() -> BTreeMap<&'static str, (MethodRouter<QueryPorts>, String)> {
    let mut by_path: BTreeMap<&'static str, (MethodRouter<QueryPorts>, String)> = BTreeMap::new();
    for route in routes::all() {
        let allowed = route.method.allowed();
        let (handler, methods) = match by_path.remove(route.path) {
            Some((other, methods)) => (other.merge(route.handler), format!("{allowed},{methods}")),
            None => (route.handler, format!("{allowed},OPTIONS")),
        };
        by_path.insert(route.path, (handler, methods));
    }
    by_path
}

/// Answers `OPTIONS` of a route with these methods.
async fn allowed_methods(methods: String) -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(header::ALLOW, methods)])
}

async fn no_such_route(request: Request) -> ApiError {
    ApiError::no_such_route(request.uri().path())
}

async fn method_not_allowed(request: Request) -> ApiError {
    ApiError::method_not_allowed(format!(
        "{} is not allowed at {}: use GET, or see /openapi.json for the methods of each route",
        cut(request.method().as_str()),
        cut(request.uri().path())
    ))
}
