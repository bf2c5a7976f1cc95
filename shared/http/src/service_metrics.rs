//! `/metrics`: numbers about the service itself, in the text format of Prometheus.
//!
//! Counters and histograms are recorded where things happen, with the macros of the crate `metrics`. Gauges, such as the
//! age of a queue, are read when somebody asks.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use axum::Extension;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gam_access::{Principal, Scope};

use crate::error::ApiError;

/// The path.
pub(crate) const METRICS_PATH: &str = "/metrics";
/// The media type of the text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A number that is read when somebody asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauge {
    /// The name, such as `gam_collection_lag_seconds`.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub help: &'static str,
    /// Names and values of labels.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// Where the numbers about the service come from.
#[async_trait]
pub trait ServiceMetrics: Send + Sync {
    /// Returns the counters and histograms of the process, in the text format.
    fn render(&self) -> String;

    /// Returns the gauges. What cannot be read is left out.
    async fn gauges(&self) -> Vec<Gauge>;
}

/// The numbers about the service, as an extension of the router.
#[derive(Clone)]
pub(crate) struct MetricsExtension(pub(crate) Arc<dyn ServiceMetrics>);

/// Answers `/metrics`. The numbers are about all organizations, so a token of some of them sees none.
pub(crate) async fn handle(
    metrics: Option<Extension<MetricsExtension>>,
    principal: Option<Extension<Principal>>,
) -> Result<Response, ApiError> {
    let Some(Extension(MetricsExtension(metrics))) = metrics else {
        return Err(ApiError::not_found("this server has no numbers about itself"));
    };
    if principal.is_some_and(|Extension(principal)| principal.scope != Scope::All) {
        return Err(ApiError::forbidden());
    }
    let mut text = metrics.render();
    write_gauges(&mut text, &metrics.gauges().await);
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))];
    Ok((StatusCode::OK, content_type, text).into_response())
}

/// Writes gauges in the text format. Those of one name follow each other.
fn write_gauges(text: &mut String, gauges: &[Gauge]) {
    let mut gauges: Vec<&Gauge> = gauges.iter().collect();
    gauges.sort_by_key(|gauge| gauge.name);
    let mut last = "";
    for gauge in gauges {
        if gauge.name != last {
            let _ = writeln!(text, "# HELP {} {}\n# TYPE {} gauge", gauge.name, gauge.help, gauge.name);
            last = gauge.name;
        }
        let label = |(name, value): &(&str, String)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        };
        let labels: Vec<String> = gauge.labels.iter().map(label).collect();
        let _ = writeln!(text, "{}{{{}}} {}", gauge.name, labels.join(","), gauge.value);
    }
}

/// Counts requests and their time, by route, method and status. Paths without a route have the route `other`, so that the
/// number of series is bounded.
pub(crate) async fn record(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = request.method().as_str().to_owned();
    let start = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!("gam_http_request_seconds", "route" => route.clone())
        .record(start.elapsed().as_secs_f64());
    metrics::counter!("gam_http_requests_total", "route" => route, "method" => method, "status" => status)
        .increment(1);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_are_grouped_and_their_labels_escaped() {
        let gauge = |name, org: &str, value| Gauge {
            name,
            help: "Help.",
            labels: vec![("org", org.to_owned())],
            value,
        };
        let mut text = String::new();
        write_gauges(
            &mut text,
            &[gauge("gam_b", "x", 1.0), gauge("gam_a", "a\"\\\n", 1.5), gauge("gam_b", "y", 2.0)],
        );
        let expected = "# HELP gam_a Help.\n# TYPE gam_a gauge\ngam_a{org=\"a\\\"\\\\\\n\"} 1.5\n# HELP gam_b Help.\n\
                        # TYPE gam_b gauge\ngam_b{org=\"x\"} 1\ngam_b{org=\"y\"} 2\n";
        assert_eq!(text, expected);
    }
}
