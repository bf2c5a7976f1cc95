//! Metrics of a subject, bucket by bucket.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use gam_model::metric::{Aggregation, Metric};
use gam_model::{Grain, Range};
use gam_rollup::Rollup;
use serde::{Deserialize, Serialize};

use crate::answers::{
    AnswerContext, BotFilter, CoverageAnswer, MetricValue, MetricValues, SeriesAnswer, SeriesPoint,
    StaticName, SubjectRef,
};
use crate::deserialize::metric_names;
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::read_items::MonthOfDays;
use crate::values::values_of;
use crate::{MAX_POINTS, QueryError, QueryPorts};

/// Returns one metric of a subject, bucket by bucket.
///
/// # Errors
/// If there is no such subject, the series would have more than [`MAX_POINTS`] points, the store
/// fails, or a stored item cannot be read.
pub async fn series(
    ports: &QueryPorts,
    org: &str,
    subject: &SubjectRef,
    metric: &'static Metric,
    grain: Grain,
    range: Range,
    bots: BotFilter,
) -> Result<SeriesAnswer, QueryError> {
    let query = SeriesQuery { subject, metrics: &[metric], grain, range, bots };
    let series = query.read(ports, org).await?;
    let points = series.points.into_iter().map(|PointOfMetrics { start, end, values, partial }| {
        let value = values.0.into_iter().next().map_or(MetricValue::Count(0), |(_, value)| value);
        SeriesPoint { start, end, value, partial }
    });
    Ok(SeriesAnswer {
        points: points.collect(),
        context: series.context,
        metric: metric.name,
        granularity: grain,
        coverage: series.coverage,
    })
}

/// Returns several metrics of a subject, bucket by bucket.
///
/// # Errors
/// As [`series`]. Each value of each bucket counts as a point.
pub async fn series_of_metrics(
    ports: &QueryPorts,
    org: &str,
    subject: &SubjectRef,
    metrics: &[&'static Metric],
    grain: Grain,
    range: Range,
    bots: BotFilter,
) -> Result<SeriesOfMetricsAnswer, QueryError> {
    SeriesQuery { subject, metrics, grain, range, bots }.read(ports, org).await
}

/// A point of a series of several metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointOfMetrics {
    /// The first day of the bucket, in the organization's time zone.
    pub start: NaiveDate,
    /// The day after the last of the bucket, in the organization's time zone.
    pub end: NaiveDate,
    /// The values of the days that are both in the bucket and in the range.
    pub values: MetricValues,
    /// Whether the range cuts the bucket, so that `values` count only a part of it. Left out if it does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// Several metrics of a subject, bucket by bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesOfMetricsAnswer {
    /// The subject, the range, and whose work counts.
    #[serde(flatten)]
    pub context: AnswerContext,
    /// The names of the metrics, in the requested order.
    #[serde(deserialize_with = "metric_names")]
    pub metrics: Vec<StaticName>,
    /// The length of the buckets.
    pub granularity: Grain,
    /// From when until when the numbers are complete.
    #[serde(flatten)]
    pub coverage: CoverageAnswer,
    /// One point for every bucket that overlaps the range, in order.
    pub points: Vec<PointOfMetrics>,
}

struct SeriesQuery<'a> {
    subject: &'a SubjectRef,
    metrics: &'a [&'static Metric],
    grain: Grain,
    range: Range,
    bots: BotFilter,
}

impl OrgQuery for SeriesQuery<'_> {
    type Answer = SeriesOfMetricsAnswer;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<SeriesOfMetricsAnswer, QueryError> {
        let SeriesQuery { subject, metrics, grain, range, bots } = *self;
        let mut resolved = org.resolve_subject(subject).await?;
        let (days, coverage) =
            tokio::try_join!(org.read_days(&resolved.subject, range), org.coverage(&resolved.subject))?;
        org.set_display_name(&mut resolved, &days, range).await?;
        let (buckets, empty) = (self.sum_by_bucket(&days), Rollup::default());
        let points = range.buckets(grain).map(|bucket| {
            let rollup = buckets.get(&bucket.start()).unwrap_or(&empty);
            PointOfMetrics {
                start: bucket.start(),
                end: bucket.end(),
                values: values_of(metrics, &resolved.subject, rollup, bots),
                partial: bucket.start() < range.since() || range.until() < bucket.end(),
            }
        });
        Ok(SeriesOfMetricsAnswer {
            points: points.collect(),
            context: org.context(resolved, range, bots),
            metrics: metrics.iter().map(|metric| metric.name).collect(),
            granularity: grain,
            coverage,
        })
    }
}

impl SeriesQuery<'_> {
    async fn read(&self, ports: &QueryPorts, org: &str) -> Result<SeriesOfMetricsAnswer, QueryError> {
        let buckets = self.range.bucket_count(self.grain);
        let points = buckets.saturating_mul(self.metrics.len() as u64);
        if points > MAX_POINTS {
            let several = match self.metrics.len() {
                1 => String::new(),
                count => format!(" ({buckets} for each of {count} metrics)"),
            };
            return Err(QueryError::Invalid(format!(
                "the series would have {points} points{several}, but the limit is {MAX_POINTS}: use a shorter range \
                 or a coarser granularity"
            )));
        }
        read_org(ports, org, self).await
    }

    /// Adds up the days in the range, by the first day of their bucket. Copies the names of members only if the
    /// metrics count them: an organization has hundreds on a day.
    fn sum_by_bucket(&self, days: &[MonthOfDays]) -> BTreeMap<NaiveDate, Rollup> {
        let mut aggregations = self.metrics.iter().map(|metric| metric.aggregation);
        let counts_members = aggregations.any(|it| matches!(it, Aggregation::DistinctMembers));
        let mut buckets: BTreeMap<NaiveDate, Rollup> = BTreeMap::new();
        for month in days {
            for (date, sides) in month.dates().filter(|(date, _)| self.range.contains(*date)) {
                let rollup = buckets.entry(self.grain.bucket(date).start()).or_default();
                for side in sides {
                    let tally = &mut *rollup.sides_mut()[side.side as usize];
                    side.totals.add_to(tally);
                    if counts_members {
                        let names = side.members.iter().map(|&index| &month.item.members[index as usize]);
                        tally.members.extend(names.cloned());
                    }
                }
            }
        }
        buckets
    }
}
