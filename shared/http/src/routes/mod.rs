//! The routes: one file a resource, one line here for each route.

mod catalogue;
mod document;
mod health;
mod index;
mod listing;
mod metrics;
mod orgs;
mod timeseries;

pub(crate) use catalogue::{MetricCatalogue, MetricEntry};
pub(crate) use health::Health;

use axum::routing::MethodRouter;
use gam_query::QueryPorts;

use crate::openapi::Operation;

/// A route: where it is, what answers there, and how the document describes it.
pub(crate) struct Route {
    /// The path, with parameters in braces.
    pub(crate) path: &'static str,
    /// What answers.
    pub(crate) handler: MethodRouter<QueryPorts>,
    /// The description.
    pub(crate) operation: Operation,
}

/// The refusals of a question to the store.
const STORE_REFUSALS: &[u16] = &[400, 503];
/// The refusals of a question about somebody or something.
const SUBJECT_REFUSALS: &[u16] = &[400, 404, 503];

const HEALTH: [&str; 2] = ["/healthz", "/api/v1/healthz"];

/// Whether the path asks only whether the program runs.
pub(crate) fn is_health(path: &str) -> bool {
    HEALTH.contains(&path)
}

/// Every route.
pub(crate) fn all() -> Vec<Route> {
    vec![
        index::page("/"),
        health::check(HEALTH[0], "healthz"),
        health::check(HEALTH[1], "healthz_v1"),
        document::openapi("/openapi.json", "openapi"),
        document::openapi("/api/v1/openapi.json", "openapi_v1"),
        catalogue::metrics("/api/v1/metrics"),
        orgs::orgs("/api/v1/orgs"),
        metrics::of_org("/api/v1/orgs/{org}/metrics"),
        metrics::of_repo("/api/v1/orgs/{org}/repos/{repo}/metrics"),
        metrics::of_member("/api/v1/orgs/{org}/members/{member}/metrics"),
        timeseries::of_org("/api/v1/orgs/{org}/metrics/timeseries"),
        timeseries::of_repo("/api/v1/orgs/{org}/repos/{repo}/metrics/timeseries"),
        timeseries::of_member("/api/v1/orgs/{org}/members/{member}/metrics/timeseries"),
        listing::members("/api/v1/orgs/{org}/members"),
        listing::repos("/api/v1/orgs/{org}/repos"),
    ]
}
