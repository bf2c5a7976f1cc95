//! A subject's metrics over a range.

use gam_model::{Range, Subject};
use gam_rollup::Rollup;

use crate::answers::{BotFilter, MetricValue, MetricsAnswer, SubjectRef};
use crate::comparison::{MetricChanges, PreviousMetrics, PreviousValues, previous_range};
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::read_items::Credited;
use crate::values::{TOTAL_MEMBERS, TOTAL_REPOS, metric_values};
use crate::{QueryError, QueryPorts};

/// Returns a subject's metrics over a range.
///
/// # Errors
/// If there is no such subject, the store fails, or a stored item cannot be read.
pub async fn metrics(
    ports: &QueryPorts,
    org: &str,
    subject: &SubjectRef,
    range: Range,
    bots: BotFilter,
) -> Result<MetricsAnswer, QueryError> {
    read_org(ports, org, &MetricsQuery { subject, range, bots, compare: false }).await
}

/// Returns a subject's metrics over a range, compared with the same number of days before it.
///
/// # Errors
/// As [`metrics`].
pub async fn compared_metrics(
    ports: &QueryPorts,
    org: &str,
    subject: &SubjectRef,
    range: Range,
    bots: BotFilter,
) -> Result<MetricsAnswer, QueryError> {
    read_org(ports, org, &MetricsQuery { subject, range, bots, compare: true }).await
}

struct MetricsQuery<'a> {
    subject: &'a SubjectRef,
    range: Range,
    bots: BotFilter,
    compare: bool,
}

impl OrgQuery for MetricsQuery<'_> {
    type Answer = MetricsAnswer;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<MetricsAnswer, QueryError> {
        let MetricsQuery { subject, range, bots, compare } = *self;
        let previous_range = previous_range(range).filter(|_| compare);
        let first_day = previous_range.map_or(range.since(), Range::since);
        let read_range = Range::new(first_day, range.until()).unwrap_or(range);
        let mut resolved = org.resolve_subject(subject).await?;
        let subject = &resolved.subject;
        let read_days = async {
            match subject {
                Subject::Repo(_) => org.read_days(subject, read_range).await,
                // All months and not only those of the range: they say what the latest name of a member is, and
                // what the totals of an organization are.
                Subject::Org | Subject::Member(_) => org.read_all_days(subject).await,
            }
        };
        let (days, coverage) = tokio::try_join!(read_days, org.coverage(subject))?;
        if resolved.member.is_some() {
            let mut ever = Rollup::default();
            days.iter().for_each(|days| ever.merge(&days.sum_all()));
            org.set_member_name(&mut resolved, &ever).await?;
        }
        let values = |range: Range| {
            let mut sum = Rollup::default();
            days.iter().for_each(|days| days.add_totals(range, &mut sum));
            let mut metrics = metric_values(&resolved.subject, &sum, bots);
            if resolved.member.is_none() {
                let active = Credited::in_days(&days, |date| range.contains(date), bots);
                metrics.set_active_members(active.members.len());
            }
            metrics
        };
        let mut metrics = values(range);
        let previous = previous_range.map(|range| PreviousMetrics {
            range: range.into(),
            values: PreviousValues { metrics: values(range) },
        });
        let change =
            previous.as_ref().map(|previous| MetricChanges::between(&metrics, &previous.values.metrics));
        if resolved.subject == Subject::Org {
            let ever = Credited::in_days(&days, |_| true, bots);
            metrics.0.push((TOTAL_REPOS, MetricValue::Count(ever.repos.len() as u64)));
            metrics.0.push((TOTAL_MEMBERS, MetricValue::Count(ever.members.len() as u64)));
        }
        Ok(MetricsAnswer {
            context: org.context(resolved, range, bots),
            coverage,
            metrics,
            previous: compare.then_some(previous),
            change: compare.then_some(change),
        })
    }
}
