//! When people and bots work: the rhythm of days and weeks.

use chrono::{Datelike, Weekday};
use gam_model::Month;
use gam_model::period::midnight;

use crate::random::RandomStream;

pub(crate) const SECONDS_PER_DAY: i64 = 86_400;
const SECONDS_PER_HOUR: i64 = 3_600;
/// The share of times outside of working hours.
const OVERTIME: f64 = 0.08;

/// The days of a month, with how much people do on each of them. Times are epoch seconds, UTC.
pub(crate) struct Calendar {
    /// The first second of the month.
    pub(crate) start: i64,
    /// The first second of the next month.
    pub(crate) end: i64,
    /// The sum of the weights up to and including each day.
    cumulative_weights: Vec<u64>,
}

impl Calendar {
    /// Creates the calendar of a month.
    pub(crate) fn new(month: Month) -> Self {
        let mut sum = 0;
        let days = month.first_day().iter_days().take(month.days());
        let cumulative_weights = days
            .map(|day| {
                sum += match day.weekday() {
                    Weekday::Fri => 90,
                    Weekday::Sat => 20,
                    Weekday::Sun => 15,
                    _ => 100,
                };
                sum
            })
            .collect();
        Calendar {
            start: midnight(month.first_day()).timestamp(),
            end: midnight(month.end()).timestamp(),
            cumulative_weights,
        }
    }

    /// Returns whether the time is in the month.
    pub(crate) fn contains(&self, at: i64) -> bool {
        self.start <= at && at < self.end
    }

    /// Picks a time of a person whose local time is `utc_offset` seconds ahead of UTC.
    pub(crate) fn working_time(&self, utc_offset: i64, random: &mut RandomStream) -> i64 {
        let total = self.cumulative_weights.last().copied().unwrap_or(0);
        let position = random.below(total);
        let day = self.cumulative_weights.partition_point(|sum| *sum <= position) as i64;
        let local_second = if random.chance(OVERTIME) {
            random.below(SECONDS_PER_DAY as u64) as i64
        } else {
            // From 9 to 19 o'clock, most at 14.
            let middle = (random.unit() + random.unit()) * 5.0;
            9 * SECONDS_PER_HOUR + (middle * SECONDS_PER_HOUR as f64) as i64
        };
        self.start + day * SECONDS_PER_DAY + (local_second - utc_offset).rem_euclid(SECONDS_PER_DAY)
    }

    /// Picks a time of a bot, which never rests.
    pub(crate) fn any_time(&self, random: &mut RandomStream) -> i64 {
        self.start + random.below((self.end - self.start) as u64) as i64
    }
}

/// Moves most times on a weekend two days ahead.
pub(crate) fn after_weekend(at: i64, random: &mut RandomStream) -> i64 {
    // 1 January 1970 was a Thursday.
    let is_weekend = matches!(at.div_euclid(SECONDS_PER_DAY).rem_euclid(7), 2 | 3);
    if is_weekend && random.chance(0.8) { at + 2 * SECONDS_PER_DAY } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_rest_on_weekends_and_at_night() {
        let calendar = Calendar::new(Month::parse("2025-06").unwrap());
        let mut random = RandomStream::from_key(&[1]);
        let times: Vec<i64> = (0..10_000).map(|_| calendar.working_time(0, &mut random)).collect();
        assert!(times.iter().all(|at| calendar.contains(*at)));
        let is_weekend = |at: &&i64| matches!((*at / SECONDS_PER_DAY) % 7, 2 | 3);
        let is_night = |at: &&i64| (*at % SECONDS_PER_DAY) < 6 * SECONDS_PER_HOUR;
        let (weekend, night) =
            (times.iter().filter(is_weekend).count(), times.iter().filter(is_night).count());
        assert!((500..1_200).contains(&weekend), "{weekend} on nine days of weekends");
        assert!((100..400).contains(&night), "{night} at night");
    }

    #[test]
    fn most_ends_on_a_saturday_move_to_monday() {
        let mut random = RandomStream::from_key(&[1]);
        let saturday = 2 * SECONDS_PER_DAY;
        let moved = (0..1000).filter(|_| after_weekend(saturday, &mut random) > saturday).count();
        assert!((700..900).contains(&moved), "{moved}");
        assert_eq!(after_weekend(0, &mut random), 0);
    }
}
