//! A mergeable distribution of durations.
//!
//! The buckets are log-linear, as in HdrHistogram (<https://hdrhistogram.github.io/HdrHistogram/>): each
//! value below 128 s has a bucket, and each further power of two is divided into 64 buckets of equal width. A
//! percentile is off by at most 1/128 (0.8 %). The arithmetic uses integers only, so every machine computes
//! the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Smaller values, in seconds, have a bucket each.
const EXACT_LIMIT_SECONDS: u64 = 1 << EXACT_BITS;
const EXACT_BITS: u32 = 7;

/// The number of buckets for each further power of two.
const BUCKETS_PER_OCTAVE: u64 = 1 << OCTAVE_BITS;
const OCTAVE_BITS: u32 = 6;

/// A distribution of durations: their exact sum in seconds, and the number of durations in each bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    sum: u64,
    buckets: BTreeMap<u32, u64>,
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
    // An index past the last bucket of 64-bit values can only come from a damaged store.
    let exponent = (EXACT_BITS + octave as u32).min(63);
    let width = 1u64 << (exponent - OCTAVE_BITS);
    ((BUCKETS_PER_OCTAVE + step) << (exponent - OCTAVE_BITS)).saturating_add(width / 2)
}

impl Distribution {
    /// Adds one duration, in seconds.
    pub fn add(&mut self, seconds: u64) {
        self.sum = self.sum.saturating_add(seconds);
        *self.buckets.entry(bucket_index(seconds)).or_default() += 1;
    }

    /// Adds all durations of another distribution.
    pub fn merge(&mut self, other: &Distribution) {
        self.sum = self.sum.saturating_add(other.sum);
        for (&bucket, &count) in &other.buckets {
            *self.buckets.entry(bucket).or_default() += count;
        }
    }

    /// Returns the number of durations.
    pub fn count(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// Returns whether there are no durations.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Returns the arithmetic mean, in seconds; `None` if there are no durations.
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.sum as f64 / self.count() as f64)
    }

    /// Returns the nearest-rank percentile, in seconds; `None` if there are no durations.
    ///
    /// It is the smallest duration that at least `percent` % of the durations do not exceed
    /// (<https://en.wikipedia.org/wiki/Percentile#The_nearest-rank_method>). `percent` is from 1 to 100.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut cumulative_count = 0;
        self.buckets.iter().find_map(|(&bucket, &count)| {
            cumulative_count += count;
            (cumulative_count >= rank).then(|| bucket_middle(bucket))
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
        assert!(distribution_of(&[u64::MAX]).percentile(100).unwrap() > u64::MAX / 100 * 99);
        assert!(bucket_middle(u32::MAX) > 0);
    }

    proptest! {
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
