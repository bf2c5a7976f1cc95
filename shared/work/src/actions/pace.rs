//! How fast an account writes to GitHub, and the circuit breaker.
//!
//! GitHub allows 80 requests that create content in a minute and 500 in an hour, counting what people do by hand with the
//! same account, and refuses issues earlier. The pace stays well below.

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::{Breaker, BreakerChange, BreakerRules};
use serde::{Deserialize, Serialize};

use super::action::Step;

/// Pause between two requests.
const MIN_PAUSE: TimeDelta = TimeDelta::seconds(3);
/// The most requests in an hour.
const MAX_HOURLY_REQUESTS: usize = 400;
/// The most issues in an hour.
const MAX_HOURLY_ISSUES: usize = 140;
/// When the breaker opens, and for how long.
const BREAKER: BreakerRules =
    BreakerRules { max_failures: 5, first_pause: TimeDelta::seconds(60), max_pause: TimeDelta::minutes(15) };

/// What an account wrote lately, and whether GitHub takes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pace {
    /// The times of requests of the last hour, in milliseconds since the Unix epoch.
    requests: Vec<i64>,
    /// The times of those that created issues.
    issues: Vec<i64>,
    /// Until when GitHub refuses requests, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limited_until: Option<DateTime<Utc>>,
    /// Whether GitHub takes requests.
    #[serde(flatten)]
    breaker: Breaker,
}

impl Pace {
    /// Returns when a request may be sent, and why not before. `None` if it may be sent now.
    pub(super) fn wait(&self, step: Step, now: DateTime<Utc>) -> Option<(DateTime<Utc>, &'static str)> {
        let at = |milliseconds: i64| DateTime::from_timestamp_millis(milliseconds).unwrap_or(now);
        let nth_newest = |times: &[i64], n: usize| times.len().checked_sub(n).map(|index| at(times[index]));
        let hour = TimeDelta::hours(1);
        let waits = [
            (self.breaker.open_until(), "GitHub fails at the moment"),
            (self.limited_until, "GitHub's secondary rate limit"),
            (self.requests.last().map(|last| at(*last) + MIN_PAUSE), "the pace of requests"),
            (
                nth_newest(&self.requests, MAX_HOURLY_REQUESTS).map(|it| it + hour),
                "the hourly pace of requests",
            ),
            (
                nth_newest(&self.issues, MAX_HOURLY_ISSUES)
                    .filter(|_| step == Step::Issue)
                    .map(|it| it + hour),
                "the hourly pace of issues",
            ),
        ];
        let waits = waits.into_iter().filter_map(|(until, why)| Some((until.filter(|it| *it > now)?, why)));
        waits.max_by_key(|(until, _)| *until)
    }

    /// Records that a request is about to be sent. If the breaker was open, the request is its probe: others wait until
    /// `lease_until`, or until its answer.
    pub(super) fn record_request(&mut self, step: Step, lease_until: DateTime<Utc>, now: DateTime<Utc>) {
        let hour_ago = (now - TimeDelta::hours(1)).timestamp_millis();
        self.requests.retain(|time| *time > hour_ago);
        self.issues.retain(|time| *time > hour_ago);
        self.requests.push(now.timestamp_millis());
        if step == Step::Issue {
            self.issues.push(now.timestamp_millis());
        }
        self.breaker.begin_probe(lease_until);
    }

    /// Records a refusal by a rate limit.
    pub(super) fn record_limit(&mut self, until: DateTime<Utc>) {
        self.limited_until = Some(self.limited_until.map_or(until, |old| old.max(until)));
    }

    /// Records that GitHub answered, whatever it answered.
    pub(super) fn record_answer(&mut self) -> BreakerChange {
        self.breaker.record_success()
    }

    /// Records that GitHub failed or could not be reached.
    pub(super) fn record_failure(&mut self, now: DateTime<Utc>) -> BreakerChange {
        self.breaker.record_failure(&BREAKER, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-01T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn requests_are_spaced_and_counted_by_the_hour() {
        let mut pace = Pace::default();
        let mut time = now();
        for sent in 0..MAX_HOURLY_ISSUES {
            if let Some((until, _)) = pace.wait(Step::Issue, time) {
                assert_eq!(until, time + MIN_PAUSE, "{sent}");
                time = until;
            }
            pace.record_request(Step::Issue, time, time);
        }
        time += MIN_PAUSE;
        let (until, why) = pace.wait(Step::Issue, time).unwrap();
        assert_eq!((until, why), (now() + TimeDelta::hours(1), "the hourly pace of issues"));
        assert_eq!(pace.wait(Step::Merge, time), None);
        assert_eq!(pace.wait(Step::Issue, until), None);
    }

    #[test]
    fn the_breaker_opens_once_and_lets_one_probe_through() {
        let mut pace = Pace::default();
        let failures: Vec<BreakerChange> =
            (0..BREAKER.max_failures).map(|_| pace.record_failure(now())).collect();
        assert_eq!(failures.iter().filter(|it| **it == BreakerChange::Opened).count(), 1);
        let (until, _) = pace.wait(Step::Issue, now()).unwrap();
        assert_eq!(until, now() + BREAKER.first_pause);
        assert_eq!(pace.wait(Step::Issue, until), None, "the probe");
        let lease = until + TimeDelta::seconds(60);
        pace.record_request(Step::Issue, lease, until);
        assert_eq!(pace.wait(Step::Issue, until + MIN_PAUSE).map(|it| it.0), Some(lease), "others wait");
        assert_eq!(pace.record_failure(until), BreakerChange::None, "reported once");
        assert_eq!(pace.wait(Step::Issue, until).map(|it| it.0), Some(until + BREAKER.first_pause * 2));
        assert_eq!(pace.record_answer(), BreakerChange::Closed);
        assert_eq!(pace.wait(Step::Issue, until + MIN_PAUSE), None);
        assert_eq!(pace.record_answer(), BreakerChange::None);
    }
}
