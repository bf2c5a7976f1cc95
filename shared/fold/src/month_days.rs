//! Which day of a month's items a time belongs to.

use chrono::{DateTime, Utc};
use gam_model::period::midnight;
use gam_model::{DayOfMonth, Month, TimeZone};

const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// Assigns the times of one UTC month's events to the days of its items, which are days of a time zone.
///
/// Nothing else in this crate decides where a day begins.
#[derive(Debug, Clone)]
pub(crate) struct MonthDays {
    month: Month,
    /// The start of the UTC month, in epoch milliseconds.
    start: i64,
    /// The end of the UTC month, in epoch milliseconds.
    end: i64,
    /// Spans of the month, the last first: their start in epoch milliseconds, and what must be added to a time to
    /// get milliseconds since the local start of the month's first day.
    spans: Vec<(i64, i64)>,
}

impl MonthDays {
    pub(crate) fn new(month: Month, time_zone: TimeZone) -> Self {
        let (first, end) = (midnight(month.first_day()), midnight(month.end()));
        let start = first.timestamp_millis();
        let spans = time_zone.offsets(first, end).into_iter().rev();
        let spans = spans.map(|span| (span.start * 1000, span.offset * 1000 - start));
        MonthDays { month, start, end: end.timestamp_millis(), spans: spans.collect() }
    }

    /// Returns the UTC month.
    pub(crate) fn month(&self) -> Month {
        self.month
    }

    /// Returns the start of the UTC month, in epoch milliseconds.
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// Returns the day of a time in epoch milliseconds; `None` if the time is outside the UTC month.
    pub(crate) fn day(&self, at: i64) -> Option<DayOfMonth> {
        if !(self.start..self.end).contains(&at) {
            return None;
        }
        let (_, shift) = self.spans.iter().find(|(start, _)| *start <= at)?;
        let number = (at + shift).div_euclid(MILLISECONDS_PER_DAY) + 1;
        DayOfMonth::new(u8::try_from(number).ok()?)
    }
}

/// Returns the UTC month and the day of its items to which one time belongs. Agrees with [`MonthDays`], which is
/// faster for many times.
pub(crate) fn day_at(at: DateTime<Utc>, time_zone: TimeZone) -> (Month, DayOfMonth) {
    let month = Month::of(at.date_naive());
    let day = DayOfMonth::from_date(time_zone.day(at), month);
    (month, day.expect("local time is less than a day from UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_utc() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let days = MonthDays::new(Month::parse("2024-02").unwrap(), TimeZone::UTC);
        let day = |text: &str| days.day(time(text).timestamp_millis()).map(DayOfMonth::number);
        assert_eq!(day("2024-01-31T23:59:59.999Z"), None);
        assert_eq!(day("2024-02-01T00:00:00Z"), Some(1));
        assert_eq!(day("2024-02-01T23:59:59.999Z"), Some(1));
        assert_eq!(day("2024-02-29T23:59:59.999Z"), Some(29));
        assert_eq!(day("2024-03-01T00:00:00Z"), None);
    }

    #[test]
    fn local_days_can_lie_next_to_the_month() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let number = |zone: &str, at: &str| {
            let (at, zone) = (time(at), TimeZone::parse(zone).unwrap());
            let (month, day) = day_at(at, zone);
            assert_eq!(MonthDays::new(month, zone).day(at.timestamp_millis()), Some(day));
            Some(day.number())
        };
        assert_eq!(number("Asia/Tokyo", "2024-02-29T14:59:59Z"), Some(29));
        assert_eq!(number("Asia/Tokyo", "2024-02-29T15:00:00Z"), Some(30), "the first of March in Tokyo");
        assert_eq!(number("America/New_York", "2024-03-01T04:59:59Z"), Some(0), "the last of February there");
        assert_eq!(number("America/New_York", "2024-03-01T05:00:00Z"), Some(1));
        // Summer time began on the 10th.
        assert_eq!(number("America/New_York", "2024-03-11T03:59:59Z"), Some(10));
        assert_eq!(number("America/New_York", "2024-03-11T04:00:00Z"), Some(11));
        assert_eq!(number("Pacific/Kiritimati", "2024-01-31T23:59:59Z"), Some(32));
    }
}
