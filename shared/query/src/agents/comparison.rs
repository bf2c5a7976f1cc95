//! The comparison of metrics of sessions with those of the range before.

use serde::{Deserialize, Serialize};

use super::answers::{AgentMetricValue, AgentMetricValues, ByMetricName};
use crate::comparison::{Change, PreviousRange, count_change, number_change};

/// The values of metrics of sessions in the range before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreviousAgentValues {
    /// The values.
    pub metrics: AgentMetricValues,
}

/// The range before, with the values of metrics of sessions in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreviousAgentMetrics {
    /// The range.
    #[serde(flatten)]
    pub range: PreviousRange,
    /// The values.
    #[serde(flatten)]
    pub values: PreviousAgentValues,
}

/// How the value of a metric of sessions has changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AgentMetricChange {
    /// The change of a count.
    Count(Change<i64>),
    /// The change of hours, dollars or a ratio. The difference is `None` if one of the values is missing.
    Number(Change<Option<f64>>),
    /// The change of each number of a distribution, in hours except for `count`. A difference is `None` if one of the
    /// distributions is empty.
    Distribution {
        /// The change of the number of durations.
        count: Change<i64>,
        /// The change of the mean.
        mean: Change<Option<f64>>,
        /// The change of the median.
        p50: Change<Option<f64>>,
        /// The change of the 90th percentile.
        p90: Change<Option<f64>>,
    },
}

/// The changes of metrics by name, in the catalogue's order.
pub type AgentMetricChanges = ByMetricName<AgentMetricChange>;

impl AgentMetricChanges {
    /// Returns the change of each metric that both have.
    pub(crate) fn between(current: &AgentMetricValues, previous: &AgentMetricValues) -> Self {
        let change = |(name, current): &(String, AgentMetricValue)| {
            Some((name.clone(), AgentMetricChange::between(*current, previous.get(name)?)?))
        };
        ByMetricName(current.0.iter().filter_map(change).collect())
    }
}

impl AgentMetricChange {
    fn between(current: AgentMetricValue, previous: AgentMetricValue) -> Option<Self> {
        use AgentMetricValue::{Count, Distribution, Number};
        match (current, previous) {
            (Count(current), Count(previous)) => {
                Some(AgentMetricChange::Count(count_change(current, previous)))
            }
            (Number(current), Number(previous)) => {
                Some(AgentMetricChange::Number(number_change(current, previous)))
            }
            (
                Distribution { count, mean, p50, p90 },
                Distribution { count: count_before, mean: mean_before, p50: p50_before, p90: p90_before },
            ) => Some(AgentMetricChange::Distribution {
                count: count_change(count, count_before),
                mean: number_change(mean, mean_before),
                p50: number_change(p50, p50_before),
                p90: number_change(p90, p90_before),
            }),
            _ => None,
        }
    }
}
