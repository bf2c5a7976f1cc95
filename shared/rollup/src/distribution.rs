//! A mergeable distribution of durations.
//!
//! Up to [`MAX_EXACT_VALUES`] durations are stored as they are. More of them are stored as a sketch: the number
//! of durations in each bucket. The buckets are log-linear, as in HdrHistogram
//! (<https://hdrhistogram.github.io/HdrHistogram/>): each value below 128 s has a bucket, and each further power
//! of two is divided into 64 buckets of equal width. A percentile of a sketch is off by at most 1/128 (0.8 %),
//! and never outside of the least and the greatest duration. The arithmetic uses integers only, so every machine
//! computes the same bytes.
//!
//! A distribution is a function of the durations in it. In which order they were added or merged does not
//! matter.

use std::collections::BTreeMap;

/// The greatest number of durations of which the percentiles are exact.
pub const MAX_EXACT_VALUES: usize = 64;

/// Smaller values, in seconds, have a bucket each.
const EXACT_LIMIT_SECONDS: u64 = 1 << EXACT_BITS;
const EXACT_BITS: u32 = 7;

/// The number of buckets for each further power of two.
const BUCKETS_PER_OCTAVE: u64 = 1 << OCTAVE_BITS;
const OCTAVE_BITS: u32 = 6;

/// A distribution of durations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// The exact sum, in seconds.
    sum: u64,
    /// All durations in ascending order, in seconds; empty if there is a sketch.
    values: Vec<u64>,
    /// `None` up to [`MAX_EXACT_VALUES`] durations.
    sketch: Option<Sketch>,
}

/// The durations of a distribution that are too many to be stored one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sketch {
    /// The least duration, in seconds.
    pub(crate) min: u64,
    /// The greatest duration, in seconds.
    pub(crate) max: u64,
    /// The number of durations in each bucket that has some.
    pub(crate) buckets: BTreeMap<u32, u64>,
}

impl Sketch {
    /// Creates a sketch of these durations; `None` if there are none.
    fn from_values(values: &[u64]) -> Option<Self> {
        let mut sketch =
            Sketch { min: *values.iter().min()?, max: *values.iter().max()?, buckets: BTreeMap::new() };
        values.iter().for_each(|&seconds| sketch.add(seconds));
        Some(sketch)
    }

    fn add(&mut self, seconds: u64) {
        self.min = self.min.min(seconds);
        self.max = self.max.max(seconds);
        let count = self.buckets.entry(bucket_index(seconds)).or_default();
        *count = count.saturating_add(1);
    }

    fn merge(&mut self, other: &Sketch) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        for (&bucket, &added) in &other.buckets {
            let count = self.buckets.entry(bucket).or_default();
            *count = count.saturating_add(added);
        }
    }

    fn count(&self) -> u64 {
        self.buckets.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns whether there are durations with this sum and this sketch, as far as it is quick to see.
    fn is_possible(&self, sum: u64) -> bool {
        let bounds = (self.buckets.first_key_value(), self.buckets.last_key_value());
        let (Some((&first, _)), Some((&last, _))) = bounds else { return false };
        let least_sum = u128::from(self.min) * u128::from(self.count());
        let greatest_sum = u128::from(self.max) * u128::from(self.count());
        self.min <= self.max
            && bucket_index(self.min) == first
            && bucket_index(self.max) == last
            && self.count() > MAX_EXACT_VALUES as u64
            && least_sum.min(u64::MAX.into()) <= sum.into()
            && u128::from(sum) <= greatest_sum
    }
}

/// Returns the index of the bucket that contains the duration.
fn bucket_index(seconds: u64) -> u32 {
    if seconds < EXACT_LIMIT_SECONDS {
        return seconds as u32;
    }
    let exponent = 63 - seconds.leading_zeros();
    let step = (seconds >> (exponent - OCTAVE_BITS)) & (BUCKETS_PER_OCTAVE - 1);
    (EXACT_LIMIT_SECONDS + u64::from(exponent - EXACT_BITS) * BUCKETS_PER_OCTAVE + step) as u32
}

/// Returns the middle of the bucket, in seconds.
fn bucket_middle(index: u32) -> u64 {
    let index = u64::from(index);
    if index < EXACT_LIMIT_SECONDS {
        return index;
    }
    let (octave, step) = (
        (index - EXACT_LIMIT_SECONDS) / BUCKETS_PER_OCTAVE,
        (index - EXACT_LIMIT_SECONDS) % BUCKETS_PER_OCTAVE,
    );
    let exponent = EXACT_BITS + octave as u32;
    let width = 1u64 << (exponent - OCTAVE_BITS);
    ((BUCKETS_PER_OCTAVE + step) << (exponent - OCTAVE_BITS)).saturating_add(width / 2)
}

