//! Which days have complete numbers.

use chrono::{Days, NaiveDate};
use gam_model::TimeZone;
use gam_query::CoverageAnswer;

/// From which day until which day the numbers are complete.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CompleteDays {
    /// The first complete day; `None` if nothing is known of the collection.
    since: Option<NaiveDate>,
    /// The last day that was read, maybe in part.
    last: Option<NaiveDate>,
    today: NaiveDate,
}

impl CompleteDays {
    /// Creates it from the coverage of an answer, in the time zone `zone`.
    pub(crate) fn new(coverage: &CoverageAnswer, zone: &str, today: NaiveDate) -> Self {
        let zone = TimeZone::parse(zone).unwrap_or_default();
        let since = coverage.read_since.map(|time| {
            let day = zone.day(time);
            if zone.start_of_day(day) < time { day + Days::new(1) } else { day }
        });
        CompleteDays { since, last: coverage.complete_until.map(|time| zone.day(time)), today }
    }

    /// Returns the first complete day; `None` if nothing is known of the collection.
    pub(crate) fn since(&self) -> Option<NaiveDate> {
        self.since
    }

    /// Returns whether days of `[start, end)` before the first complete day are missing.
    pub(crate) fn misses_start(&self, start: NaiveDate) -> bool {
        self.since.is_some_and(|since| start < since)
    }

    /// Returns whether days of `[start, end)` up to today were not read. A day that was read in part
    /// counts as missing, unless it is today.
    pub(crate) fn misses_end(&self, end: NaiveDate) -> bool {
        self.last.is_some_and(|last| last < end.min(self.today))
    }

    /// Returns whether days up to today in `[start, end)` are missing.
    pub(crate) fn is_incomplete(&self, start: NaiveDate, end: NaiveDate) -> bool {
        self.misses_start(start) || (start <= self.today && self.misses_end(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(read_since: &str, until: &str) -> CompleteDays {
        let time = |text: &str| text.parse().ok();
        let coverage = CoverageAnswer {
            read_since: time(read_since),
            complete_until: time(until),
            ..CoverageAnswer::default()
        };
        CompleteDays::new(&coverage, "Asia/Tokyo", "2024-03-10".parse().unwrap())
    }

    fn is_incomplete(days: CompleteDays, start: &str, end: &str) -> bool {
        days.is_incomplete(start.parse().unwrap(), end.parse().unwrap())
    }

    #[test]
    fn days_are_those_of_the_time_zone() {
        // 1 March begins at 15:00 UTC; the collection starts during that day.
        let days = days("2024-02-29T18:00:00Z", "2024-03-10T03:00:00Z");
        assert!(is_incomplete(days, "2024-03-01", "2024-03-02"));
        assert!(!is_incomplete(days, "2024-03-02", "2024-03-11"));
        assert!(!is_incomplete(days, "2024-03-02", "2024-04-01"), "later days are not over");
    }

    #[test]
    fn a_month_is_incomplete_if_its_last_day_was_read_in_part() {
        let until = |until| is_incomplete(days("", until), "2024-02-01", "2024-03-01");
        assert!(until("2024-02-15T00:00:00Z"));
        assert!(until("2024-02-29T12:00:00Z"));
        assert!(!until("2024-02-29T15:00:00Z"));
    }

    #[test]
    fn the_start_counts_before_anything_was_read_completely() {
        assert!(is_incomplete(days("2024-03-01T00:00:00Z", ""), "2024-02-01", "2024-03-01"));
        assert!(!is_incomplete(days("", ""), "2024-02-01", "2024-03-01"), "nothing is known");
    }
}
