//! The answers, in the shape in which the API serializes them.

use chrono::{DateTime, NaiveDate, Utc};
use gam_model::{Grain, MemberKind};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

/// Which members' work counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BotFilter {
    /// People's only.
    #[default]
    Exclude,
    /// People's and bots'.
    Include,
    /// Bots' only.
    Only,
}

/// Whom a question is about, as it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectRef {
    /// The organization.
    Org,
    /// A repository, by name.
    Repo(String),
    /// A member, by name.
    Member(String),
}

/// The value of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A count.
    Count(u64),
    /// A distribution, in hours.
    Distribution {
        /// How many values there are.
        count: u64,
        /// Their arithmetic mean; null where there are none.
        mean: Option<f64>,
        /// Their median by nearest rank, within 1 %; null where there are none.
        p50: Option<f64>,
        /// Their 90th percentile by nearest rank, within 1 %; null where there are none.
        p90: Option<f64>,
    },
}

/// The values of all metrics, in the catalogue's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricValues(pub Vec<(&'static str, Value)>);

impl Serialize for MetricValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A subject's metrics over a range.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricsAnswer {
    /// The organization, as GitHub spells it.
    pub org: String,
    /// The repository, where the question was about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// The member, where the question was about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The first day.
    pub since: NaiveDate,
    /// The day after the last.
    pub until: NaiveDate,
    /// Which members' work counts.
    pub bots: BotFilter,
    /// From when on GitHub has been read, as far as `complete_until` is known: what is earlier is not whole.
    pub complete_since: Option<DateTime<Utc>>,
    /// Up to when GitHub has been read for every repository in question.
    pub complete_until: Option<DateTime<Utc>>,
    /// The values; an organization's also hold `total_repos` and `total_members`.
    pub metrics: MetricValues,
}

/// A point of a time series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// The bucket's first day.
    pub start: NaiveDate,
    /// The day after the bucket's last.
    pub end: NaiveDate,
    /// The value of what lies in both the bucket and the range.
    pub value: Value,
}

/// A subject's metric, bucket by bucket.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeriesAnswer {
    /// The organization, as GitHub spells it.
    pub org: String,
    /// The repository, where the question was about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// The member, where the question was about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The metric's name in the catalogue.
    pub metric: &'static str,
    /// The buckets' length.
    pub granularity: Grain,
    /// One point for every bucket that meets the range, in order.
    pub points: Vec<Point>,
}

/// What a listing lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// Members.
    Members,
    /// Repositories.
    Repos,
}

/// In which direction a listing is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Smallest first.
    Asc,
    /// Greatest first.
    #[default]
    Desc,
}

/// An entry of a listing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListEntry {
    /// The repository, in a listing of repositories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// The member, in a listing of members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// What sort of actor the member is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<MemberKind>,
    /// The values.
    pub metrics: MetricValues,
}

/// A page of a listing. It serializes under the name of what it lists.
#[derive(Debug, Clone, PartialEq)]
pub struct ListAnswer {
    /// What is listed.
    pub kind: ListKind,
    /// The page's entries.
    pub entries: Vec<ListEntry>,
    /// The next page's cursor, if there is one.
    pub next: Option<String>,
}

impl Serialize for ListAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        let name = match self.kind {
            ListKind::Members => "members",
            ListKind::Repos => "repos",
        };
        map.serialize_entry(name, &self.entries)?;
        map.serialize_entry("next", &self.next)?;
        map.end()
    }
}

/// An organization in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrgSummary {
    /// The organization, as GitHub spells it.
    pub org: String,
    /// Repositories ever credited with anything.
    pub repos: u64,
    /// Members ever credited with anything, bots left out.
    pub members: u64,
    /// The time of the first event counted, UTC.
    pub first_event: Option<DateTime<Utc>>,
    /// The time of the last event counted, UTC.
    pub last_event: Option<DateTime<Utc>>,
}

/// Every organization that was ever collected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrgsAnswer {
    /// In order of their names.
    pub orgs: Vec<OrgSummary>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// It is about somebody or something never seen.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be answered as it was asked; the text names the input, why, and the mend.
    #[error("{0}")]
    Invalid(String),
    /// The store failed.
    #[error("the store could not be read")]
    Store(#[from] gam_store::Error),
    /// A stored rollup cannot be read.
    #[error("the rollup {key} cannot be read: run `github-metrics aggregate --rebuild`")]
    Unreadable {
        /// Which one.
        key: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}
