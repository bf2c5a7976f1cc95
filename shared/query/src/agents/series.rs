//! A metric of sessions, bucket by bucket, and divided by model, tool or branch.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use gam_model::{AgentCounter, AgentDimension, AgentMetric, Grain, Range, SubjectKind};
use gam_rollup::agents::{AgentCounts, add_counts};

use super::answers::{AgentPartName, AgentPoint, AgentSeries, AgentSeriesAnswer};
use super::list::{PartNames, not_known_by};
use super::reading::{MonthOfSessions, SessionReader};
use super::sums::AgentSum;
use crate::answers::{BotFilter, SubjectRef};
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::values::counts_in_subject;
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
    let parts = if request.by.is_some() { request.limit.clamp(1, MAX_AGENT_SERIES) as u64 + 1 } else { 1 };
    let points = request.range.bucket_count(request.grain).saturating_mul(parts);
    if points > MAX_POINTS {
        return Err(QueryError::Invalid(format!(
            "the series would have up to {points} points, but the limit is {MAX_POINTS}: use a shorter range or a \
             coarser granularity"
        )));
    }
    read_org(ports, org, &AgentSeriesQuery { request }).await
}

struct AgentSeriesQuery<'a> {
    request: &'a AgentSeriesRequest,
}

impl OrgQuery for AgentSeriesQuery<'_> {
    type Answer = AgentSeriesAnswer;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<AgentSeriesAnswer, QueryError> {
        let request = self.request;
        if let Some(dimension) = request.by
            && !request.metric.dimensions.contains(&dimension)
        {
            return Err(not_known_by(request.metric, dimension));
        }
        let mut resolved = org.resolve_subject(&request.subject).await?;
        let sessions = SessionReader::open(org).await?;
        let days = sessions.read_days(&resolved.subject, request.range).await?;
        sessions.set_display_name(&mut resolved, &days, request.range).await?;
        let kind = resolved.subject.kind();
        let (points, series) = match request.by {
            None => (Some(self.points(&self.totals(&days, kind), kind)), None),
            Some(dimension) => {
                let names = PartNames::read(org, dimension).await?;
                (None, Some(self.divided(&days, kind, dimension, &names)))
            }
        };
        Ok(AgentSeriesAnswer {
            context: org.context(resolved, request.range, request.bots),
            metric: request.metric.name.to_owned(),
            granularity: request.grain,
            points,
            by: request.by.map(|dimension| dimension.as_str().to_owned()),
            series,
        })
    }
}

/// Sums by the first day of their bucket.
type Buckets = BTreeMap<NaiveDate, AgentSum>;

impl AgentSeriesQuery<'_> {
    fn bucket(&self, date: NaiveDate) -> NaiveDate {
        self.request.grain.bucket(date).start()
    }

    fn totals(&self, days: &[MonthOfSessions], kind: SubjectKind) -> Buckets {
        let mut buckets = Buckets::new();
        for month in days {
            for (date, sides) in month.days(self.request.range) {
                let sum = buckets.entry(self.bucket(date)).or_default();
                sum.add(sides, &month.item.members, kind, self.request.bots);
            }
        }
        buckets
    }

    /// Returns the series of the parts with the greatest sums, and the sum of all others.
    fn divided(
        &self,
        days: &[MonthOfSessions],
        kind: SubjectKind,
        dimension: AgentDimension,
        names: &PartNames,
    ) -> Vec<AgentSeries> {
        let mut parts: BTreeMap<&str, BTreeMap<NaiveDate, AgentCounts>> = BTreeMap::new();
        for month in days {
            for (date, sides) in month.days(self.request.range) {
                let counted =
                    sides.iter().filter(|(side, _)| counts_in_subject(kind, self.request.bots, *side));
                for (index, counts) in counted.flat_map(|(_, side)| &side.parts[dimension as usize]) {
                    let name = &month.item.names[dimension as usize][*index as usize];
                    let buckets = parts.entry(name).or_default();
                    add_counts(buckets.entry(self.bucket(date)).or_insert([0; AgentCounter::COUNT]), counts);
                }
            }
        }
        let mut ranked: Vec<_> = parts
            .into_iter()
            .map(|(name, buckets)| {
                let mut total = [0; AgentCounter::COUNT];
                buckets.values().for_each(|counts| add_counts(&mut total, counts));
                (AgentSum::of_counts(total).value(self.request.metric, kind).number(), name, buckets)
            })
            .collect();
        ranked.sort_by(|(a, a_name, _), (b, b_name, _)| {
            b.unwrap_or_default().total_cmp(&a.unwrap_or_default()).then_with(|| a_name.cmp(b_name))
        });
        let others = ranked.split_off(ranked.len().min(self.request.limit.clamp(1, MAX_AGENT_SERIES)));
        let series = |name: AgentPartName, buckets: BTreeMap<NaiveDate, AgentCounts>| {
            let buckets = buckets.into_iter().map(|(start, counts)| (start, AgentSum::of_counts(counts)));
            AgentSeries { name, points: self.points(&buckets.collect(), kind) }
        };
        let mut divided: Vec<AgentSeries> =
            ranked.into_iter().map(|(_, name, buckets)| series(names.name(name), buckets)).collect();
        if !others.is_empty() {
            let mut sum: BTreeMap<NaiveDate, AgentCounts> = BTreeMap::new();
            for (start, counts) in others.into_iter().flat_map(|(.., buckets)| buckets) {
                add_counts(sum.entry(start).or_insert([0; AgentCounter::COUNT]), &counts);
            }
            divided.push(series(AgentPartName::default(), sum));
        }
        divided
    }

    fn points(&self, buckets: &Buckets, kind: SubjectKind) -> Vec<AgentPoint> {
        let &AgentSeriesRequest { range, grain, metric, .. } = self.request;
        let empty = AgentSum::default();
        let points = range.buckets(grain).map(|bucket| AgentPoint {
            start: bucket.start(),
            end: bucket.end(),
            value: buckets.get(&bucket.start()).unwrap_or(&empty).value(metric, kind),
            partial: bucket.start() < range.since() || range.until() < bucket.end(),
        });
        points.collect()
    }
}
