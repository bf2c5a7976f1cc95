//! The HTTP API: one [`router()`] over [`gam_query::QueryPorts`], the same for every host.
//!
//! * It serves the routes, parameters and answers of `/api/v1`. One set of definitions makes the
//!   router, the parameter parser and the OpenAPI document.
//! * Every error is an `application/problem+json` document that names the input, says why it was
//!   rejected and what to do. An internal error shows only its request id, and is logged once.
//! * The same query over the same rollups has the same bytes and the same `ETag`.
//! * Nothing that clients do holds the server up: connections, requests and their sizes are bounded, and
//!   what exceeds the bounds gets 503 with `Retry-After`.
//!
//! The API is read-only. A host can require a bearer token ([`guarded_router`]), or that clients address it
//! by a known name ([`local_router`]). There are no other accounts: rate limits belong to a proxy in front of
//! the API. This crate does not know where rollups are stored, how they are computed, or which host runs
//! it.

mod answer;
mod auth;
mod error;
mod middleware;
mod openapi;
mod params;
mod router;
mod routes;
mod serve;
mod throttled_warning;

pub use auth::{TokenError, TokenSource};
pub use axum::Router;
pub use middleware::hosts::AllowedHosts;
pub use router::{guarded_router, local_router, router};
pub use serve::{ServeLimits, serve};
