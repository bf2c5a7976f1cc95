//! A mergeable distribution of durations.
//!
//! Log-linear buckets as in HdrHistogram (<https://hdrhistogram.github.io/HdrHistogram/>): values
//! below 128 s have a bucket of their own, and every further power of two is cut into 64 buckets of
//! equal width. A value given back is off by at most 1/128 (0.8 %). The arithmetic is on integers
//! only, so every machine gives the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

const EXACT: u64 = 128;
const EXACT_BITS: u32 = 7;
const STEPS: u64 = 64;
const STEP_BITS: u32 = 6;

/// Durations in whole seconds: how many, their exact sum, and how they are distributed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    sum: u64,
    buckets: BTreeMap<u32, u64>,
}

fn bucket_of(seconds: u64) -> u32 {
    if seconds < EXACT {
        return seconds as u32;
    }
    let exponent = 63 - seconds.leading_zeros();
    let step = (seconds >> (exponent - STEP_BITS)) & (STEPS - 1);
    (EXACT + u64::from(exponent - EXACT_BITS) * STEPS + step) as u32
}

/// The middle of the bucket, in seconds.
fn value_of(bucket: u32) -> u64 {
    let bucket = u64::from(bucket);
    if bucket < EXACT {
        return bucket;
    }
    // An index past the last bucket of 64-bit values can only come from a damaged store.
    let exponent = (EXACT_BITS + ((bucket - EXACT) / STEPS) as u32).min(63);
    let width = 1u64 << (exponent - STEP_BITS);
    ((STEPS + (bucket - EXACT) % STEPS) << (exponent - STEP_BITS)).saturating_add(width / 2)
}

impl Distribution {
    /// Adds one duration, in seconds.
    pub fn add(&mut self, seconds: u64) {
        self.sum = self.sum.saturating_add(seconds);
        *self.buckets.entry(bucket_of(seconds)).or_default() += 1;
    }

    /// Adds all durations of another distribution.
    pub fn merge(&mut self, other: &Distribution) {
        self.sum = self.sum.saturating_add(other.sum);
        for (&bucket, &count) in &other.buckets {
            *self.buckets.entry(bucket).or_default() += count;
        }
    }

    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The arithmetic mean, in seconds; `None` where there are no durations.
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.sum as f64 / self.count() as f64)
    }

    /// The nearest-rank percentile, in seconds: the smallest duration that at least `percent` % of
    /// all do not exceed (<https://en.wikipedia.org/wiki/Percentile#The_nearest-rank_method>);
    /// `None` where there are no durations. `percent` lies in 1 to 100.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.buckets.iter().find_map(|(&bucket, &count)| {
            seen += count;
            (seen >= rank).then(|| value_of(bucket))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Distribution {
        let mut distribution = Distribution::default();
        values.iter().for_each(|&v| distribution.add(v));
        distribution
    }

    #[test]
    fn an_empty_distribution_has_no_values() {
        let empty = Distribution::default();
        assert_eq!((empty.count(), empty.mean(), empty.percentile(50)), (0, None, None));
    }

    #[test]
    fn small_values_are_exact() {
        let d = of(&[0, 1, 2, 3, 100, 127]);
        assert_eq!(d.percentile(50), Some(2));
        assert_eq!(d.percentile(90), Some(127));
        assert_eq!(d.mean(), Some(233.0 / 6.0));
    }

    #[test]
    fn the_greatest_value_fits() {
        assert!(of(&[u64::MAX]).percentile(100).unwrap() > u64::MAX / 100 * 99);
        assert!(value_of(u32::MAX) > 0);
    }

    proptest! {
        #[test]
        fn percentiles_are_nearest_rank_within_one_percent(
            mut values in prop::collection::vec(0u64..400_000_000, 1..200),
            percent in 1u64..=100,
        ) {
            let got = of(&values).percentile(percent).unwrap();
            values.sort_unstable();
            let want = values[(values.len() as u64 * percent).div_ceil(100) as usize - 1];
            prop_assert!(got.abs_diff(want) * 100 <= want, "{got} for {want}");
        }

        #[test]
        fn merging_is_adding(a in prop::collection::vec(0u64..1_000_000, 0..50), b in prop::collection::vec(0u64..1_000_000, 0..50)) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }
    }
}
