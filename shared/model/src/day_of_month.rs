//! Days and weeks as the items of a month number them.

use chrono::{Days, NaiveDate};

use crate::period::Month;

/// A day of a month's items, by its number: 1 is the first day of the month.
///
/// Items belong to a UTC month, and their days are those of the organization's time zone. So 0 is the day before
/// the month, and the number after the last is the day after the month: both share hours with the UTC month in
/// some zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DayOfMonth(u8);

impl DayOfMonth {
    /// The greatest number: the day after a month of 31 days.
    pub const MAX_NUMBER: u8 = 32;

    /// Returns the day with this number; `None` if it is greater than [`DayOfMonth::MAX_NUMBER`].
    pub fn new(number: u8) -> Option<Self> {
        (number <= Self::MAX_NUMBER).then_some(DayOfMonth(number))
    }

    /// Returns the day of the month's items that is this date; `None` if the date is neither in the month nor
    /// next to it.
    pub fn from_date(date: NaiveDate, month: Month) -> Option<Self> {
        let number = (date - month.first_day()).num_days() + 1;
        let is_near = (0..=month.days() as i64 + 1).contains(&number);
        is_near.then_some(DayOfMonth(number as u8))
    }

    /// Returns the number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Returns the date in this month's items.
    pub fn date(self, month: Month) -> NaiveDate {
        match self.0 {
            0 => month.first_day() - Days::new(1),
            number => month.first_day() + Days::new(u64::from(number) - 1),
        }
    }

    /// Returns the week of the month whose breakdown has this day.
    pub fn week(self) -> WeekOfMonth {
        WeekOfMonth((self.0.saturating_sub(1) / 7).min(WeekOfMonth::COUNT - 1))
    }
}

/// Seven days of a month: the first week has the days up to 7, the second 8 to 14, the fifth all from 29 on.
/// These are no ISO weeks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WeekOfMonth(u8);

impl WeekOfMonth {
    /// The first week.
    pub const FIRST: WeekOfMonth = WeekOfMonth(0);
    /// Number of weeks in a month.
    pub const COUNT: u8 = 5;

    /// Returns the week with this number, from 0; `None` if there are fewer.
    pub fn new(number: u8) -> Option<Self> {
        (number < Self::COUNT).then_some(WeekOfMonth(number))
    }

    /// Returns all weeks, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(WeekOfMonth)
    }

    /// Returns the number, from 0.
    pub fn number(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_next_to_the_month_have_numbers() {
        let month = Month::parse("2024-02").unwrap();
        let day = |date: &str| DayOfMonth::from_date(date.parse().unwrap(), month);
        assert_eq!(day("2024-01-30"), None);
        assert_eq!(day("2024-03-02"), None);
        for (date, number, week) in
            [("2024-01-31", 0, 0), ("2024-02-01", 1, 0), ("2024-02-08", 8, 1), ("2024-03-01", 30, 4)]
        {
            let day = day(date).unwrap();
            assert_eq!((day.number(), day.week().number()), (number, week), "{date}");
            assert_eq!(day.date(month).to_string(), date);
        }
        assert_eq!(DayOfMonth::new(32).unwrap().week().number(), 4);
        assert_eq!(DayOfMonth::new(33), None);
        assert_eq!(WeekOfMonth::all().last(), WeekOfMonth::new(4));
        assert_eq!(WeekOfMonth::new(5), None);
    }
}
