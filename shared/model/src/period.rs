//! Days, ISO weeks and months in UTC, and the half-open ranges cut out of them.
//!
//! Weeks are ISO 8601 weeks: they start on Monday. A [`Bucket`] is aligned to its grain; a
//! [`Range`] is any half-open span of days.

use std::fmt;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// The length of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grain {
    /// A UTC day.
    Day,
    /// An ISO week, Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
}

impl Grain {
    /// Every grain, shortest first.
    pub const ALL: [Grain; 3] = [Grain::Day, Grain::Week, Grain::Month];

    /// The name used in the store and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Grain::Day => "day",
            Grain::Week => "week",
            Grain::Month => "month",
        }
    }

    /// The grain of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grain| grain.as_str() == name)
    }

    /// The bucket that holds the day.
    pub fn bucket(self, day: NaiveDate) -> Bucket {
        let start = match self {
            Grain::Day => day,
            Grain::Week => day - Days::new(u64::from(day.weekday().num_days_from_monday())),
            Grain::Month => Month::of(day).first_day(),
        };
        Bucket { grain: self, start }
    }
}

/// An aligned, half-open span of days: `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    grain: Grain,
    start: NaiveDate,
}

impl Bucket {
    /// The bucket's length.
    pub fn grain(self) -> Grain {
        self.grain
    }

    /// The first day.
    pub fn start(self) -> NaiveDate {
        self.start
    }

    /// The day after the last.
    pub fn end(self) -> NaiveDate {
        match self.grain {
            Grain::Day => self.start + Days::new(1),
            Grain::Week => self.start + Days::new(7),
            Grain::Month => self.start + Months::new(1),
        }
    }

    /// The bucket that follows.
    pub fn next(self) -> Bucket {
        Bucket { grain: self.grain, start: self.end() }
    }
}

/// A calendar month in UTC, written `YYYY-MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(NaiveDate);

impl Month {
    /// The month that holds the day.
    pub fn of(day: NaiveDate) -> Self {
        Month(day.with_day(1).expect("every month has a first day"))
    }

    /// The month written as `YYYY-MM`, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == 7 && text.as_bytes()[4] == b'-';
        let day = well_formed.then(|| NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok());
        day.flatten().map(Month)
    }

    /// The first day.
    pub fn first_day(self) -> NaiveDate {
        self.0
    }

    /// The first day of the month that follows.
    pub fn end(self) -> NaiveDate {
        self.0 + Months::new(1)
    }

    /// How many days the month has.
    pub fn days(self) -> usize {
        (self.end() - self.0).num_days() as usize
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

/// Midnight UTC at the start of the day.
pub fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_hms_opt(0, 0, 0).expect("midnight exists on every day").and_utc()
}

/// A half-open span of UTC days: `[since, until)`, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    since: NaiveDate,
    until: NaiveDate,
}

/// The earliest and the latest day a range may name.
pub const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(1970, 1, 1).expect("a valid date");
/// The day no range may reach past.
pub const LAST_DAY: NaiveDate = NaiveDate::from_ymd_opt(9999, 1, 1).expect("a valid date");

/// Three spans, any of which may be empty, that together make up a range: whole buckets of a grain
/// in the middle, and the days before and after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cover {
    /// Days before the first whole bucket.
    pub head: Option<Range>,
    /// Whole buckets.
    pub whole: Option<Range>,
    /// Days after the last whole bucket.
    pub tail: Option<Range>,
}

impl Range {
    /// The range `[since, until)`; `None` where it would be empty or inverted.
    pub fn new(since: NaiveDate, until: NaiveDate) -> Option<Self> {
        (since < until).then_some(Range { since, until })
    }

    /// The first day.
    pub fn since(self) -> NaiveDate {
        self.since
    }

    /// The day after the last.
    pub fn until(self) -> NaiveDate {
        self.until
    }

    /// Whether the day lies in the range.
    pub fn contains(self, day: NaiveDate) -> bool {
        self.since <= day && day < self.until
    }

    /// Every bucket of the grain that meets the range, in order.
    pub fn buckets(self, grain: Grain) -> impl Iterator<Item = Bucket> {
        std::iter::successors(Some(grain.bucket(self.since)), |bucket| Some(bucket.next()))
            .take_while(move |bucket| bucket.start() < self.until)
    }

