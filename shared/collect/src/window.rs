//! The days that a run reads.
//!
//! A [`RequestedDays`] holds the checked `since` and `until` of a request. Together with the organization's
//! checkpoint it resolves to a [`CollectionWindow`], which decides for each list where to start reading.
//!
//! The checkpoint remembers the earliest day that was ever requested for the complete organization, or the
//! default of the first run. That has these consequences:
//!
//! - A repository that is read for the first time is read from that day or `since` on, whichever is earlier.
//! - A run without `since` reads each list back to that day, if it is not covered that far: an earlier run
//!   may have been stopped before it got there. So after `collect --since 2015-01-01 --until 2015-02-01` a
//!   plain `collect` reads everything since 2015.
//! - The day never moves forward: a later `since` does not shorten what is read.
//! - A run that is limited to some repositories uses the day, but does not change it.

use chrono::{DateTime, Days, NaiveDate, Utc};
use gam_model::period::midnight;

use crate::{CollectError, CollectRequest};

/// How many days back the first run reads if the request has no `since`.
const FIRST_RUN_DAYS: u64 = 90;

/// Checks that the days of a request are in order and that `since` is not in the future. All days are UTC;
/// `until` is exclusive.
///
/// # Errors
/// [`CollectError::Invalid`] if `since` is after `today`, or not before `until`.
pub fn check_days(
    since: Option<NaiveDate>,
    until: Option<NaiveDate>,
    today: NaiveDate,
) -> Result<(), CollectError> {
    match (since, until) {
        (Some(since), _) if since > today => Err(CollectError::Invalid(format!(
            "--since {since} is in the future: today is {today}, give an earlier day"
        ))),
        (Some(since), Some(until)) if since >= until => Err(CollectError::Invalid(format!(
            "--since ({since}) must be before --until ({until}); --until is exclusive"
        ))),
        _ => Ok(()),
    }
}

/// The checked days of a request, as times. They become a [`CollectionWindow`] once the organization's
/// checkpoint is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestedDays {
    /// The beginning of the first day, UTC; `None` if the request has no `since`.
    since: Option<DateTime<Utc>>,
    /// The end of the last day, UTC, exclusive; `None` for everything up to now.
    until: Option<DateTime<Utc>>,
    /// Where a first run without `since` starts, UTC.
    default_since: DateTime<Utc>,
}

impl RequestedDays {
    /// Checks the days of a request.
    ///
    /// # Errors
    /// As [`check_days`].
    pub(crate) fn from_request(request: &CollectRequest, now: DateTime<Utc>) -> Result<Self, CollectError> {
        let today = now.date_naive();
        check_days(request.since, request.until, today)?;
        let last_day = request.until.map_or(today, |until| until.min(today));
        Ok(RequestedDays {
            since: request.since.map(midnight),
            until: request.until.map(midnight),
            default_since: midnight(last_day - Days::new(FIRST_RUN_DAYS)),
        })
    }

    /// Returns the earliest day requested now or by an earlier run, or else the default of the first run.
    pub(crate) fn earliest(&self, remembered: Option<DateTime<Utc>>) -> DateTime<Utc> {
        remembered.into_iter().chain(self.since).min().unwrap_or(self.default_since)
    }
}

/// The days that a run reads, resolved from the request and from what earlier runs requested.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CollectionWindow {
    /// The `since` of the request, UTC.
    requested_since: Option<DateTime<Utc>>,
    /// The earliest day that earlier runs requested for all repositories, UTC.
    remembered_since: Option<DateTime<Utc>>,
    /// Where a list that was never read starts, UTC.
    first_start: DateTime<Utc>,
    /// The `until` of the request, UTC, exclusive; `None` for everything up to now.
    until: Option<DateTime<Utc>>,
}

impl CollectionWindow {
    /// Resolves the window. `remembered` is the earliest day that earlier runs requested for all
    /// repositories, from the organization's checkpoint.
    pub(crate) fn resolve(days: &RequestedDays, remembered: Option<DateTime<Utc>>) -> Self {
        CollectionWindow {
            requested_since: days.since,
            remembered_since: remembered,
            first_start: days.earliest(remembered),
            until: days.until,
        }
    }

    /// Returns the window of reading the requested days again. `remembered` is as for
    /// [`CollectionWindow::resolve`].
    pub(crate) fn again(days: &RequestedDays, remembered: Option<DateTime<Utc>>) -> Self {
        let first_start = days.since.unwrap_or_else(|| days.earliest(remembered));
        CollectionWindow { first_start, ..Self::resolve(days, remembered) }
    }

    /// Returns where a list that was never read starts, UTC.
    pub(crate) fn first_start(&self) -> DateTime<Utc> {
        self.first_start
    }

