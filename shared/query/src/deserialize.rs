//! Reads answers back from JSON, for clients of the API.
//!
//! A client may be older than its server: metrics that the catalogue lacks are left out. It may be newer: what an
//! older server does not say has the default.

use std::fmt;
use std::marker::PhantomData;

use gam_model::TimeZone;
use gam_model::metric::Metric;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::answers::{
    CoverageAnswer, ListAnswer, ListEntry, ListKind, MetricValue, MetricValues, StaticName,
};
use crate::comparison::{MetricChange, MetricChanges, PreviousRange};
use crate::values::{TOTAL_MEMBERS, TOTAL_REPOS};

/// Returns the name if it is in the catalogue, or is one of the totals of an organization.
fn known_metric(name: &str) -> Option<StaticName> {
    let total = [TOTAL_REPOS, TOTAL_MEMBERS].into_iter().find(|total| *total == name);
    total.or_else(|| Metric::named(name).map(|metric| metric.name))
}

/// Reads the name of a metric of the catalogue.
pub(crate) fn metric_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StaticName, D::Error> {
    let name = String::deserialize(deserializer)?;
    known_metric(&name).ok_or_else(|| D::Error::custom(format!("unknown metric {name:?}")))
}

/// Reads the names of metrics of the catalogue.
pub(crate) fn metric_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<StaticName>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    Ok(names.iter().filter_map(|name| known_metric(name)).collect())
}

/// Reads the name of a time zone.
pub(crate) fn time_zone_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StaticName, D::Error> {
    let name = String::deserialize(deserializer)?;
    let zone = TimeZone::parse(&name);
    zone.map(TimeZone::name).ok_or_else(|| D::Error::custom(format!("unknown time zone {name:?}")))
}

/// The time zone of servers that name none.
pub(crate) fn utc() -> StaticName {
    TimeZone::UTC.name()
}

/// Reads a field that is null or has a value. One that is left out is `None` by default.
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// Reads an object whose keys are metrics.
struct ByMetric<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ByMetric<T> {
    type Value = Vec<(StaticName, T)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object by metric")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            match known_metric(&name) {
                Some(name) => entries.push((name, map.next_value()?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(entries)
    }
}

impl<'de> Deserialize<'de> for MetricValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ByMetric::<MetricValue>(PhantomData)).map(MetricValues)
    }
}

impl<'de> Deserialize<'de> for MetricChanges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ByMetric::<MetricChange>(PhantomData)).map(MetricChanges)
    }
}

impl<'de> Deserialize<'de> for ListAnswer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            members: Option<Vec<ListEntry>>,
            repos: Option<Vec<ListEntry>>,
            next: Option<String>,
            #[serde(default = "utc", deserialize_with = "time_zone_name")]
            timezone: StaticName,
            #[serde(flatten)]
            coverage: CoverageAnswer,
            #[serde(default, deserialize_with = "present")]
            previous: Option<Option<PreviousRange>>,
        }
        let Fields { members, repos, next, timezone, coverage, previous } =
            Fields::deserialize(deserializer)?;
        let (kind, entries) = match (members, repos) {
            (Some(members), None) => (ListKind::Members, members),
            (None, Some(repos)) => (ListKind::Repos, repos),
            _ => return Err(D::Error::custom("expected one of members and repos")),
        };
        Ok(ListAnswer { kind, entries, next, timezone, coverage, previous, is_comparable: false })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{AgentMetricValues, Change, ExportRow, MetricsAnswer, SeriesAnswer};

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let change = json!({ "difference": 1, "relative": null });
        let mut answer = json!({
            "org": "Acme", "repo": "site", "id": 7, "since": "2026-03-01", "until": "2026-03-04",
            "timezone": "Asia/Tokyo", "bots": "auto", "complete_since": null,
            "complete_until": "2026-03-04T10:00:00Z", "gaps": [], "gap_count": 0,
            "metrics": {
                "commits": 1,
                "cycle_time_hours": { "count": 0, "mean": null, "p50": null, "p90": null },
                "total_repos": 3,
            },
            "previous": { "since": "2026-02-26", "until": "2026-03-01", "metrics": { "commits": 0 } },
            "change": { "commits": change },
        });
        let read: MetricsAnswer = serde_json::from_value(answer.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), answer);
        let changes = read.change.unwrap().unwrap();
        assert_eq!(changes.0, [("commits", MetricChange::Count(Change { difference: 1, relative: None }))]);

        answer["previous"] = json!(null);
        answer.as_object_mut().unwrap().remove("change");
        let read: MetricsAnswer = serde_json::from_value(answer).unwrap();
        assert_eq!((read.previous, read.change), (Some(None), None));
    }

    #[test]
    fn numbers_keep_their_last_digit() {
        for hours in ["101.85138888888889", "21.936944444444446"] {
            let text = format!("{{\"count\":1,\"mean\":{hours},\"p50\":{hours},\"p90\":{hours}}}");
            let read: MetricValue = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    }

    #[test]
    fn answers_of_older_and_newer_servers_are_read() {
        let series = json!({
            "org": "Acme", "since": "2026-03-01", "until": "2026-03-02", "bots": "auto", "metric": "commits",
            "granularity": "day", "future": [1],
            "points": [{ "start": "2026-03-01", "end": "2026-03-02", "value": 2 }],
        });
        let read: SeriesAnswer = serde_json::from_value(series).unwrap();
        assert_eq!(
            (read.context.timezone, read.coverage.gap_count, read.points[0].partial),
            ("UTC", 0, false)
        );
        let values: MetricValues =
            serde_json::from_value(json!({ "dreams": { "x": 1 }, "commits": 2 })).unwrap();
        assert_eq!(values.0, [("commits", MetricValue::Count(2))]);
    }

    #[test]
    fn lists_and_rows_are_read_as_they_were_written() {
        let entry = json!({ "member": "ada", "kind": "user", "metrics": { "commits": 2 } });
        let list = json!({
            "members": [entry], "next": "x", "timezone": "UTC", "complete_since": null, "complete_until": null,
            "gaps": [], "gap_count": 0,
        });
        let read: ListAnswer = serde_json::from_value(list.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), list);
        assert!(serde_json::from_value::<ListAnswer>(json!({ "next": null })).is_err());
        let row = json!({
            "level": "repo", "name": "site", "id": 7, "start": "2026-03-01", "end": "2026-03-02", "commits": 2,
        });
        let read: ExportRow = serde_json::from_value(row.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), row);
        let row = r#"{"level":"member","name":"ada","id":null,"start":"2026-03-01","end":"2026-03-02","agent_prompts":2,"agent_cost_usd":0.25,"agent_tool_error_rate":null}"#;
        let read: ExportRow<AgentMetricValues> = serde_json::from_str(row).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), row);
    }
}
