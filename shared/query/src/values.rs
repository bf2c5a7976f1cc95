//! From a rollup to the values of metrics.

use std::borrow::Cow;

use gam_model::Subject;
use gam_model::metric::{Aggregation, CATALOGUE, Metric};
use gam_rollup::{Distribution, Rollup, Tally};

use crate::answers::{BotFilter, MetricValue, MetricValues};

const SECONDS_PER_HOUR: f64 = 3600.0;

impl BotFilter {
    /// Returns the part of a rollup that counts.
    pub(crate) fn tally(self, rollup: &Rollup) -> Cow<'_, Tally> {
        match self {
            BotFilter::Exclude => Cow::Borrowed(&rollup.people),
            BotFilter::Only => Cow::Borrowed(&rollup.bots),
            BotFilter::Include => {
                let mut both = rollup.people.clone();
                both.merge(&rollup.bots);
                Cow::Owned(both)
            }
        }
    }
}

/// Returns the part of a subject's rollup that counts. A bot that is requested by name gets its own
/// numbers, also with [`BotFilter::Exclude`].
fn subject_tally<'a>(subject: &Subject, rollup: &'a Rollup, bots: BotFilter) -> Cow<'a, Tally> {
    match (subject, bots) {
        (Subject::Member(_), BotFilter::Exclude) => BotFilter::Include.tally(rollup),
        _ => bots.tally(rollup),
    }
}

/// Returns the values of all metrics of a subject's rollup, in the catalogue's order.
pub(crate) fn metric_values(subject: &Subject, rollup: &Rollup, bots: BotFilter) -> MetricValues {
    let tally = subject_tally(subject, rollup, bots);
    let values = CATALOGUE.iter().map(|metric| (metric.name, value_in_tally(metric, subject, &tally)));
    MetricValues(values.collect())
}

/// Returns the value of one metric of a subject's rollup.
pub(crate) fn metric_value(
    metric: &Metric,
    subject: &Subject,
    rollup: &Rollup,
    bots: BotFilter,
) -> MetricValue {
    value_in_tally(metric, subject, &subject_tally(subject, rollup, bots))
}

fn value_in_tally(metric: &Metric, subject: &Subject, tally: &Tally) -> MetricValue {
    match metric.aggregation {
        Aggregation::Count(counter) => MetricValue::Count(tally.counts[counter as usize]),
        Aggregation::Sum(counters) => {
            MetricValue::Count(counters.iter().map(|&counter| tally.counts[counter as usize]).sum())
        }
        Aggregation::DistinctMembers => MetricValue::Count(match subject {
            Subject::Org | Subject::Repo(_) => tally.members.len() as u64,
            Subject::Member(_) => u64::from(tally.has_credited_events()),
        }),
        Aggregation::Distribution(duration) => distribution_in_hours(&tally.durations[duration as usize]),
    }
}

/// Converts a distribution of seconds.
fn distribution_in_hours(durations: &Distribution) -> MetricValue {
    let hours = |seconds: f64| seconds / SECONDS_PER_HOUR;
    MetricValue::Distribution {
        count: durations.count(),
        mean: durations.mean().map(hours),
        p50: durations.percentile(50).map(|seconds| hours(seconds as f64)),
        p90: durations.percentile(90).map(|seconds| hours(seconds as f64)),
    }
}
