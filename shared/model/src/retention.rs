//! How long the rows of sessions are kept.

use chrono::{DateTime, TimeDelta, Utc};

use crate::period::{Month, midnight};

/// How long an organization keeps the rows of sessions of coding agents: a number of days after the end of their month.
///
/// Rows are deleted by the month, never one by one. So a row is kept for up to a month longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    days: u32,
}

impl Retention {
    /// The fewest days. Classes of pull requests look back for less.
    pub const MIN_DAYS: u32 = 30;
    /// The most days: a hundred years.
    pub const MAX_DAYS: u32 = 36_500;

    /// Creates a retention of some days; `None` if they are fewer than [`Retention::MIN_DAYS`] or more than
    /// [`Retention::MAX_DAYS`].
    pub fn new(days: u32) -> Option<Self> {
        (Self::MIN_DAYS..=Self::MAX_DAYS).contains(&days).then_some(Retention { days })
    }

    /// Parses days, such as `400d`.
    ///
    /// # Errors
    /// If the text is not a number of days that is allowed. The message says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = text.strip_suffix('d').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|digits| digits.parse().ok()).and_then(Self::new).ok_or_else(|| {
            let (least, most) = (Self::MIN_DAYS, Self::MAX_DAYS);
            format!(
                "invalid retention {text:?} in [sessions]: write a number of days from {least} to {most}, such as \"400d\""
            )
        })
    }

    /// Returns the number of days.
    pub fn days(self) -> u32 {
        self.days
    }

    /// Returns the time, UTC, from which on the rows of a month are deleted.
    pub fn ends(self, month: Month) -> DateTime<Utc> {
        midnight(month.end()) + TimeDelta::days(self.days.into())
    }

    /// Returns whether the rows of the month are deleted at this time.
    pub fn is_over(self, month: Month, now: DateTime<Utc>) -> bool {
        self.ends(month) <= now
    }

    /// Returns the first month whose rows are kept at this time.
    pub fn first_kept_month(self, now: DateTime<Utc>) -> Month {
        // The rows of the month that contains this day are the first whose end is later.
        Month::of((now - TimeDelta::days(self.days.into())).date_naive())
    }
}

impl std::fmt::Display for Retention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}d", self.days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn days_are_parsed_and_others_are_refused() {
        assert_eq!(Retention::parse("400d").map(Retention::days), Ok(400));
        assert_eq!(Retention::parse("30d").unwrap().to_string(), "30d");
        for text in ["", "d", "400", "29d", "36501d", "-400d", "+400d", "1y", "400 d", "99999999999d", "4e2d"]
        {
            let error = Retention::parse(text).unwrap_err();
            assert!(error.contains(&format!("{text:?}")) && error.contains("\"400d\""), "{error}");
        }
    }

    #[test]
    fn a_month_is_over_when_its_end_is_longer_ago_than_the_retention() {
        let (retention, january) = (Retention::new(30).unwrap(), Month::parse("2026-01").unwrap());
        assert_eq!(retention.ends(january), time("2026-03-03T00:00:00Z"));
        assert!(!retention.is_over(january, time("2026-03-02T23:59:59Z")));
        assert!(retention.is_over(january, time("2026-03-03T00:00:00Z")));
    }

    #[test]
    fn the_first_kept_month_is_the_first_that_is_not_over() {
        let retention = Retention::new(45).unwrap();
        for hour in 0..24 * 800 {
            let now = time("2026-01-01T00:00:00Z") + TimeDelta::hours(hour);
            let first = retention.first_kept_month(now);
            assert!(!retention.is_over(first, now), "{now}");
            assert!(retention.is_over(first.previous().unwrap(), now), "{now}");
        }
    }
}
