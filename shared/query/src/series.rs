//! One metric of a subject, bucket by bucket.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use gam_model::metric::{Aggregation, Metric};
use gam_model::{Grain, Range};
use gam_rollup::Rollup;

use crate::answers::{BotFilter, SeriesAnswer, SeriesPoint, SubjectRef};
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::read_items::MonthOfDays;
use crate::values::metric_value;
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
    let points = range.bucket_count(grain);
    if points > MAX_POINTS {
        return Err(QueryError::Invalid(format!(
            "the series would have {points} points, but the limit is {MAX_POINTS}: use a shorter range or a \
             coarser granularity"
        )));
    }
    let query = SeriesQuery { subject, metric, grain, range, bots };
    read_org(ports, org, &query).await
}

struct SeriesQuery<'a> {
    subject: &'a SubjectRef,
    metric: &'static Metric,
    grain: Grain,
    range: Range,
    bots: BotFilter,
}

impl OrgQuery for SeriesQuery<'_> {
    type Answer = SeriesAnswer;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<SeriesAnswer, QueryError> {
        let SeriesQuery { subject, metric, grain, range, bots } = *self;
        let mut resolved = org.resolve_subject(subject).await?;
        let (days, coverage) =
            tokio::try_join!(org.read_days(&resolved.subject, range), org.coverage(&resolved.subject))?;
        org.set_display_name(&mut resolved, &days, range).await?;
        let (buckets, empty) = (self.sum_by_bucket(&days), Rollup::default());
        let points = range.buckets(grain).map(|bucket| SeriesPoint {
            start: bucket.start(),
            end: bucket.end(),
            value: metric_value(
                metric,
                &resolved.subject,
                buckets.get(&bucket.start()).unwrap_or(&empty),
                bots,
            ),
            partial: bucket.start() < range.since() || range.until() < bucket.end(),
        });
        Ok(SeriesAnswer {
            org: org.name.clone(),
            id: resolved.repo_id(),
            points: points.collect(),
            repo: resolved.repo,
            member: resolved.member,
            since: range.since(),
            until: range.until(),
            timezone: org.time_zone.name(),
            bots,
            metric: metric.name,
            granularity: grain,
            coverage,
        })
    }
}

impl SeriesQuery<'_> {
    /// Adds up the days in the range, by the first day of their bucket. Copies the names of members only if the
    /// metric counts them: an organization has hundreds on a day.
    fn sum_by_bucket(&self, days: &[MonthOfDays]) -> BTreeMap<NaiveDate, Rollup> {
        let counts_members = matches!(self.metric.aggregation, Aggregation::DistinctMembers);
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
