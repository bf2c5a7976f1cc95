//! UTC days, ISO weeks and months, and half-open ranges of days.
//!
//! Weeks are ISO 8601 weeks: they start on Monday. A [`Bucket`] is aligned to its grain; a [`Range`] is any
//! half-open span of days.

use std::fmt;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// The length of a bucket.
///
/// The variants' lower-case names are stored and used in the API.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Grain {
    /// A UTC day.
    Day,
    /// An ISO week, Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
}

impl Grain {
    /// All grains, shortest first.
    pub const ALL: [Self; Self::VARIANTS.len()] = *Self::VARIANTS.first_chunk().unwrap();

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the grain with this stored name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Returns the bucket that contains the day.
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
    /// Returns the length.
    pub fn grain(self) -> Grain {
        self.grain
    }

    /// Returns the first day.
    pub fn start(self) -> NaiveDate {
        self.start
    }

    /// Returns the day after the last day.
    pub fn end(self) -> NaiveDate {
        match self.grain {
            Grain::Day => self.start + Days::new(1),
            Grain::Week => self.start + Days::new(7),
            Grain::Month => self.start + Months::new(1),
        }
    }

    /// Returns the following bucket of the same grain.
    pub fn next(self) -> Bucket {
        Bucket { grain: self.grain, start: self.end() }
    }
}

/// A calendar month in UTC, written `YYYY-MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(NaiveDate);

impl Month {
    /// Returns the month that contains the day.
    pub fn of(day: NaiveDate) -> Self {
        Month(day.with_day(1).expect("every month has a first day"))
    }

    /// Returns the month before; `None` if a date cannot be that early.
    pub fn previous(self) -> Option<Self> {
        self.0.pred_opt().map(Month::of)
    }

    /// Parses `YYYY-MM`; `None` if the text is not a month.
    pub fn parse(text: &str) -> Option<Self> {
        let is_well_formed = text.len() == 7 && text.as_bytes()[4] == b'-';
        let day = is_well_formed.then(|| NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok());
        day.flatten().map(Month)
    }

    /// Returns the first day.
    pub fn first_day(self) -> NaiveDate {
        self.0
    }

    /// Returns the first day of the following month.
    pub fn end(self) -> NaiveDate {
        self.0 + Months::new(1)
    }

    /// Returns the number of days in the month.
    pub fn days(self) -> usize {
        (self.end() - self.0).num_days() as usize
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

/// Returns the start of the day, midnight UTC.
pub fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_hms_opt(0, 0, 0).expect("midnight exists on every day").and_utc()
}

/// A half-open span of UTC days: `[since, until)`, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    since: NaiveDate,
    until: NaiveDate,
}

/// The earliest day of a range.
pub const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(1970, 1, 1).expect("a valid date");
/// The latest `until` of a range.
pub const LAST_DAY: NaiveDate = NaiveDate::from_ymd_opt(9999, 1, 1).expect("a valid date");

/// A range split at the borders of a grain's buckets. The parts are adjacent and make up the range; an empty
/// part is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeSplit {
    /// The days before the first complete bucket; the entire range if it contains no complete bucket.
    pub head: Option<Range>,
    /// The complete buckets.
    pub aligned: Option<Range>,
    /// The days after the last complete bucket.
    pub tail: Option<Range>,
}

impl Range {
    /// Creates the range `[since, until)`; `None` if it would be empty.
    pub fn new(since: NaiveDate, until: NaiveDate) -> Option<Self> {
        (since < until).then_some(Range { since, until })
    }

    /// Returns the first day.
    pub fn since(self) -> NaiveDate {
        self.since
    }

    /// Returns the day after the last day.
    pub fn until(self) -> NaiveDate {
        self.until
    }

    /// Returns whether the day is in the range.
    pub fn contains(self, day: NaiveDate) -> bool {
        self.since <= day && day < self.until
    }

    /// Returns the buckets of the grain that overlap the range, in order.
    pub fn buckets(self, grain: Grain) -> impl Iterator<Item = Bucket> {
        std::iter::successors(Some(grain.bucket(self.since)), |bucket| Some(bucket.next()))
            .take_while(move |bucket| bucket.start() < self.until)
    }

    /// Returns the number of buckets of the grain that overlap the range, in constant time.
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

    /// Splits the range into complete buckets of the grain and the remaining days at both ends.
    pub fn split_by(self, grain: Grain) -> RangeSplit {
        let first_bucket = grain.bucket(self.since);
        let aligned_since = if first_bucket.start() == self.since { self.since } else { first_bucket.end() };
        let aligned_until = grain.bucket(self.until).start();
        match Range::new(aligned_since, aligned_until) {
            Some(aligned) => RangeSplit {
                head: Range::new(self.since, aligned_since),
                aligned: Some(aligned),
                tail: Range::new(aligned_until, self.until),
            },
            None => RangeSplit { head: Some(self), aligned: None, tail: None },
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
    fn stored_names_of_grains_do_not_change() {
        let names = Grain::ALL.map(Grain::as_str);
        assert_eq!(names, ["day", "week", "month"]);
        assert_eq!(names.map(Grain::parse), Grain::ALL.map(Some));
    }

    #[test]
    fn buckets_and_months_at_year_ends_and_leap_days() {
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
    fn an_empty_or_inverted_range_is_rejected() {
        assert!(Range::new(day("2024-01-02"), day("2024-01-02")).is_none());
        assert!(Range::new(day("2024-01-02"), day("2024-01-01")).is_none());
    }

    fn any_day() -> impl Strategy<Value = NaiveDate> {
        (0u64..40_000).prop_map(|offset| FIRST_DAY + Days::new(offset))
    }

    fn any_range() -> impl Strategy<Value = Range> {
        (any_day(), 1u64..1_000).prop_map(|(since, days)| Range::new(since, since + Days::new(days)).unwrap())
    }

    proptest! {
        #[test]
        fn a_bucket_contains_its_day_and_matches_chrono(d in any_day()) {
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
        fn buckets_cover_the_range_without_gaps(range in any_range()) {
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
        fn the_parts_of_a_split_make_up_the_range(range in any_range()) {
            for grain in Grain::ALL {
                let split = range.split_by(grain);
                let mut next_day = range.since();
                for part in [split.head, split.aligned, split.tail].into_iter().flatten() {
                    prop_assert_eq!(part.since(), next_day);
                    next_day = part.until();
                }
                prop_assert_eq!(next_day, range.until());
                if let Some(aligned) = split.aligned {
                    prop_assert_eq!(grain.bucket(aligned.since()).start(), aligned.since());
                    prop_assert_eq!(grain.bucket(aligned.until()).start(), aligned.until());
                }
            }
        }
    }
}
