//! Seeded random numbers: the same key always gives the same numbers.

use chrono::{DateTime, Datelike, TimeDelta, Utc, Weekday};

/// The longest delay that is drawn.
const MAX_DELAY_HOURS: f64 = 24.0 * 60.0;

/// A stream of random numbers that follows from a key.
pub(super) struct SampleRng(fastrand::Rng);

impl SampleRng {
    /// Creates the stream of a key. Streams of different keys are independent.
    pub(super) fn from_key(key: &[u64]) -> Self {
        // SplitMix64's finalizer, folded over the key: neighbouring keys must not give neighbouring
        // streams.
        let seed = key.iter().fold(0x9e37_79b9_7f4a_7c15_u64, |state, &word| {
            let mut z = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        SampleRng(fastrand::Rng::with_seed(seed))
    }

    /// Returns true with the given probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.0.f64() < probability
    }

    /// Returns an integer in `[from, to)`.
    pub(super) fn between(&mut self, from: i64, to: i64) -> i64 {
        self.0.i64(from..to)
    }

    /// Returns one of the choices, all with the same probability.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.0.usize(..choices.len())]
    }

    /// Returns a Poisson-distributed number, by Knuth's method.
    pub(super) fn poisson(&mut self, mean: f64) -> u32 {
        let limit = (-mean).exp();
        let mut product = self.0.f64();
        let mut count = 0;
        while product > limit {
            product *= self.0.f64();
            count += 1;
        }
        count
    }

    /// Returns a log-normally distributed number, by the Box-Muller transform.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.0.f64()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.0.f64()).cos();
        median * (sigma * normal).exp()
    }

    /// Returns a time after `from`, with a log-normally distributed delay. Most times on a weekend are
    /// moved two days ahead.
    pub(super) fn time_after(&mut self, from: DateTime<Utc>, median_hours: f64, sigma: f64) -> DateTime<Utc> {
        let hours = self.log_normal(median_hours, sigma).min(MAX_DELAY_HOURS);
        let at = from + TimeDelta::seconds((hours * 3600.0) as i64 + 1);
        let works_weekends = self.chance(0.1);
        match at.weekday() {
            Weekday::Sat | Weekday::Sun if !works_weekends && hours > 2.0 => at + TimeDelta::days(2),
            _ => at,
        }
    }

    /// Returns the id of a commit: 40 hex digits.
    pub(super) fn sha(&mut self) -> String {
        format!("{:016x}{:016x}{:08x}", self.0.u64(..), self.0.u64(..), self.0.u32(..))
    }
}
