//! `/metrics`: numbers about the service itself, in the text format of Prometheus.
//!
//! Requests are counted as they are answered. Gauges, such as the length of a queue, are read when somebody asks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// The upper bounds of the buckets of times, in seconds.
const BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The requests of the process. There is one process, whatever the number of routers.
static REQUESTS: LazyLock<Mutex<RequestCounts>> = LazyLock::new(Mutex::default);

/// What is counted, by route.
#[derive(Debug, Default)]
struct RequestCounts(BTreeMap<String, RouteCounts>);

/// The answers of a route, and their times.
#[derive(Debug, Default)]
struct RouteCounts {
    /// By method and status.
    answers: BTreeMap<(&'static str, u16), u64>,
    /// The number of requests whose time is in each bucket and in no lower one.
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

impl RequestCounts {
    fn add(&mut self, route: &str, method: &'static str, status: u16, time: Duration) {
        match self.0.get_mut(route) {
            Some(counts) => counts.add(method, status, time),
            // Only the first request of a route allocates.
            None => self.0.entry(route.to_owned()).or_default().add(method, status, time),
        }
    }

    /// Writes the counts in the text format.
    fn write(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "# HELP gam_http_requests_total Requests that were answered.\n# TYPE gam_http_requests_total counter"
        );
        for (route, counts) in &self.0 {
            for ((method, status), count) in &counts.answers {
                let labels = format!("route=\"{route}\",method=\"{method}\",status=\"{status}\"");
                let _ = writeln!(text, "gam_http_requests_total{{{labels}}} {count}");
            }
        }
        let _ = writeln!(
            text,
            "# HELP gam_http_request_seconds Time until the answer begins.\n# TYPE gam_http_request_seconds histogram"
        );
        for (route, counts) in &self.0 {
            let mut below = 0;
            for (bound, count) in BUCKETS.iter().zip(counts.buckets) {
                below += count;
                let _ = writeln!(
                    text,
                    "gam_http_request_seconds_bucket{{route=\"{route}\",le=\"{bound}\"}} {below}"
                );
            }
            let RouteCounts { count, seconds, .. } = counts;
            let _ =
                writeln!(text, "gam_http_request_seconds_bucket{{route=\"{route}\",le=\"+Inf\"}} {count}");
            let _ = writeln!(text, "gam_http_request_seconds_sum{{route=\"{route}\"}} {seconds}");
            let _ = writeln!(text, "gam_http_request_seconds_count{{route=\"{route}\"}} {count}");
        }
    }
}

impl RouteCounts {
    fn add(&mut self, method: &'static str, status: u16, time: Duration) {
        let seconds = time.as_secs_f64();
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.seconds += seconds;
        *self.answers.entry((method, status)).or_default() += 1;
    }
}

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
    let mut text = String::new();
    REQUESTS.lock().unwrap_or_else(PoisonError::into_inner).write(&mut text);
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
    let path = request.extensions().get::<MatchedPath>().cloned();
    // Anybody can invent a method, so others are counted together.
    let method = match request.method().as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    };
    let start = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let (route, time) = (path.as_ref().map_or("other", MatchedPath::as_str), start.elapsed());
    REQUESTS.lock().unwrap_or_else(PoisonError::into_inner).add(route, method, status, time);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_count_all_lower_times() {
        let mut counts = RequestCounts::default();
        for milliseconds in [4, 5, 20, 20_000] {
            counts.add("/x", "GET", 200, Duration::from_millis(milliseconds));
        }
        let mut text = String::new();
        counts.write(&mut text);
        for line in [
            "gam_http_requests_total{route=\"/x\",method=\"GET\",status=\"200\"} 4",
            "gam_http_request_seconds_bucket{route=\"/x\",le=\"0.005\"} 2",
            "gam_http_request_seconds_bucket{route=\"/x\",le=\"0.025\"} 3",
            "gam_http_request_seconds_bucket{route=\"/x\",le=\"10\"} 3",
            "gam_http_request_seconds_bucket{route=\"/x\",le=\"+Inf\"} 4",
            "gam_http_request_seconds_count{route=\"/x\"} 4",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}:\n{text}");
        }
    }

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
