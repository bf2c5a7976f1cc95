//! The HTTP API: one [`router()`] over [`gam_query::QueryPorts`], the same for every host.
//!
//! * It serves the routes, parameters and answers of `/api/v1`. One set of definitions makes the
//!   router, the parameter parser and the OpenAPI document.
//! * It serves the pages at `/`, rendered from the same queries. Everything they load is a route of the router.
//! * Every error is an `application/problem+json` document, or a page in a browser, that names the input, says why it was
//!   rejected and what to do. An internal error shows only its request id, and is logged once.
//! * The same query over the same rollups has the same bytes and the same `ETag`.
//! * Nothing that clients do holds the server up: connections, requests and their sizes are bounded, and
//!   what exceeds the bounds gets 503 with `Retry-After`.
//!
//! * One check decides who may do what, on every host ([`AccessControl`]): by tokens with roles and scopes, or, on a
//!   server that only this machine reaches and that has no tokens, by the name that clients address it by.
//!
//! The API reads metrics, and changes nothing but tasks: a host that can change its store passes [`WorkPorts`]. This crate
//! does not know where rollups and tokens are stored, how rollups are computed, or which host runs it.

mod answer;
mod auth;
mod charts;
mod complete_days;
mod error;
mod middleware;
mod openapi;
mod pages;
mod params;
mod router;
mod routes;
mod serve;
mod service_metrics;
mod throttled_warning;
mod webhook;

pub use auth::{
    AccessControl, HostPrincipal, OriginHasher, PeerAddress, RequestRate, TokenError, TokenSource,
};
pub use axum::Router;
pub use axum::body::Body;
pub use gam_work::WEBHOOK_PATH;
pub use middleware::cors::AllowedOrigins;
pub use middleware::hosts::AllowedHosts;
pub use router::{
    ApiPorts, LogPorts, NotificationPorts, WorkPorts, guarded_router, router, with_notifications,
    with_pushed_sessions, with_service_metrics,
};
pub use routes::DigestCharts;
pub use serve::{ServeLimits, serve};
pub use service_metrics::{Gauge, ServiceMetrics};
pub use webhook::{WebhookPorts, WebhookSecretSource, WebhookSecrets, webhook_router};
