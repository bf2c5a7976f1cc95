//! From a rollup to the values of metrics.

use std::borrow::Cow;

use gam_model::metric::{Aggregation, CATALOGUE, Metric};
use gam_model::{Subject, SubjectKind};
use gam_rollup::{Distribution, Rollup, Side, Tally};

use crate::answers::{BotFilter, MetricValue, MetricValues};

/// The number of repositories ever credited, next to an organization's metrics.
pub(crate) const TOTAL_REPOS: &str = "total_repos";
/// The number of members ever credited, next to an organization's metrics.
pub(crate) const TOTAL_MEMBERS: &str = "total_members";

const SECONDS_PER_HOUR: f64 = 3600.0;

impl BotFilter {
    /// Returns the part of a repository's or a member's rollup that decides whether an organization lists it.
    pub(crate) fn tally_of_listed(self, kind: SubjectKind, rollup: &Rollup) -> Cow<'_, Tally> {
        match kind {
            SubjectKind::Member => self.listed_tally(rollup),
            SubjectKind::Org | SubjectKind::Repo => self.tally(rollup),
        }
    }

    /// Returns whether the events of a side count in an organization or a repository, as in [`BotFilter::tally`].
    pub(crate) fn counts(self, side: Side) -> bool {
        match self {
            BotFilter::Auto => side != Side::Bots,
            BotFilter::Exclude => side == Side::People,
            BotFilter::Include => true,
            BotFilter::Only => matches!(side, Side::Bots | Side::BotDeliveries),
        }
    }

    /// Returns whether the members of a side count in an organization or a repository.
    pub(crate) fn counts_members(self, side: Side) -> bool {
        match self {
            BotFilter::Auto => side == Side::People,
            filter => filter.counts(side),
        }
    }

    /// Returns the part of an organization's or a repository's rollup that counts.
    pub(crate) fn tally(self, rollup: &Rollup) -> Cow<'_, Tally> {
        match self {
            BotFilter::Auto => {
                let mut all = sum(&rollup.people, [&rollup.bot_deliveries, &rollup.unknown]);
                if all.members.len() > rollup.people.members.len() {
                    all.to_mut().members.clone_from(&rollup.people.members);
                }
                all
            }
            BotFilter::Exclude => Cow::Borrowed(&rollup.people),
            BotFilter::Include => {
                sum(&rollup.people, [&rollup.bots, &rollup.bot_deliveries, &rollup.unknown])
            }
            BotFilter::Only => sum(&rollup.bots, [&rollup.bot_deliveries]),
        }
    }

    /// Returns the part of a member's rollup that decides whether the member is listed.
    pub(crate) fn listed_tally(self, rollup: &Rollup) -> Cow<'_, Tally> {
        match self {
            BotFilter::Auto => BotFilter::Exclude.tally(rollup),
            filter => filter.tally(rollup),
        }
    }
}

/// Returns the sum of tallies. Copies the first only if there is something to add.
fn sum<'a, const N: usize>(first: &'a Tally, others: [&Tally; N]) -> Cow<'a, Tally> {
    let mut total = Cow::Borrowed(first);
    for other in others.into_iter().filter(|other| !other.is_empty()) {
        total.to_mut().merge(other);
    }
    total
}

/// Returns the part of a subject's rollup that counts. A member that is requested by name gets all of its own
/// numbers, except that a person has none with [`BotFilter::Only`].
pub(crate) fn subject_tally<'a>(subject: &Subject, rollup: &'a Rollup, bots: BotFilter) -> Cow<'a, Tally> {
    match (subject, bots) {
        (Subject::Member(_), BotFilter::Auto | BotFilter::Exclude) => BotFilter::Include.tally(rollup),
        _ => bots.tally(rollup),
    }
}

impl MetricValues {
    /// Sets the numbers of distinct members, which were counted apart from the rollup.
    pub(crate) fn set_active_members(&mut self, count: usize) {
        let counts_members = |metric: &Metric| matches!(metric.aggregation, Aggregation::DistinctMembers);
        for metric in CATALOGUE.iter().filter(|metric| counts_members(metric)) {
            for (_, value) in self.0.iter_mut().filter(|(name, _)| *name == metric.name) {
                *value = MetricValue::Count(count as u64);
            }
        }
    }
}

/// Returns whether the events of a side count in a subject of this kind, as in [`subject_tally`].
pub(crate) fn counts_in_subject(kind: SubjectKind, bots: BotFilter, side: Side) -> bool {
    match (kind, bots) {
        (SubjectKind::Member, BotFilter::Auto | BotFilter::Exclude) => BotFilter::Include.counts(side),
        _ => bots.counts(side),
    }
}

/// Returns the values of all metrics of a subject's rollup, in the catalogue's order.
pub(crate) fn metric_values(subject: &Subject, rollup: &Rollup, bots: BotFilter) -> MetricValues {
    let tally = subject_tally(subject, rollup, bots);
    let values = CATALOGUE.iter().map(|metric| (metric.name, value_in_tally(metric, subject, &tally)));
    MetricValues(values.collect())
}

/// Returns the values of some metrics of a subject's rollup, in their order.
pub(crate) fn values_of(
    metrics: &[&'static Metric],
    subject: &Subject,
    rollup: &Rollup,
    bots: BotFilter,
) -> MetricValues {
    let tally = subject_tally(subject, rollup, bots);
    let values = metrics.iter().map(|metric| (metric.name, value_in_tally(metric, subject, &tally)));
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
pub(crate) fn distribution_in_hours(durations: &Distribution) -> MetricValue {
    MetricValue::Distribution {
        count: durations.count(),
        mean: durations.mean().map(hours),
        p50: durations.percentile(50).map(|seconds| hours(seconds as f64)),
        p90: durations.percentile(90).map(|seconds| hours(seconds as f64)),
    }
}

/// Converts seconds.
pub(crate) fn hours(seconds: f64) -> f64 {
    seconds / SECONDS_PER_HOUR
}
