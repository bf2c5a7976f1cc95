//! The comparison of a range with the range before it.

use chrono::NaiveDate;
use gam_model::Range;
use gam_model::period::FIRST_DAY;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::answers::{MetricValue, MetricValues};

/// Returns the range of the same number of days that ends where this one begins. `None` if it would begin before the
/// first day of all ranges.
pub(crate) fn previous_range(range: Range) -> Option<Range> {
    let days = range.until() - range.since();
    let since = range.since().checked_sub_signed(days).filter(|since| *since >= FIRST_DAY)?;
    Range::new(since, range.since())
}

/// The range before, which entries are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousRange {
    /// The first day, in the organization's time zone.
    pub since: NaiveDate,
    /// The day after the last, in the organization's time zone.
    pub until: NaiveDate,
}

impl From<Range> for PreviousRange {
    fn from(range: Range) -> Self {
        PreviousRange { since: range.since(), until: range.until() }
    }
}

/// The values of all metrics in the range before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreviousValues {
    /// The values of the metrics in the catalogue.
    pub metrics: MetricValues,
}

/// The range before, with the values of all metrics in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreviousMetrics {
    /// The range.
    #[serde(flatten)]
    pub range: PreviousRange,
    /// The values of the metrics in the catalogue.
    #[serde(flatten)]
    pub values: PreviousValues,
}

/// How a number has changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Change<D> {
    /// The present number minus the previous one.
    pub difference: D,
    /// `difference` divided by the previous number. `None` if that is 0, or one of the numbers is missing.
    pub relative: Option<f64>,
}

/// How the value of a metric has changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MetricChange {
    /// The change of a count.
    Count(Change<i64>),
    /// The change of each number of a distribution, in hours except for `count`. A difference is `None` if one of the
    /// distributions is empty.
    Distribution {
        /// The change of the number of durations.
        count: Change<i64>,
        /// The change of the mean.
        mean: Change<Option<f64>>,
        /// The change of the median.
        p50: Change<Option<f64>>,
        /// The change of the 90th percentile.
        p90: Change<Option<f64>>,
    },
}

/// The changes of all metrics by name, in the catalogue's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricChanges(pub Vec<(&'static str, MetricChange)>);

impl MetricChanges {
    /// Returns the change of each metric that both have.
    pub(crate) fn between(current: &MetricValues, previous: &MetricValues) -> Self {
        let change = |(name, current): &(&'static str, MetricValue)| {
            let (_, previous) = previous.0.iter().find(|(other, _)| other == name)?;
            Some((*name, MetricChange::between(current, previous)?))
        };
        MetricChanges(current.0.iter().filter_map(change).collect())
    }
}

impl Serialize for MetricChanges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, change) in &self.0 {
            map.serialize_entry(name, change)?;
        }
        map.end()
    }
}

impl MetricChange {
    fn between(current: &MetricValue, previous: &MetricValue) -> Option<Self> {
        match (*current, *previous) {
            (MetricValue::Count(current), MetricValue::Count(previous)) => {
                Some(MetricChange::Count(count_change(current, previous)))
            }
            (
                MetricValue::Distribution { count, mean, p50, p90 },
                MetricValue::Distribution {
                    count: previous_count,
                    mean: previous_mean,
                    p50: previous_p50,
                    p90: previous_p90,
                },
            ) => Some(MetricChange::Distribution {
                count: count_change(count, previous_count),
                mean: number_change(mean, previous_mean),
                p50: number_change(p50, previous_p50),
                p90: number_change(p90, previous_p90),
            }),
            _ => None,
        }
    }
}

pub(crate) fn count_change(current: u64, previous: u64) -> Change<i64> {
    let difference = (current as i64).saturating_sub(previous as i64);
    Change { difference, relative: relative(difference as f64, previous as f64) }
}

pub(crate) fn number_change(current: Option<f64>, previous: Option<f64>) -> Change<Option<f64>> {
    let difference = current.zip(previous).map(|(current, previous)| current - previous);
    let relative = difference.zip(previous).and_then(|(difference, previous)| relative(difference, previous));
    Change { difference, relative }
}

fn relative(difference: f64, previous: f64) -> Option<f64> {
    (previous != 0.0).then(|| difference / previous)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(since: &str, until: &str) -> Range {
        Range::new(since.parse().unwrap(), until.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_previous_range_has_the_same_number_of_days() {
        let previous = |since, until| previous_range(range(since, until));
        assert_eq!(previous("2024-03-01", "2024-04-01"), Some(range("2024-01-30", "2024-03-01")));
        assert_eq!(previous("2024-03-01", "2024-03-02"), Some(range("2024-02-29", "2024-03-01")));
        assert_eq!(previous("1970-01-03", "1970-01-05"), Some(range("1970-01-01", "1970-01-03")));
        assert_eq!(previous("1970-01-03", "1970-01-06"), None);
        assert_eq!(previous("1970-01-01", "9999-01-01"), None);
    }

    #[test]
    fn a_change_from_zero_has_no_relative_size() {
        assert_eq!(count_change(3, 0), Change { difference: 3, relative: None });
        assert_eq!(count_change(0, 4), Change { difference: -4, relative: Some(-1.0) });
        assert_eq!(count_change(5, 4), Change { difference: 1, relative: Some(0.25) });
        assert_eq!(
            number_change(Some(3.0), Some(2.0)),
            Change { difference: Some(1.0), relative: Some(0.5) }
        );
        for (current, previous) in [(None, Some(2.0)), (Some(2.0), None), (None, None)] {
            assert_eq!(number_change(current, previous), Change { difference: None, relative: None });
        }
    }
}
