//! The answers, in the shape in which the API serializes them.

use chrono::{DateTime, NaiveDate, Utc};
use gam_model::{Grain, MemberKind};
use gam_store::Gap;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::comparison::{MetricChanges, PreviousMetrics, PreviousRange, PreviousValues};
use crate::deserialize::{metric_name, present, time_zone_name, utc};

/// A name from a fixed list: of a metric, or of a time zone.
pub type StaticName = &'static str;

/// Whose work counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BotFilter {
    /// People's work counts, and everybody's releases and deployments, since a workflow makes them more often
    /// than a person. Lists and numbers of members contain people only.
    #[default]
    Auto,
    /// Only people's work counts.
    Exclude,
    /// Everybody's work counts.
    Include,
    /// Only bots' work counts.
    Only,
}

impl BotFilter {
    /// All filters.
    pub const ALL: [BotFilter; 4] =
        [BotFilter::Auto, BotFilter::Exclude, BotFilter::Include, BotFilter::Only];

    /// Returns the text that stands for the filter in queries and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            BotFilter::Auto => "auto",
            BotFilter::Exclude => "exclude",
            BotFilter::Include => "include",
            BotFilter::Only => "only",
        }
    }
}

/// The subject of a query, by name. Names are matched without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectRef {
    /// The organization itself.
    Org,
    /// The repository of this name, without the owner.
    Repo {
        /// The name.
        name: String,
        /// GitHub's id of the repository. Distinguishes repositories that had one name; `None` for the latest.
        id: Option<i64>,
    },
    /// The member of this name: a login, or an alias.
    Member(String),
}

impl SubjectRef {
    /// Returns the latest repository of this name.
    pub fn repo(name: impl Into<String>) -> Self {
        SubjectRef::Repo { name: name.into(), id: None }
    }
}

/// The value of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MetricValue {
    /// A count.
    Count(u64),
    /// A distribution of durations, in hours.
    Distribution {
        /// Number of durations.
        count: u64,
        /// The arithmetic mean. `None` if there are no durations.
        mean: Option<f64>,
        /// The median by nearest rank: of at most 64 durations exact, else within 1 %. `None` if there are
        /// no durations.
        p50: Option<f64>,
        /// The 90th percentile by nearest rank: of at most 64 durations exact, else within 1 %. `None` if
        /// there are no durations.
        p90: Option<f64>,
    },
}

/// The values of all metrics by name, in the catalogue's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricValues(pub Vec<(&'static str, MetricValue)>);

impl MetricValues {
    /// Returns the value of the metric; `None` if it is not among these.
    pub fn get(&self, metric: &str) -> Option<MetricValue> {
        self.0.iter().find(|(name, _)| *name == metric).map(|(_, value)| *value)
    }

    /// Returns the value of a count, and the number of durations of a distribution; 0 if the metric is not among
    /// these.
    pub fn count(&self, metric: &str) -> u64 {
        match self.get(metric) {
            Some(MetricValue::Count(count) | MetricValue::Distribution { count, .. }) => count,
            None => 0,
        }
    }
}

impl Serialize for MetricValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// From when until when the data of an answer is complete, and what is missing in between. It describes the
/// collection: two collections that read the same facts may differ here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CoverageAnswer {
    /// Data is complete from this time on, UTC. Earlier numbers are partial. `None` if this or
    /// `complete_until` is not known.
    pub complete_since: Option<DateTime<Utc>>,
    /// Data is complete until this time, UTC, for every repository in scope. `None` if one of them was
    /// never read completely.
    pub complete_until: Option<DateTime<Utc>>,
    /// The collection starts at this time, UTC, whether or not everything from it on has been read already. `None` if
    /// that is not known. Not part of the API's answers.
    #[serde(skip)]
    pub read_since: Option<DateTime<Utc>>,
    /// What could not be read, [`MAX_LISTED_GAPS`](gam_store::gaps::MAX_LISTED_GAPS) gaps at most.
    pub gaps: Vec<Gap>,
    /// Number of all gaps.
    pub gap_count: u64,
}

/// What an answer is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerContext {
    /// The organization's login as GitHub writes it.
    pub org: String,
    /// The repository's name as GitHub writes it. `None` if the subject is no repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// GitHub's id of the repository. `None` if the subject is no repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// The member's name. `None` if the subject is no member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The first day, in the organization's time zone.
    pub since: NaiveDate,
    /// The day after the last, in the organization's time zone.
    pub until: NaiveDate,
    /// The name of the organization's time zone, which decides where days begin.
    #[serde(default = "utc", deserialize_with = "time_zone_name")]
    pub timezone: StaticName,
    /// Whose work counts.
    #[serde(default)]
    pub bots: BotFilter,
}