impl Distribution {
    /// Creates the distribution of at most [`MAX_EXACT_VALUES`] durations in ascending order, in seconds.
    pub(crate) fn from_exact_values(values: Vec<u64>) -> Self {
        let sum = values.iter().fold(0u64, |sum, seconds| sum.saturating_add(*seconds));
        Distribution { sum, values, sketch: None }
    }

    /// Creates the distribution of more durations; `None` if no durations have this sum, in seconds, and this
    /// sketch.
    pub(crate) fn from_sketch(sum: u64, sketch: Sketch) -> Option<Self> {
        sketch.is_possible(sum).then_some(Distribution { sum, values: Vec::new(), sketch: Some(sketch) })
    }

    /// Returns all durations in ascending order, in seconds; `None` if there is a sketch.
    pub(crate) fn exact_values(&self) -> Option<&[u64]> {
        self.sketch.is_none().then_some(&self.values)
    }

    pub(crate) fn sketch(&self) -> Option<&Sketch> {
        self.sketch.as_ref()
    }

    /// Returns the sum, in seconds.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// Adds one duration, in seconds.
    pub fn add(&mut self, seconds: u64) {
        self.sum = self.sum.saturating_add(seconds);
        self.add_value(seconds);
    }

    fn add_value(&mut self, seconds: u64) {
        match &mut self.sketch {
            Some(sketch) => sketch.add(seconds),
            None => {
                let position = self.values.partition_point(|&value| value <= seconds);
                self.values.insert(position, seconds);
                if self.values.len() > MAX_EXACT_VALUES {
                    self.sketch = Sketch::from_values(&std::mem::take(&mut self.values));
                }
            }
        }
    }

    /// Adds all durations of another distribution.
    pub fn merge(&mut self, other: &Distribution) {
        self.sum = self.sum.saturating_add(other.sum);
        match (&mut self.sketch, &other.sketch) {
            (Some(sketch), Some(added)) => sketch.merge(added),
            (None, Some(added)) => {
                let values = std::mem::take(&mut self.values);
                let sketch = self.sketch.insert(added.clone());
                values.into_iter().for_each(|seconds| sketch.add(seconds));
            }
            (_, None) => other.values.iter().for_each(|&seconds| self.add_value(seconds)),
        }
    }

    /// Returns the number of durations.
    pub fn count(&self) -> u64 {
        match &self.sketch {
            Some(sketch) => sketch.count(),
            None => self.values.len() as u64,
        }
    }

