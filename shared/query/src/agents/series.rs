//! A metric of sessions, bucket by bucket, and divided by model, tool or branch.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use gam_model::{AgentCounter, AgentDimension, AgentMetric, Grain, Range};
use gam_rollup::agents::{AgentCounts, add_counts};

use super::answers::{AgentPartName, AgentPoint, AgentSeries, AgentSeriesAnswer};
use super::list::{PartNames, not_known_by};
use super::reading::{SessionReader, SubjectSessions};
use super::sums::AgentSum;
use crate::answers::{BotFilter, SubjectRef};
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::{MAX_POINTS, QueryError, QueryPorts};

/// The most parts that a divided series names. All others are one sum.
pub const MAX_AGENT_SERIES: usize = 20;

/// A request for a series.
#[derive(Debug, Clone)]
pub struct AgentSeriesRequest {
    /// The subject.
    pub subject: SubjectRef,
    /// The metric.
    pub metric: &'static AgentMetric,
    /// What to divide it by; `None` for the total.
    pub by: Option<AgentDimension>,
    /// The length of the buckets.
    pub grain: Grain,
    /// The days whose events count.
    pub range: Range,
    /// Whose work counts.
    pub bots: BotFilter,
    /// The most parts to name, 1 to [`MAX_AGENT_SERIES`]. All others are one sum.
    pub limit: usize,
}

/// Returns one metric of a subject, bucket by bucket.
///
/// # Errors
/// If the metric cannot be divided like this, there is no such subject, the series would have more than [`MAX_POINTS`]
/// points, the store fails, or a stored item cannot be read.
pub async fn agent_series(
    ports: &QueryPorts,
    org: &str,
    request: &AgentSeriesRequest,
) -> Result<AgentSeriesAnswer, QueryError> {
    check_points(request)?;
    read_org(ports, org, &AgentSeriesQuery { request }).await
}

/// Checks that the series is not too long.
pub(super) fn check_points(request: &AgentSeriesRequest) -> Result<(), QueryError> {
    let parts = if request.by.is_some() { request.limit.clamp(1, MAX_AGENT_SERIES) as u64 + 1 } else { 1 };
    let points = request.range.bucket_count(request.grain).saturating_mul(parts);
    if points > MAX_POINTS {
        return Err(QueryError::Invalid(format!(
            "the series would have up to {points} points, but the limit is {MAX_POINTS}: use a shorter range or a \
             coarser granularity"
        )));
    }
    Ok(())
}

struct AgentSeriesQuery<'a> {
    request: &'a AgentSeriesRequest,
}

impl OrgQuery for AgentSeriesQuery<'_> {
    type Answer = AgentSeriesAnswer;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<AgentSeriesAnswer, QueryError> {
        let AgentSeriesRequest { subject, range, .. } = self.request;
        check(self.request)?;
        let sessions = SessionReader::open(org).await?.read_subject(subject, *range).await?;
        series_of(org, &sessions, self.request).await
    }
}

/// Checks that the metric can be divided like this.
fn check(request: &AgentSeriesRequest) -> Result<(), QueryError> {
    match request.by {
        Some(dimension) if !request.metric.dimensions.contains(&dimension) => {
            Err(not_known_by(request.metric, dimension))
        }
        _ => Ok(()),
    }
}

/// Returns the series of a subject whose days were read.
pub(super) async fn series_of(
    org: &OrgReader<'_>,
    sessions: &SubjectSessions,
    request: &AgentSeriesRequest,
) -> Result<AgentSeriesAnswer, QueryError> {
    let maker = SeriesMaker { sessions, request };
    let (points, series) = match request.by {
        None => (Some(maker.totals()), None),
        Some(dimension) => {
            let names = PartNames::read(org, dimension).await?;
            (None, Some(maker.divided(dimension, &names)))
        }
    };
    Ok(AgentSeriesAnswer {
        context: org.context(sessions.resolved.clone(), request.range, request.bots),
        metric: request.metric.name.to_owned(),
        granularity: request.grain,
        points,
        by: request.by.map(|dimension| dimension.as_str().to_owned()),
        series,
    })
}

/// Sums by the first day of their bucket.
type Buckets<T> = BTreeMap<NaiveDate, T>;

/// Adds counters to those of a bucket.
fn add_to(buckets: &mut Buckets<AgentCounts>, start: NaiveDate, counts: &AgentCounts) {
    add_counts(buckets.entry(start).or_insert([0; AgentCounter::COUNT]), counts);
}

struct SeriesMaker<'a> {
    sessions: &'a SubjectSessions,
    request: &'a AgentSeriesRequest,
}

impl SeriesMaker<'_> {
    fn bucket(&self, date: NaiveDate) -> NaiveDate {
        self.request.grain.bucket(date).start()
    }

    fn totals(&self) -> Vec<AgentPoint> {
        let kind = self.sessions.kind();
        let mut buckets: Buckets<AgentSum> = Buckets::new();
        for (date, item, sides) in self.sessions.days(self.request.range) {
            let sum = buckets.entry(self.bucket(date)).or_default();
            sum.add(sides, &item.members, kind, self.request.bots);
        }
        self.points(&buckets)
    }

    /// Returns the series of the parts with the greatest sums, and the sum of all others.
    fn divided(&self, dimension: AgentDimension, names: &PartNames) -> Vec<AgentSeries> {
        let AgentSeriesRequest { range, bots, limit, metric, .. } = *self.request;
        let mut parts: BTreeMap<&str, Buckets<AgentCounts>> = BTreeMap::new();
        for (date, name, counts) in self.sessions.parts(range, bots, dimension) {
            add_to(parts.entry(name).or_default(), self.bucket(date), counts);
        }
        let total = |buckets: &Buckets<AgentCounts>| {
            let mut total = [0; AgentCounter::COUNT];
            buckets.values().for_each(|counts| add_counts(&mut total, counts));
            AgentSum::of_counts(total).value(metric, self.sessions.kind()).number().unwrap_or_default()
        };
        let mut ranked: Vec<_> =
            parts.into_iter().map(|(name, buckets)| (total(&buckets), name, buckets)).collect();
        ranked.sort_by(|(a, a_name, _), (b, b_name, _)| b.total_cmp(a).then_with(|| a_name.cmp(b_name)));
        let others = ranked.split_off(ranked.len().min(limit.clamp(1, MAX_AGENT_SERIES)));
        let series = |name: AgentPartName, buckets: Buckets<AgentCounts>| {
            let buckets = buckets.into_iter().map(|(start, counts)| (start, AgentSum::of_counts(counts)));
            AgentSeries { name, points: self.points(&buckets.collect()) }
        };
        let mut divided: Vec<AgentSeries> =
            ranked.into_iter().map(|(_, name, buckets)| series(names.name(name), buckets)).collect();
        if !others.is_empty() {
            let mut sum = Buckets::new();
            for (start, counts) in others.into_iter().flat_map(|(.., buckets)| buckets) {
                add_to(&mut sum, start, &counts);
            }
            divided.push(series(AgentPartName::default(), sum));
        }
        divided
    }

    fn points(&self, buckets: &Buckets<AgentSum<'_>>) -> Vec<AgentPoint> {
        let &AgentSeriesRequest { range, grain, metric, .. } = self.request;
        let empty = AgentSum::default();
        let points = range.buckets(grain).map(|bucket| AgentPoint {
            start: bucket.start(),
            end: bucket.end(),
            value: buckets.get(&bucket.start()).unwrap_or(&empty).value(metric, self.sessions.kind()),
            partial: bucket.start() < range.since() || range.until() < bucket.end(),
        });
        points.collect()
    }
}