/// A subject's metrics over a range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsAnswer {
    /// The subject, the range, and whose work counts.
    #[serde(flatten)]
    pub context: AnswerContext,
    /// From when until when the numbers are complete.
    #[serde(flatten)]
    pub coverage: CoverageAnswer,
    /// The values. For an organization, they include `total_repos` and `total_members`.
    pub metrics: MetricValues,
    /// The same number of days before the range. `None` if no comparison was requested; `Some(None)` if those days
    /// begin before the [first day](gam_model::period::FIRST_DAY).
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub previous: Option<Option<PreviousMetrics>>,
    /// The change of each metric since `previous`, without the totals. `None` and `Some(None)` as in `previous`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub change: Option<Option<MetricChanges>>,
}

/// A point of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesPoint {
    /// The first day of the bucket, in the organization's time zone.
    pub start: NaiveDate,
    /// The day after the last of the bucket, in the organization's time zone.
    pub end: NaiveDate,
    /// The value of the days that are both in the bucket and in the range.
    pub value: MetricValue,
    /// Whether the range cuts the bucket, so that `value` counts only a part of it. Left out if it does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// One metric of a subject, bucket by bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesAnswer {
    /// The subject, the range, and whose work counts.
    #[serde(flatten)]
    pub context: AnswerContext,
    /// The metric's name in the catalogue.
    #[serde(deserialize_with = "metric_name")]
    pub metric: StaticName,
    /// The length of the buckets.
    pub granularity: Grain,
    /// From when until when the numbers are complete.
    #[serde(flatten)]
    pub coverage: CoverageAnswer,
    /// One point for every bucket that overlaps the range, in order.
    pub points: Vec<SeriesPoint>,
}

/// What the entries of a listing are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// Members.
    Members,
    /// Repositories.
    Repos,
}

impl ListKind {
    /// Returns the last segment of a listing's path, which is also the name of its entries in an answer.
    pub fn as_str(self) -> &'static str {
        match self {
            ListKind::Members => "members",
            ListKind::Repos => "repos",
        }
    }
}

/// The direction in which a listing is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SortDirection {
    /// Smallest first.
    Asc,
    /// Greatest first.
    #[default]
    Desc,
}

impl SortDirection {
    /// Returns the value of `order`.
    pub fn as_str(self) -> &'static str {
        match self {
            SortDirection::Asc => "asc",
            SortDirection::Desc => "desc",
        }
    }
}

/// An entry of a listing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ListEntry {
    /// The repository's name as GitHub writes it. `None` in a listing of members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// GitHub's id of the repository, which distinguishes two of one name. `None` in a listing of members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// The member's name. `None` in a listing of repositories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The kind of account behind the member: user, bot, unlinked or ghost. `None` in a listing of
    /// repositories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<MemberKind>,
    /// The values in the range.
    pub metrics: MetricValues,
    /// The values in the same number of days before the range. `None` if there is no comparison.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousValues>,
    /// The change of each metric since `previous`. `None` if there is no comparison.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<MetricChanges>,
}

/// A page of a listing. It serializes its entries as `members` or `repos`.
#[derive(Debug, Clone, PartialEq)]
pub struct ListAnswer {
    /// Whether the entries are members or repositories.
    pub kind: ListKind,
    /// The entries of this page, sorted.
    pub entries: Vec<ListEntry>,
    /// The cursor of the next page. `None` on the last page.
    pub next: Option<String>,
    /// The name of the organization's time zone, which decides where days begin.
    pub timezone: StaticName,
    /// From when until when the numbers are complete.
    pub coverage: CoverageAnswer,
    /// The range that the entries are compared with. `None` if no comparison was requested; `Some(None)` if it would
    /// begin before the [first day](gam_model::period::FIRST_DAY), so that the entries have no comparison.
    pub previous: Option<Option<PreviousRange>>,
    /// Whether the days of the range before were collected. Not part of the API's answers.
    pub is_comparable: bool,
}

impl Serialize for ListAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(7 + usize::from(self.previous.is_some())))?;
        map.serialize_entry(self.kind.as_str(), &self.entries)?;
        map.serialize_entry("next", &self.next)?;
        map.serialize_entry("timezone", self.timezone)?;
        let CoverageAnswer { complete_since, complete_until, gaps, gap_count, .. } = &self.coverage;
        map.serialize_entry("complete_since", complete_since)?;
        map.serialize_entry("complete_until", complete_until)?;
        map.serialize_entry("gaps", gaps)?;
        map.serialize_entry("gap_count", gap_count)?;
        if let Some(previous) = &self.previous {
            map.serialize_entry("previous", previous)?;
        }
        map.end()
    }
}

/// An overview of an organization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrgSummary {
    /// The organization's login as GitHub writes it.
    pub org: String,
    /// Number of repositories with at least one credited event. `None` while the numbers are computed for the first
    /// time or in a new store.
    pub repos: Option<u64>,
    /// Number of members ever credited with an event, without bots. `None` if `repos` is.
    pub members: Option<u64>,
    /// The time of the first event that counts, UTC; `None` if all are after today.
    pub first_event: Option<DateTime<Utc>>,
    /// The time of the last event that counts, UTC, up to the end of today: a commit can be dated in the
    /// future.
    pub last_event: Option<DateTime<Utc>>,
}

/// Every organization that was ever collected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrgsAnswer {
    /// The organizations in order of their names.
    pub orgs: Vec<OrgSummary>,
}
