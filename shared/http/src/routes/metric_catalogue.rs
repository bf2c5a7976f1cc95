//! `/api/v1/metrics`: the metric catalogue.

use axum::Json;
use axum::routing::get;
use gam_access::RouteClass;
use gam_model::metric::CATALOGUE;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Route, RouteMethod};
use crate::answer::AcceptsJson;
use crate::openapi::{NamedSchema, Operation, derived, schema_name};
use crate::params::{NoParams, Validated};

/// A metric of the catalogue.
#[derive(Serialize, ToSchema)]
struct MetricEntry {
    /// The name in answers and parameters.
    name: &'static str,
    /// The unit of the values.
    unit: &'static str,
    /// What it counts or measures.
    meaning: &'static str,
    /// The member who is credited. Empty for a metric that is computed from others.
    credited_to: &'static str,
    /// The time of GitHub's that decides the day. Empty for a metric that is computed from others.
    at: &'static str,
    /// The source of the definition.
    source: &'static str,
    /// Whether the values are distributions. Otherwise they are integers.
    distribution: bool,
}

/// The metric catalogue.
#[derive(Serialize, ToSchema)]
struct MetricCatalogue {
    /// The metrics in the order in which answers have them.
    metrics: Vec<MetricEntry>,
}

pub(super) fn schemas() -> [NamedSchema; 2] {
    [derived::<MetricCatalogue>(), derived::<MetricEntry>()]
}

pub(super) fn route(path: &'static str) -> Route {
    let operation = Operation::of_json(
        "metric_catalogue",
        "The metric catalogue: every metric with its unit and definition",
        schema_name::CATALOGUE,
        &[400],
    );
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Read }
}

async fn handle(_: AcceptsJson, _: Validated<NoParams>) -> Json<MetricCatalogue> {
    let entries = CATALOGUE.iter().map(|metric| MetricEntry {
        name: metric.name,
        unit: metric.unit,
        meaning: metric.meaning,
        credited_to: metric.credited_to,
        at: metric.at,
        source: metric.source,
        distribution: metric.is_distribution(),
    });
    Json(MetricCatalogue { metrics: entries.collect() })
}
