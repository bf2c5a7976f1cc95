//! Numbers about the functions themselves, as CloudWatch's embedded metric format: one line of JSON a
//! call. See <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.

use std::io::Write;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

/// Where the metrics are found in CloudWatch.
pub const NAMESPACE: &str = "GitHubActivityMetrics";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Events written to the inbox.
    EventsCollected,
    /// Requests sent to GitHub.
    GitHubRequests,
    /// Repositories that could not be read.
    RepositoriesFailed,
    /// The share of GitHub's limits that is left, of that of which less is left, in percent.
    ApiBudgetLeft,
    /// How far the organization that lags most is behind now, in seconds; not told where one is not known.
    LagSeconds,
    /// Inbox batches merged into snapshots.
    BatchesMerged,
    /// Rollups written.
    RollupsWritten,
    /// Inbox batches that cannot be read.
    BatchesRejected,
    /// Messages set aside.
    DeadLettered,
}

impl Metric {
    fn name(self) -> String {
        format!("{self:?}")
    }

    fn unit(self) -> &'static str {
        match self {
            Metric::ApiBudgetLeft => "Percent",
            Metric::LagSeconds => "Seconds",
            _ => "Count",
        }
    }
}

/// The metrics of one stack.
#[derive(Debug, Clone)]
pub struct Metrics {
    stack: String,
}

impl Metrics {
    /// Metrics under the stack's name.
    pub fn new(stack: String) -> Self {
        Metrics { stack }
    }

    /// Tells the values as of now, UTC.
    pub fn tell(&self, now: DateTime<Utc>, values: &[(Metric, f64)]) {
        if !values.is_empty() {
            // Where stdout is gone nobody listens, and nothing else can be done.
            let _ = writeln!(std::io::stdout().lock(), "{}", self.line(now, values));
        }
    }

    fn line(&self, now: DateTime<Utc>, values: &[(Metric, f64)]) -> Value {
        let metrics: Vec<Value> = values
            .iter()
            .map(|(metric, _)| json!({ "Name": metric.name(), "Unit": metric.unit() }))
            .collect();
        let mut line = Map::from_iter(values.iter().map(|(metric, value)| (metric.name(), json!(value))));
        line.insert("Stack".to_owned(), json!(self.stack));
        let directive = json!({ "Namespace": NAMESPACE, "Dimensions": [["Stack"]], "Metrics": metrics });
        let about = json!({ "Timestamp": now.timestamp_millis(), "CloudWatchMetrics": [directive] });
        line.insert("_aws".to_owned(), about);
        Value::Object(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_every_value_with_its_unit() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let line = Metrics::new("gam".to_owned())
            .line(now, &[(Metric::EventsCollected, 3.0), (Metric::LagSeconds, 60.5)]);
        assert_eq!(
            line,
            json!({
                "_aws": {
                    "Timestamp": 1_700_000_000_000_i64,
                    "CloudWatchMetrics": [{
                        "Namespace": "GitHubActivityMetrics",
                        "Dimensions": [["Stack"]],
                        "Metrics": [
                            { "Name": "EventsCollected", "Unit": "Count" },
                            { "Name": "LagSeconds", "Unit": "Seconds" },
                        ],
                    }],
                },
                "Stack": "gam",
                "EventsCollected": 3.0,
                "LagSeconds": 60.5,
            })
        );
    }

    /// Alarms and dashboards find the metrics by these names.
    #[test]
    fn names_and_units_never_change() {
        let metrics = [
            Metric::EventsCollected,
            Metric::GitHubRequests,
            Metric::RepositoriesFailed,
            Metric::ApiBudgetLeft,
            Metric::LagSeconds,
            Metric::BatchesMerged,
            Metric::RollupsWritten,
            Metric::BatchesRejected,
            Metric::DeadLettered,
        ];
        let line =
            Metrics::new("gam".to_owned()).line(DateTime::UNIX_EPOCH, &metrics.map(|metric| (metric, 1.0)));
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("embedded_metrics", serde_json::to_string_pretty(&line).unwrap());
        });
    }
}
