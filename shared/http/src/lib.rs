//! The HTTP API: one [`router()`] over a [`gam_query::QueryPorts`], the same for every host.
//!
//! What it promises:
//! * the routes, parameters and answers of `/api/v1`, described by the OpenAPI document that is
//!   generated from the same definitions the router and the parser use;
//! * every refusal is an `application/problem+json` document that names the input, why it was
//!   refused, and the mend; an internal failure shows its request id only, and is logged once;
//! * the same question over the same rollups is answered with the same bytes and the same `ETag`.
//!
//! It is read-only. Where a host wants a bearer token ([`guarded_router`]) only those are answered who
//! show it; beyond that it does not know who asks: rate limits belong to whatever stands in front of
//! it. It does not know where rollups live, how they came about, or which host
//! runs it.

mod access;
mod layers;
mod openapi;
mod params;
mod problem;
mod router;
mod routes;
mod serve;

pub use access::{Token, TokenError};
pub use axum::Router;
pub use router::{guarded_router, router};
pub use serve::serve;
