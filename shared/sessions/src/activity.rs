//! Active time: the time between two lines, if it is at most [`MAX_GAP_MS`].

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use gam_model::session_event::ActiveQuarter;

/// The longest time between two lines that counts as active, in milliseconds: five minutes.
pub(crate) const MAX_GAP_MS: i64 = 5 * 60 * 1000;

const QUARTER_MS: i64 = 15 * 60 * 1000;

/// The active time of one session, by quarter of an hour.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// The latest line, in epoch milliseconds.
    previous: Option<i64>,
    /// Active milliseconds by the number of the quarter since the epoch.
    quarters: BTreeMap<i64, i64>,
}

impl Activity {
    /// Adds a line. A line that is a little older than the one before was written late and changes nothing. One that
    /// is much older shows that the clock was set back: counting goes on from there.
    pub(crate) fn add(&mut self, at: DateTime<Utc>) {
        let at = at.timestamp_millis();
        let previous = self.previous.unwrap_or(at);
        if (0..=MAX_GAP_MS).contains(&(previous - at)) {
            self.previous = Some(previous);
            return;
        }
        self.previous = Some(at);
        if !(0..=MAX_GAP_MS).contains(&(at - previous)) {
            return;
        }
        let mut from = previous;
        while from < at {
            let quarter = from.div_euclid(QUARTER_MS);
            let until = at.min((quarter + 1) * QUARTER_MS);
            let active = self.quarters.entry(quarter).or_default();
            // A clock that was set back passes the same quarter twice.
            *active = (*active + until - from).min(QUARTER_MS);
            from = until;
        }
    }

    /// Returns the quarters of the UTC day with active time, in order of time.
    pub(crate) fn of_day(&self, day: NaiveDate) -> Vec<ActiveQuarter> {
        let first = gam_model::period::midnight(day).timestamp_millis().div_euclid(QUARTER_MS);
        self.quarters
            .range(first..first + 96)
            .filter_map(|(quarter, active_ms)| {
                let at = DateTime::from_timestamp_millis(quarter * QUARTER_MS)?;
                Some(ActiveQuarter { at, active_ms: *active_ms })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the active seconds of the quarters that begin at these seconds after midnight.
    fn quarters(seconds: &[i64]) -> Vec<(i64, i64)> {
        let day = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
        let midnight = gam_model::period::midnight(day).timestamp();
        let mut activity = Activity::default();
        for second in seconds {
            activity.add(DateTime::from_timestamp(midnight + second, 0).unwrap());
        }
        let quarters = activity.of_day(day);
        quarters.iter().map(|quarter| (quarter.at.timestamp() - midnight, quarter.active_ms / 1000)).collect()
    }

    #[test]
    fn gaps_up_to_five_minutes_are_active() {
        assert_eq!(quarters(&[0, 300, 601, 700]), [(0, 300 + 99)]);
        assert_eq!(quarters(&[0]), []);
    }

    #[test]
    fn active_time_is_split_by_quarter_and_day() {
        assert_eq!(quarters(&[800, 1000]), [(0, 100), (900, 100)]);
        assert_eq!(quarters(&[-100, 50]), [(0, 50)], "what was before midnight is in the day before");
    }

    #[test]
    fn a_clock_that_jumps_back_adds_nothing() {
        assert_eq!(quarters(&[100, 110, 108, 120]), [(0, 20)], "a line that was written late");
        assert_eq!(quarters(&[5000, 5010, 100, 130]), [(0, 30), (4500, 10)]);
        assert_eq!(quarters(&[7200, 100]), []);
    }
}
