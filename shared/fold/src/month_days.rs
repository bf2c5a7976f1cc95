//! Which day of a month's items a time belongs to.

use chrono::{DateTime, Utc};
use gam_model::period::midnight;
use gam_model::{DayOfMonth, Month};

const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// Assigns the times of one month's events to the days of its items. Days are UTC days.
///
/// Nothing else in this crate decides where a day begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MonthDays {
    month: Month,
    /// The start of the UTC month, in epoch milliseconds.
    start: i64,
    /// The number of days in the month.
    count: i64,
}

impl MonthDays {
    pub(crate) fn new(month: Month) -> Self {
        let start = midnight(month.first_day()).timestamp_millis();
        MonthDays { month, start, count: month.days() as i64 }
    }

    /// Returns the days of the month to which an event at this time belongs.
    pub(crate) fn containing(at: DateTime<Utc>) -> Self {
        MonthDays::new(Month::of(at.date_naive()))
    }

    /// Returns the UTC month.
    pub(crate) fn month(self) -> Month {
        self.month
    }

    /// Returns the start of the UTC month, in epoch milliseconds.
    pub(crate) fn start(self) -> i64 {
        self.start
    }

    /// Returns the day of a time in epoch milliseconds; `None` if the time is outside the UTC month.
    pub(crate) fn day(self, at: i64) -> Option<DayOfMonth> {
        let offset = (at - self.start).div_euclid(MILLISECONDS_PER_DAY);
        let is_in_month = (0..self.count).contains(&offset);
        is_in_month.then(|| DayOfMonth::new(offset as u8 + 1)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_utc() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let days = MonthDays::containing(time("2024-02-29T23:59:59.999Z"));
        assert_eq!(days.month().to_string(), "2024-02");
        let day = |text: &str| days.day(time(text).timestamp_millis()).map(DayOfMonth::number);
        assert_eq!(day("2024-01-31T23:59:59.999Z"), None);
        assert_eq!(day("2024-02-01T00:00:00Z"), Some(1));
        assert_eq!(day("2024-02-01T23:59:59.999Z"), Some(1));
        assert_eq!(day("2024-02-29T23:59:59.999Z"), Some(29));
        assert_eq!(day("2024-03-01T00:00:00Z"), None);
    }
}
