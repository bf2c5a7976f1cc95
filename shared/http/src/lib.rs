//! The HTTP API: one [`router()`] over a [`gam_pipeline::Context`], the same for every host.
//!
//! What it promises:
//! * the routes, parameters and answers of `/api/v1`, described by the OpenAPI document that is
//!   generated from the same definitions the router and the parser use;
//! * every refusal is an `application/problem+json` document that names the input, why it was
//!   refused, and the mend; an internal failure shows its request id only, and is logged once;
//! * the same question over the same rollups is answered with the same bytes and the same `ETag`.
//!
//! It is read-only and does not know who asks: authentication and rate limits belong to whatever
//! stands in front of it. It does not know where rollups live, how they came about, or which host
//! runs it.

mod layers;
mod openapi;
mod params;
mod problem;
mod router;
mod routes;
mod serve;

pub use axum::Router;
pub use router::router;
pub use serve::serve;
