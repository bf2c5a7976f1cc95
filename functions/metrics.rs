//! Metrics of the functions themselves, in CloudWatch's embedded metric format: one line of JSON per invocation.
//! See <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.

use std::io::Write;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

/// The namespace of the metrics in CloudWatch.
pub const NAMESPACE: &str = "GitHubActivityMetrics";

/// A metric of a function. The name of the variant is the name in CloudWatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FunctionMetric {
    /// Number of events written to the inbox.
    EventsCollected,
    /// Number of requests sent to GitHub.
    GitHubRequests,
    /// Number of repositories that could not be read.
    RepositoriesFailed,
    /// The remaining share of GitHub's rate limits, in percent. Of several limits, the least.
    ApiBudgetLeft,
    /// How far the organization that lags most is behind GitHub, in seconds. Not written if one is unknown.
    LagSeconds,
    /// Number of inbox batches merged into snapshots.
    BatchesMerged,
    /// Number of rollups written.
    RollupsWritten,
    /// Number of inbox batches that cannot be read.
    BatchesRejected,
    /// Number of messages sent to the dead-letter queue.
    DeadLettered,
    /// Number of webhook deliveries that were signed and taken, or ignored because nothing needs them.
    WebhooksAccepted,
    /// Number of webhook deliveries without a valid signature.
    WebhooksRefused,
    /// Number of signed webhook deliveries that could not be taken. GitHub does not send them again.
    WebhooksFailed,
    /// Number of webhook deliveries that did not arrive, by GitHub's own list.
    WebhooksMissed,
    /// Number of orders of webhooks that were carried out.
    OrdersProcessed,
    /// Number of orders of webhooks that failed too often. Reconciling repairs what they would have done.
    OrdersGivenUp,
    /// Number of cached issues that were wrong or missing when they were compared with GitHub.
    IssuesRepaired,
    /// Number of steps of actions on GitHub: choices, requests, looks for results.
    ActionSteps,
    /// Number of actions that ended as unknown. A person must resolve them.
    ActionsUnknown,
    /// Number of times that GitHub failed so often that no request is sent for a while.
    BreakersOpened,
    /// Number of rows of the audit log that were written to segments.
    AuditRowsWritten,
    /// Number of messages that channels of notifications took.
    MessagesSent,
    /// Number of channels of notifications whose circuit breaker is open.
    ChannelsBroken,
}

impl FunctionMetric {
    fn name(self) -> String {
        format!("{self:?}")
    }

    fn unit(self) -> &'static str {
        match self {
            FunctionMetric::ApiBudgetLeft => "Percent",
            FunctionMetric::LagSeconds => "Seconds",
            _ => "Count",
        }
    }
}

/// Writes the metrics of one stack to the log.
#[derive(Debug, Clone)]
pub struct MetricLog {
    stack: String,
}

impl MetricLog {
    /// Creates a log of metrics whose dimension is the name of the stack.
    pub fn new(stack: String) -> Self {
        MetricLog { stack }
    }

    /// Writes the values of metrics at `now`, UTC. Writes nothing if there are none.
    pub fn write(&self, now: DateTime<Utc>, values: &[(FunctionMetric, f64)]) {
        if !values.is_empty() {
            // If stdout is closed, there is no other place to report that.
            let _ = writeln!(std::io::stdout().lock(), "{}", self.line(now, values));
        }
    }

    fn line(&self, now: DateTime<Utc>, values: &[(FunctionMetric, f64)]) -> Value {
        let metrics: Vec<Value> = values
            .iter()
            .map(|(metric, _)| json!({ "Name": metric.name(), "Unit": metric.unit() }))
            .collect();
        let mut line = Map::from_iter(values.iter().map(|(metric, value)| (metric.name(), json!(value))));
        line.insert("Stack".to_owned(), json!(self.stack));
        let directive = json!({ "Namespace": NAMESPACE, "Dimensions": [["Stack"]], "Metrics": metrics });
        let metadata = json!({ "Timestamp": now.timestamp_millis(), "CloudWatchMetrics": [directive] });
        line.insert("_aws".to_owned(), metadata);
        Value::Object(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_every_value_with_its_unit() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let line = MetricLog::new("gam".to_owned())
            .line(now, &[(FunctionMetric::EventsCollected, 3.0), (FunctionMetric::LagSeconds, 60.5)]);
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
            FunctionMetric::EventsCollected,
            FunctionMetric::GitHubRequests,
            FunctionMetric::RepositoriesFailed,
            FunctionMetric::ApiBudgetLeft,
            FunctionMetric::LagSeconds,
            FunctionMetric::BatchesMerged,
            FunctionMetric::RollupsWritten,
            FunctionMetric::BatchesRejected,
            FunctionMetric::DeadLettered,
            FunctionMetric::WebhooksAccepted,
            FunctionMetric::WebhooksRefused,
            FunctionMetric::WebhooksFailed,
            FunctionMetric::WebhooksMissed,
            FunctionMetric::OrdersProcessed,
            FunctionMetric::OrdersGivenUp,
            FunctionMetric::IssuesRepaired,
            FunctionMetric::ActionSteps,
            FunctionMetric::ActionsUnknown,
            FunctionMetric::BreakersOpened,
            FunctionMetric::AuditRowsWritten,
            FunctionMetric::MessagesSent,
            FunctionMetric::ChannelsBroken,
        ];
        let line =
            MetricLog::new("gam".to_owned()).line(DateTime::UNIX_EPOCH, &metrics.map(|metric| (metric, 1.0)));
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("embedded_metrics", serde_json::to_string_pretty(&line).unwrap());
        });
    }
}