    /// How many buckets of the grain meet the range, without listing them.
    pub fn bucket_count(self, grain: Grain) -> u64 {
        let (first, last) = (grain.bucket(self.since).start(), self.until - Days::new(1));
        let count = match grain {
            Grain::Day => (last - first).num_days(),
            Grain::Week => (last - first).num_days() / 7,
            Grain::Month => {
                i64::from(last.year() - first.year()) * 12 + i64::from(last.month())
                    - i64::from(first.month())
            }
        };
        count as u64 + 1
    }

    /// Splits the range into whole buckets of the grain and the days left over at both ends.
    pub fn cover(self, grain: Grain) -> Cover {
        let first = grain.bucket(self.since);
        let whole_from = if first.start() == self.since { self.since } else { first.end() };
        let whole_to = grain.bucket(self.until).start();
        match Range::new(whole_from, whole_to) {
            Some(whole) => Cover {
                head: Range::new(self.since, whole_from),
                whole: Some(whole),
                tail: Range::new(whole_to, self.until),
            },
            None => Cover { head: Some(self), whole: None, tail: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Weekday;
    use proptest::prelude::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn year_ends_and_leap_days() {
        assert_eq!(Grain::Week.bucket(day("2021-01-01")).start(), day("2020-12-28"));
        assert_eq!(Grain::Week.bucket(day("2024-12-31")).end(), day("2025-01-06"));
        assert_eq!(Grain::Month.bucket(day("2024-02-29")).end(), day("2024-03-01"));
        assert_eq!(Grain::Day.bucket(day("2024-02-28")).end(), day("2024-02-29"));
        assert_eq!(Month::parse("2024-02").unwrap().days(), 29);
        assert_eq!(Month::parse("2023-02").unwrap().days(), 28);
        assert_eq!(Month::parse("2100-02").unwrap().days(), 28);
        assert_eq!(Month::parse("2023-13"), None);
        assert_eq!(Month::parse("2023-1"), None);
        assert_eq!(Month::parse("2023-02").unwrap().to_string(), "2023-02");
    }

    #[test]
    fn a_range_is_never_empty_or_inverted() {
        assert!(Range::new(day("2024-01-02"), day("2024-01-02")).is_none());
        assert!(Range::new(day("2024-01-02"), day("2024-01-01")).is_none());
    }

    fn any_day() -> impl Strategy<Value = NaiveDate> {
        (0i64..40_000).prop_map(|n| FIRST_DAY + Days::new(n as u64))
    }

    fn any_range() -> impl Strategy<Value = Range> {
        (any_day(), 1u64..1_000).prop_map(|(since, n)| Range::new(since, since + Days::new(n)).unwrap())
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_day_and_agrees_with_chrono(d in any_day()) {
            for grain in Grain::ALL {
                let bucket = grain.bucket(d);
                prop_assert!(bucket.start() <= d && d < bucket.end());
                prop_assert_eq!(grain.bucket(bucket.start()), bucket);
                prop_assert_eq!(grain.bucket(bucket.end()), bucket.next());
            }
            let week = Grain::Week.bucket(d);
            prop_assert_eq!(week.start().weekday(), Weekday::Mon);
            prop_assert_eq!(week.start().iso_week(), d.iso_week());
            let month = Grain::Month.bucket(d);
            prop_assert_eq!((month.start().year(), month.start().month(), month.start().day()), (d.year(), d.month(), 1));
            prop_assert_eq!(Month::parse(&Month::of(d).to_string()), Some(Month::of(d)));
        }

        #[test]
        fn buckets_tile_the_range(range in any_range()) {
            for grain in Grain::ALL {
                let buckets: Vec<_> = range.buckets(grain).collect();
                prop_assert_eq!(buckets.len() as u64, range.bucket_count(grain));
                prop_assert!(buckets[0].start() <= range.since() && range.since() < buckets[0].end());
                let last = buckets[buckets.len() - 1];
                prop_assert!(last.start() < range.until() && range.until() <= last.end());
                for pair in buckets.windows(2) {
                    prop_assert_eq!(pair[0].end(), pair[1].start());
                }
            }
        }

        #[test]
        fn a_cover_is_the_range_itself(range in any_range()) {
            for grain in Grain::ALL {
                let cover = range.cover(grain);
                let mut at = range.since();
                for part in [cover.head, cover.whole, cover.tail].into_iter().flatten() {
                    prop_assert_eq!(part.since(), at);
                    at = part.until();
                }
                prop_assert_eq!(at, range.until());
                if let Some(whole) = cover.whole {
                    prop_assert_eq!(grain.bucket(whole.since()).start(), whole.since());
                    prop_assert_eq!(grain.bucket(whole.until()).start(), whole.until());
                }
            }
        }
    }
}