    /// Returns the time from which a list must be covered after this run. `covered_from` is the time from which
    /// it is covered so far; `None` if it was never read.
    pub(crate) fn start_for(&self, covered_from: Option<DateTime<Utc>>) -> DateTime<Utc> {
        match (covered_from, self.requested_since) {
            (None, _) => self.first_start,
            (Some(_), Some(since)) => since,
            (Some(covered_from), None) => {
                self.remembered_since.map_or(covered_from, |day| covered_from.min(day))
            }
        }
    }

    /// Returns whether a list is covered from the start of the window on already. `covered_from` is as for
    /// [`CollectionWindow::start_for`].
    pub(crate) fn is_covered(&self, covered_from: Option<DateTime<Utc>>) -> bool {
        covered_from.is_some_and(|at| at <= self.start_for(covered_from))
    }

    /// Returns the end of the window, UTC, exclusive; `None` for everything up to now.
    pub(crate) fn until(&self) -> Option<DateTime<Utc>> {
        self.until
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(day * 86_400, 0).expect("a time")
    }

    /// A window of days since the epoch, whose default is day 90.
    pub(crate) fn window(since: Option<i64>, remembered: Option<i64>) -> CollectionWindow {
        let days = RequestedDays { since: since.map(at), until: None, default_since: at(90) };
        CollectionWindow::resolve(&days, remembered.map(at))
    }

    #[test]
    fn unread_lists_start_at_the_earliest_day_ever_requested() {
        assert_eq!(window(None, None).start_for(None), at(90));
        assert_eq!(window(Some(60), None).start_for(None), at(60));
        assert_eq!(window(Some(60), Some(10)).start_for(None), at(10));
        assert_eq!(window(Some(5), Some(10)).start_for(None), at(5));
        assert_eq!(window(None, Some(10)).start_for(None), at(10));
    }

    #[test]
    fn read_lists_are_extended_to_the_requested_or_remembered_day() {
        let covered = Some(at(20));
        assert_eq!(window(Some(60), Some(10)).start_for(covered), at(60), "it is covered from day 20 on");
        assert_eq!(window(None, Some(10)).start_for(covered), at(10), "requested before, and not read here");
        assert_eq!(window(None, Some(20)).start_for(Some(at(10))), at(10));
        assert_eq!(window(None, None).start_for(Some(at(95))), at(95), "only this repository was requested");
    }

    #[test]
    fn reading_again_starts_at_the_requested_day_or_at_the_earliest_one() {
        let again = |since: Option<i64>, remembered: Option<i64>| {
            let days = RequestedDays { since: since.map(at), until: None, default_since: at(90) };
            CollectionWindow::again(&days, remembered.map(at)).start_for(None)
        };
        assert_eq!(again(Some(60), Some(10)), at(60), "not what was requested before");
        assert_eq!(again(None, Some(10)), at(10));
        assert_eq!(again(None, None), at(90));
    }

    #[test]
    fn a_list_is_covered_if_it_was_read_from_the_start_on() {
        assert!(!window(None, None).is_covered(None));
        assert!(window(Some(60), None).is_covered(Some(at(60))));
        assert!(!window(Some(60), None).is_covered(Some(at(61))));
        assert!(window(None, None).is_covered(Some(at(95))));
        assert!(!window(None, Some(10)).is_covered(Some(at(20))));
    }

    #[test]
    fn days_must_be_in_order_and_not_in_the_future() {
        let day = |text: &str| Some(text.parse::<NaiveDate>().unwrap());
        let today = day("2026-05-10").unwrap();
        for (since, until) in [
            (None, None),
            (day("2026-05-10"), None),
            (day("2026-05-10"), day("2027-01-01")),
            (None, day("2020-01-01")),
        ] {
            check_days(since, until, today).unwrap();
        }
        let error = |since, until| check_days(since, until, today).unwrap_err().to_string();
        assert!(error(day("2026-05-11"), None).contains("in the future"));
        assert!(error(day("2026-05-02"), day("2026-05-02")).contains("must be before --until"));
    }

    #[test]
    fn the_first_run_reads_90_days_up_to_today_or_until() {
        let now = "2026-05-10T12:00:00Z".parse().unwrap();
        let start = |until: Option<&str>| {
            let until = until.map(|day| day.parse().unwrap());
            let request = CollectRequest { until, ..CollectRequest::default() };
            RequestedDays::from_request(&request, now).unwrap().earliest(None).date_naive().to_string()
        };
        assert_eq!(start(None), "2026-02-09");
        assert_eq!(start(Some("2026-04-11")), "2026-01-11");
        assert_eq!(start(Some("2026-06-01")), "2026-02-09");
    }
}
