//! The metric catalogue.

use axum::Json;
use axum::routing::get;
use gam_model::metric::CATALOGUE;
use serde::Serialize;
use utoipa::ToSchema;

use super::Route;
use crate::openapi::{Answer, Operation, name};
use crate::params::{Asked, NoQuestion, Question};

/// A metric of the catalogue.
#[derive(Serialize, ToSchema)]
pub(crate) struct MetricEntry {
    /// The name, as in answers and parameters.
    name: &'static str,
    /// The unit of its values.
    unit: &'static str,
    /// What it counts.
    meaning: &'static str,
    /// Whom it is credited to; empty where it follows from other metrics.
    credited_to: &'static str,
    /// Which of GitHub's times puts it into a period; empty where it follows from other metrics.
    at: &'static str,
    /// Where the definition comes from.
    source: &'static str,
    /// Whether its values are distributions rather than integers.
    distribution: bool,
}

/// The metric catalogue.
#[derive(Serialize, ToSchema)]
pub(crate) struct MetricCatalogue {
    /// In the order in which they are shown.
    metrics: Vec<MetricEntry>,
}

/// What is measured.
pub(super) fn metrics(path: &'static str) -> Route {
    let operation = Operation {
        id: "metric_catalogue".to_owned(),
        summary: "What is measured: every metric with its unit and definition".to_owned(),
        parameters: NoQuestion::PARAMETERS,
        answer: Answer::Json(name::CATALOGUE),
        refusals: &[400],
    };
    Route { path, handler: get(answer), operation }
}

async fn answer(_: Asked<NoQuestion>) -> Json<MetricCatalogue> {
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
