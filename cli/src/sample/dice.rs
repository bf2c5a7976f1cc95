//! Seeded chance: the same words always throw the same dice.

use chrono::{DateTime, Datelike, TimeDelta, Utc, Weekday};

/// A stream of random numbers that follows from what it was named by.
pub(super) struct Dice(fastrand::Rng);

impl Dice {
    /// The stream of that name; streams of different names have nothing to do with each other.
    pub(super) fn named(words: &[u64]) -> Self {
        // SplitMix64's finalizer, folded over the words: neighbouring names must not give
        // neighbouring streams.
        let seed = words.iter().fold(0x9e37_79b9_7f4a_7c15_u64, |state, &word| {
            let mut z = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Dice(fastrand::Rng::with_seed(seed))
    }

    /// True with the given probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.0.f64() < probability
    }

    /// A whole number in `[from, to)`.
    pub(super) fn between(&mut self, from: i64, to: i64) -> i64 {
        self.0.i64(from..to)
    }

    /// One of the choices.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.0.usize(..choices.len())]
    }

    /// How many things happen where `mean` do on average.
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

    /// A positive number with the given median and a long tail.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.0.f64()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.0.f64()).cos();
        median * (sigma * normal).exp()
    }

    /// A moment some hours later, mostly not on a weekend.
    pub(super) fn later(&mut self, from: DateTime<Utc>, median_hours: f64, sigma: f64) -> DateTime<Utc> {
        let hours = self.log_normal(median_hours, sigma).min(24.0 * 60.0);
        let at = from + TimeDelta::seconds((hours * 3600.0) as i64 + 1);
        let works_weekends = self.chance(0.1);
        match at.weekday() {
            Weekday::Sat | Weekday::Sun if !works_weekends && hours > 2.0 => at + TimeDelta::days(2),
            _ => at,
        }
    }

    /// A git object id.
    pub(super) fn sha(&mut self) -> String {
        format!("{:016x}{:016x}{:08x}", self.0.u64(..), self.0.u64(..), self.0.u32(..))
    }
}