    /// Returns whether there are no durations.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.sketch.is_none()
    }

    /// Returns the arithmetic mean, in seconds; `None` if there are no durations.
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.sum as f64 / self.count() as f64)
    }

    /// Returns how many durations there are below the first bound, from each bound up to the next, and from the last
    /// bound on. `bounds` are in seconds, in ascending order.
    ///
    /// Of at most [`MAX_EXACT_VALUES`] durations the numbers are exact. Of more, each duration counts as the one that a
    /// percentile of it would return, which is within 1 %.
    pub fn histogram(&self, bounds: &[u64]) -> Vec<u64> {
        let mut counts = vec![0u64; bounds.len() + 1];
        let mut add = |seconds: u64, count: u64| {
            let bin = &mut counts[bounds.partition_point(|bound| *bound <= seconds)];
            *bin = bin.saturating_add(count);
        };
        match &self.sketch {
            None => self.values.iter().for_each(|&seconds| add(seconds, 1)),
            Some(sketch) => sketch.buckets.iter().for_each(|(&bucket, &count)| {
                add(bucket_middle(bucket).clamp(sketch.min, sketch.max), count)
            }),
        }
        counts
    }

    /// Returns the nearest-rank percentile, in seconds; `None` if there are no durations.
    ///
    /// It is the smallest duration that at least `percent` % of the durations do not exceed
    /// (<https://en.wikipedia.org/wiki/Percentile#The_nearest-rank_method>). `percent` is from 1 to 100. Of at
    /// most [`MAX_EXACT_VALUES`] durations it is exact; of more, it is within 1 %, and between the least and the
    /// greatest of them.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (u128::from(self.count()) * u128::from(percent)).div_ceil(100).max(1);
        let Some(sketch) = &self.sketch else { return self.values.get(rank as usize - 1).copied() };
        let mut cumulative_count = 0;
        sketch.buckets.iter().find_map(|(&bucket, &count)| {
            cumulative_count += u128::from(count);
            (cumulative_count >= rank).then(|| bucket_middle(bucket).clamp(sketch.min, sketch.max))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn distribution_of(durations: &[u64]) -> Distribution {
        let mut distribution = Distribution::default();
        durations.iter().for_each(|&seconds| distribution.add(seconds));
        distribution
    }

    #[test]
    fn an_empty_distribution_has_no_values() {
        let empty = Distribution::default();
        assert_eq!((empty.count(), empty.mean(), empty.percentile(50)), (0, None, None));
    }

    #[test]
    fn small_values_are_exact() {
        let distribution = distribution_of(&[0, 1, 2, 3, 100, 127]);
        assert_eq!(distribution.percentile(50), Some(2));
        assert_eq!(distribution.percentile(90), Some(127));
        assert_eq!(distribution.mean(), Some(233.0 / 6.0));
    }

    #[test]
    fn the_largest_duration_fits() {
        assert_eq!(distribution_of(&[u64::MAX]).percentile(100), Some(u64::MAX));
        assert_eq!(distribution_of(&[u64::MAX; 65]).percentile(100), Some(u64::MAX), "clamped");
    }

    #[test]
    fn a_sketch_is_clamped_to_the_least_and_greatest_value() {
        // Both are in one bucket, whose middle is neither.
        let distribution = distribution_of(&[&[1_000_000; 60][..], &[1_000_003; 5]].concat());
        assert_eq!(distribution.percentile(100), Some(1_000_003));
        let one_value = distribution_of(&[86_399; 100]);
        assert_eq!((one_value.percentile(1), one_value.percentile(99)), (Some(86_399), Some(86_399)));
    }

    /// Durations whose number is often near the greatest exact one.
    fn any_durations() -> impl Strategy<Value = Vec<u64>> {
        let seconds = prop_oneof![0u64..300, 0u64..400_000_000];
        prop_oneof![
            prop::collection::vec(seconds.clone(), 0..8),
            prop::collection::vec(seconds.clone(), 60..70),
            prop::collection::vec(seconds, 0..200),
        ]
    }

    proptest! {
        #[test]
        fn up_to_64_values_have_exact_percentiles(
            mut values in prop::collection::vec(0u64..400_000_000, 1..=64),
            percent in 1u64..=100,
        ) {
            let actual = distribution_of(&values).percentile(percent).unwrap();
            values.sort_unstable();
            prop_assert_eq!(actual, values[(values.len() as u64 * percent).div_ceil(100) as usize - 1]);
        }

        /// Splits the durations into parts, and merges the parts in an order and a nesting that `seed` decides.
        #[test]
        fn the_order_of_merging_does_not_matter(
            mut values in any_durations(),
            cuts in prop::collection::vec(0usize..200, 0..12),
            seed in any::<u64>(),
        ) {
            let expected = distribution_of(&values);
            values.reverse();
            let mut bounds: Vec<usize> = cuts.into_iter().map(|cut| cut.min(values.len())).collect();
            bounds.extend([0, values.len()]);
            bounds.sort_unstable();
            let mut parts: Vec<Distribution> =
                bounds.windows(2).map(|bounds| distribution_of(&values[bounds[0]..bounds[1]])).collect();
            let mut state = seed;
            while parts.len() > 1 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let index = (state >> 33) as usize % parts.len();
                let part = parts.swap_remove(index);
                let target = (state >> 17) as usize % parts.len();
                parts[target].merge(&part);
            }
            prop_assert_eq!(&parts[0], &expected);
        }

        #[test]
        fn percentiles_are_nearest_rank_within_one_percent(
            mut values in prop::collection::vec(0u64..400_000_000, 1..200),
            percent in 1u64..=100,
        ) {
            let actual = distribution_of(&values).percentile(percent).unwrap();
            values.sort_unstable();
            let expected = values[(values.len() as u64 * percent).div_ceil(100) as usize - 1];
            prop_assert!(actual.abs_diff(expected) * 100 <= expected, "{actual} for {expected}");
        }

        #[test]
        fn a_histogram_counts_each_duration_once_within_one_percent(
            values in prop::collection::vec(0u64..400_000, 0..200),
            mut bounds in prop::collection::vec(1u64..400_000, 1..6),
        ) {
            bounds.sort_unstable();
            let counts = distribution_of(&values).histogram(&bounds);
            prop_assert_eq!(counts.iter().sum::<u64>(), values.len() as u64);
            for (index, &bound) in bounds.iter().enumerate() {
                let below: u64 = counts[..=index].iter().sum();
                let error = if values.len() <= MAX_EXACT_VALUES { 0 } else { bound.div_ceil(100) };
                let expected = |bound: u64| values.iter().filter(|&&seconds| seconds < bound).count() as u64;
                let possible = expected(bound - error.min(bound))..=expected(bound + error);
                prop_assert!(possible.contains(&below), "{below} below {bound}: {possible:?}");
            }
        }

        #[test]
        fn merging_equals_adding_all_durations(
            a in prop::collection::vec(0u64..1_000_000, 0..50),
            b in prop::collection::vec(0u64..1_000_000, 0..50),
        ) {
            let mut merged = distribution_of(&a);
            merged.merge(&distribution_of(&b));
            prop_assert_eq!(merged, distribution_of(&[a, b].concat()));
        }
    }
}
