//! How the durations of a metric are distributed.

use gam_model::Range;
use gam_model::metric::{Aggregation, HISTOGRAM_BOUNDS_SECONDS, Metric};
use gam_rollup::Rollup;
use serde::{Deserialize, Serialize};

use crate::answers::{AnswerContext, BotFilter, CoverageAnswer, MetricValue, StaticName, SubjectRef};
use crate::deserialize::metric_name;
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::values::{distribution_in_hours, hours, subject_tally};
use crate::{QueryError, QueryPorts};

/// A range of durations, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HistogramBin {
    /// The least duration, in hours.
    pub from: f64,
    /// The duration that is too long, in hours. `None` if none is.
    pub to: Option<f64>,
    /// Number of durations.
    pub count: u64,
}

/// How the durations of a metric of a subject are distributed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistogramAnswer {
    /// The subject, the range, and whose work counts.
    #[serde(flatten)]
    pub context: AnswerContext,
    /// The metric's name in the catalogue.
    #[serde(deserialize_with = "metric_name")]
    pub metric: StaticName,
    /// From when until when the numbers are complete.
    #[serde(flatten)]
    pub coverage: CoverageAnswer,
    /// The distribution, as the metrics of the same range have it.
    pub value: MetricValue,
    /// The bins between [`HISTOGRAM_BOUNDS_SECONDS`], shortest durations first. Their counts add up to the
    /// distribution's.
    pub bins: Vec<HistogramBin>,
}

/// Returns how the durations of a metric of a subject are distributed over a range.
///
/// The bins are exact for at most 64 durations. Of more, one that is within 1 % of a
/// bound may be in the bin next to its own.
///
/// # Errors
/// If the metric is a count, there is no such subject, the store fails, or a stored item cannot be read.
pub async fn histogram(
    ports: &QueryPorts,
    org: &str,
    subject: &SubjectRef,
    metric: &'static Metric,
    range: Range,
    bots: BotFilter,
) -> Result<HistogramAnswer, QueryError> {
    if !metric.is_distribution() {
        let name = metric.name;
        return Err(QueryError::Invalid(format!(
            "{name} has no histogram: it is a count, not a distribution"
        )));
    }
    read_org(ports, org, &HistogramQuery { subject, metric, range, bots }).await
}

struct HistogramQuery<'a> {
    subject: &'a SubjectRef,
    metric: &'static Metric,
    range: Range,
    bots: BotFilter,
}

impl OrgQuery for HistogramQuery<'_> {
    type Answer = HistogramAnswer;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<HistogramAnswer, QueryError> {
        let HistogramQuery { subject, metric, range, bots } = *self;
        let mut resolved = org.resolve_subject(subject).await?;
        let (days, coverage) =
            tokio::try_join!(org.read_days(&resolved.subject, range), org.coverage(&resolved.subject))?;
        org.set_display_name(&mut resolved, &days, range).await?;
        let mut sum = Rollup::default();
        days.iter().for_each(|days| sum.merge(&days.sum(range)));
        let tally = subject_tally(&resolved.subject, &sum, bots);
        let durations = match metric.aggregation {
            Aggregation::Distribution(duration) => tally.durations[duration as usize].clone(),
            _ => Default::default(),
        };
        Ok(HistogramAnswer {
            context: org.context(resolved, range, bots),
            metric: metric.name,
            coverage,
            value: distribution_in_hours(&durations),
            bins: bins(&durations.histogram(&HISTOGRAM_BOUNDS_SECONDS)),
        })
    }
}

/// Returns the bins with these counts.
fn bins(counts: &[u64]) -> Vec<HistogramBin> {
    let bounds = HISTOGRAM_BOUNDS_SECONDS.map(|seconds| hours(seconds as f64));
    let starts = std::iter::once(0.0).chain(bounds);
    let ends = bounds.into_iter().map(Some).chain([None]);
    let bins = starts.zip(ends).zip(counts);
    bins.map(|((from, to), &count)| HistogramBin { from, to, count }).collect()
}
