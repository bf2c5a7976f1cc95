//! The answers about sessions, in the shape in which the API serializes them.

use std::fmt;
use std::marker::PhantomData;

use chrono::NaiveDate;
use gam_model::{Grain, MemberKind};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::comparison::{AgentMetricChanges, PreviousAgentMetrics, PreviousAgentValues};
use crate::answers::{AnswerContext, MetricValue};
use crate::comparison::PreviousRange;
use crate::deserialize::present;

/// The value of a metric of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AgentMetricValue {
    /// A count.
    Count(u64),
    /// Hours, dollars, or a ratio from 0 to 1. `None` for a ratio without a denominator, and for dollars if there are
    /// tokens and none of them has a price.
    Number(Option<f64>),
    /// A distribution of durations, in hours.
    Distribution {
        /// Number of durations.
        count: u64,
        /// The arithmetic mean. `None` if there are no durations.
        mean: Option<f64>,
        /// The median by nearest rank. `None` if there are no durations.
        p50: Option<f64>,
        /// The 90th percentile by nearest rank. `None` if there are no durations.
        p90: Option<f64>,
    },
}

impl AgentMetricValue {
    /// Returns the value as a number; of a distribution the median. `None` if there is none.
    pub fn number(self) -> Option<f64> {
        match self {
            AgentMetricValue::Count(count) => Some(count as f64),
            AgentMetricValue::Number(number) => number,
            AgentMetricValue::Distribution { p50, .. } => p50,
        }
    }
}

impl From<MetricValue> for AgentMetricValue {
    fn from(value: MetricValue) -> Self {
        match value {
            MetricValue::Count(count) => AgentMetricValue::Count(count),
            MetricValue::Distribution { count, mean, p50, p90 } => {
                AgentMetricValue::Distribution { count, mean, p50, p90 }
            }
        }
    }
}

/// Something of each metric by name, in the catalogue's order.
#[derive(Debug, Clone, PartialEq)]
pub struct ByMetricName<T>(pub Vec<(String, T)>);

/// The values of metrics by name, in the catalogue's order.
pub type AgentMetricValues = ByMetricName<AgentMetricValue>;

impl<T: Copy> ByMetricName<T> {
    /// Returns what belongs to the metric; `None` if it is not among these.
    pub fn get(&self, metric: &str) -> Option<T> {
        self.0.iter().find(|(name, _)| name == metric).map(|(_, value)| *value)
    }
}

impl AgentMetricValues {
    /// Returns the number of the metric; `None` if it is not among these or has no value.
    pub fn number(&self, metric: &str) -> Option<f64> {
        self.get(metric)?.number()
    }
}

impl<T: Serialize> Serialize for ByMetricName<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByMetricName<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = ByMetricName<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of metrics")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(ByMetricName(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// How much is known: sessions are known only of people who ingest their logs. The numbers do not depend on `bots`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentCoverage {
    /// Number of people who did something on GitHub in the range.
    pub active_members: u64,
    /// Number of those with a session in the range. Of the others, no session is known.
    pub active_members_with_sessions: u64,
}

/// The metrics of sessions of a subject over a range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentMetricsAnswer {
    /// The subject, the range, and whose work counts.
    #[serde(flatten)]
    pub context: AnswerContext,
    /// How much is known. `None` for a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<AgentCoverage>,
    /// The first day, UTC, whose sessions are kept: those before it were deleted. `None` if sessions are kept for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_since: Option<NaiveDate>,
    /// The models whose tokens have no price, in order.
    pub unpriced_models: Vec<String>,
    /// The values.
    pub metrics: AgentMetricValues,
    /// The same number of days before the range. `None` if no comparison was requested; `Some(None)` if those days
    /// begin before the [first day](gam_model::period::FIRST_DAY).
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub previous: Option<Option<PreviousAgentMetrics>>,
    /// The change of each metric since `previous`. `None` and `Some(None)` as in `previous`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub change: Option<Option<AgentMetricChanges>>,
}

/// A model, a tool, a branch, a repository or a member. Only the fields of its kind are there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentPartName {
    /// The model, as logs name it; empty if they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The branch, or `~` and the first 12 hex digits of the SHA-256 of its name; empty outside of a branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The repository, also of a branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// GitHub's id of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// The member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The kind of account behind the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MemberKind>,
}

impl AgentPartName {
    /// Returns the name for people.
    pub fn label(&self) -> String {
        match (&self.model, &self.tool, &self.branch, &self.repo, &self.member) {
            (Some(name), ..) | (_, Some(name), ..) | (.., Some(name)) => name.clone(),
            (_, _, Some(branch), Some(repo), _) => format!("{repo}:{branch}"),
            (_, _, Some(name), None, _) | (_, _, None, Some(name), _) => name.clone(),
            (None, None, None, None, None) => String::new(),
        }
    }
}

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentListEntry {
    /// What the entry is.
    #[serde(flatten)]
    pub name: AgentPartName,
    /// The values in the range: of those metrics that can be divided like this.
    pub metrics: AgentMetricValues,
    /// The values in the same number of days before the range. `None` if there is no comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousAgentValues>,
    /// The change of each metric since `previous`. `None` if there is no comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<AgentMetricChanges>,
}

/// The models, tools, branches, repositories or members of a subject, with what was done with or by each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentListAnswer {
    /// The subject, the range, and whose work counts.
    #[serde(flatten)]
    pub context: AnswerContext,
    /// What the entries are: `model`, `tool`, `branch`, `repo` or `member`.
    pub by: String,
    /// The metric that sorts the entries.
    pub sort: String,
    /// The entries, sorted, up to the limit.
    pub entries: Vec<AgentListEntry>,
    /// Number of all entries, also of those beyond the limit.
    pub count: u64,
    /// The range that the entries are compared with. `None` if no comparison was requested; `Some(None)` if it would
    /// begin before the [first day](gam_model::period::FIRST_DAY), so that the entries have no comparison.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub previous: Option<Option<PreviousRange>>,
}

/// A point of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentPoint {
    /// The first day of the bucket, in the organization's time zone.
    pub start: NaiveDate,
    /// The day after the last of the bucket, in the organization's time zone.
    pub end: NaiveDate,
    /// The value of the days that are both in the bucket and in the range.
    pub value: AgentMetricValue,
    /// Whether the range cuts the bucket, so that `value` counts only a part of it. Left out if it does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// The series of one model, tool or branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentSeries {
    /// What it is. All fields are missing for the sum of all others.
    #[serde(flatten)]
    pub name: AgentPartName,
    /// One point for every bucket that overlaps the range, in order.
    pub points: Vec<AgentPoint>,
}

/// One metric of a subject, bucket by bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentSeriesAnswer {
    /// The subject, the range, and whose work counts.
    #[serde(flatten)]
    pub context: AnswerContext,
    /// The metric's name in the catalogue.
    pub metric: String,
    /// The length of the buckets.
    pub granularity: Grain,
    /// One point for every bucket that overlaps the range, in order. `None` if the series is divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<Vec<AgentPoint>>,
    /// What the series is divided by: `model`, `tool` or `branch`. `None` if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The series of the greatest parts, the greatest one first, and last the sum of all others if there are any.
    /// `None` if the series is not divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Vec<AgentSeries>>,
}
