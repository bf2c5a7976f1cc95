//! Keeping to GitHub's limits: the primary ones of REST and GraphQL, each with its own points and
//! reset, and the secondary one, which stops both.
//!
//! No call starts while a limit is known to be hit, or while the points at hand are reserved by
//! calls in flight. GitHub's clock tells when a limit is reset, as the difference between the reset
//! time and the response's `Date`; where a server has no limits (Enterprise Server by default), none
//! are kept. See <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::client::Wait;
use crate::error::Error;

/// Which of GitHub's budgets a call draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Rest,
    GraphQl,
}

#[derive(Debug, Default)]
struct Budget {
    /// Points left, as last told; unknown at first and after a reset.
    remaining: Option<u64>,
    /// Points an hour, as last told.
    limit: Option<u64>,
    /// Points that are not to be used: those past the share that the run may use up.
    kept: u64,
    reset: Option<(Instant, DateTime<Utc>)>,
    reserved: u64,
    /// GitHub has refused a call until then.
    blocked: Option<(Instant, DateTime<Utc>)>,
    why: String,
}

impl Budget {
    /// Whether a call of that cost would use points that are to be kept.
    fn is_past_share(&self, cost: u64) -> bool {
        self.kept > 0 && self.remaining.is_some_and(|left| left < self.kept + self.reserved + cost)
    }

    /// Until when no call of that cost may start; `None` where it may start now.
    fn hold(&mut self, cost: u64, now: Instant) -> Option<(Instant, DateTime<Utc>)> {
        self.blocked = self.blocked.filter(|(at, _)| *at > now);
        if self.reset.is_some_and(|(at, _)| at <= now) {
            (self.reset, self.remaining) = (None, None);
        }
        let short = self.remaining.is_some_and(|left| left < self.kept + self.reserved + cost);
        self.blocked.or(if short { self.reset } else { None })
    }
}

#[derive(Debug, Default)]
struct State {
    rest: Budget,
    graphql: Budget,
    /// Both are stopped by a secondary limit until then.
    secondary: Option<(Instant, DateTime<Utc>)>,
}

impl State {
    fn budget(&mut self, resource: Resource) -> &mut Budget {
        match resource {
            Resource::Rest => &mut self.rest,
            Resource::GraphQl => &mut self.graphql,
        }
    }
}

/// From when on no call starts, for all accounts of a host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<Mutex<Option<Instant>>>);

impl Stop {
    pub(crate) fn set(&self, at: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn at(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limits of one account.
pub(crate) struct Limits {
    state: Mutex<State>,
    stop: Stop,
    released: Notify,
    max_wait: Duration,
    budget: Option<f64>,
    waits: watch::Sender<Option<Wait>>,
}

/// What is taken to be left of an account while the first answer that tells is awaited.
const UNKNOWN: u64 = 1_000;

/// How a call would fare; the least of several is the best account for it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Outlook {
    past_share: bool,
    waits_until: Option<Instant>,
    left: std::cmp::Reverse<u64>,
}

/// Points reserved for a call in flight; given back when it is dropped.
pub(crate) struct Reservation<'a> {
    limits: &'a Limits,
    resource: Resource,
    cost: u64,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.limits.lock().budget(self.resource).reserved -= self.cost;
        self.limits.released.notify_waiters();
    }
}

/// What a response's headers say of the limits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) date: Option<DateTime<Utc>>,
    limit: Option<u64>,
    remaining: Option<u64>,
    reset: Option<DateTime<Utc>>,
    retry_after: Option<u64>,
}

impl Told {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|value| value.trim().parse::<u64>().ok());
        Told {
            date: text("date").and_then(|d| DateTime::parse_from_rfc2822(d).ok()).map(|d| d.to_utc()),
            limit: number("x-ratelimit-limit"),
            remaining: number("x-ratelimit-remaining"),
            reset: number("x-ratelimit-reset").and_then(|at| DateTime::from_timestamp(at as i64, 0)),
            retry_after: number("retry-after"),
        }
    }

    /// Whether the primary limit is used up.
    pub(crate) fn is_used_up(&self) -> bool {
        self.remaining == Some(0) && self.limit.is_some_and(|limit| limit > 0)
    }

    /// Whether GitHub says when to try again.
    pub(crate) fn says_when(&self) -> bool {
        self.retry_after.is_some()
    }

    /// When the limit is reset; a second is added because GitHub tells whole seconds.
    fn reset_at(&self) -> Option<(Instant, DateTime<Utc>)> {
        let (date, reset) = (self.date?, self.reset?);
        let wait = (reset - date).max(TimeDelta::zero()) + TimeDelta::seconds(1);
        Some((Instant::now() + wait.to_std().unwrap_or_default(), reset))
    }

    fn after(&self, wait: Duration) -> (Instant, DateTime<Utc>) {
        let date = self.date.unwrap_or(DateTime::UNIX_EPOCH);
        (Instant::now() + wait, date + TimeDelta::from_std(wait).unwrap_or_default())
    }
}

impl Limits {
    /// Keeps to an account's limits; whenever a call waits for them, `waits` tells.
    pub(crate) fn new(
        max_wait: Duration,
        budget: Option<f64>,
        waits: watch::Sender<Option<Wait>>,
        stop: Stop,
    ) -> Self {
        Limits { state: Mutex::default(), stop, released: Notify::new(), max_wait, budget, waits }
    }

    /// How a call of that cost would fare now.
    pub(crate) fn outlook(&self, resource: Resource, cost: u64) -> Outlook {
        let mut state = self.lock();
        let now = Instant::now();
        let secondary = state.secondary.filter(|(at, _)| *at > now);
        let budget = state.budget(resource);
        let held = secondary.or(budget.hold(cost, now));
        // Of what nothing is known yet one call finds out, and others take what is known meanwhile.
        let unknown = if budget.reserved == 0 { u64::MAX } else { UNKNOWN };
        let left = budget.remaining.unwrap_or(unknown).saturating_sub(budget.reserved);
        Outlook {
            past_share: budget.is_past_share(cost),
            waits_until: held.map(|(at, _)| at),
            left: std::cmp::Reverse(left),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a call of that cost may start, and reserves its points.
    pub(crate) async fn reserve(&self, resource: Resource, cost: u64) -> Result<Reservation<'_>, Error> {
        let mut waited = false;
        loop {
            let released = self.released.notified();
            let (until, why, in_flight, past_share) = {
                let mut state = self.lock();
                let now = Instant::now();
                if self.stop.at().is_some_and(|at| at <= now) {
                    return Err(out_of_time());
                }
                state.secondary = state.secondary.filter(|(at, _)| *at > now);
                let secondary = state.secondary;
                let budget = state.budget(resource);
                match secondary.or_else(|| budget.hold(cost, now)) {
                    None => {
                        budget.reserved += cost;
                        if waited {
                            self.waits.send_replace(None);
                        }
                        return Ok(Reservation { limits: self, resource, cost });
                    }
                    Some(until) => {
                        (until, budget.why.clone(), budget.reserved > 0, budget.is_past_share(cost))
                    }
                }
            };
            let wait = until.0.saturating_duration_since(Instant::now());
            if past_share {
                let why = "the share of it that this run may use".to_owned();
                return Err(Error::Limited { until: Some(until.1), why });
            }
            if wait > self.max_wait || self.stop.at().is_some_and(|ends| until.0 >= ends) {
                return Err(Error::Limited { until: Some(until.1), why });
            }
            waited = true;
            self.waits.send_replace(Some(Wait { until: until.1, why }));
            tokio::select! {
                () = tokio::time::sleep_until(until.0) => {}
                // A call in flight may give points back.
                () = released, if in_flight => {}
            }
        }
    }

    /// The share of the limits that is left, 0 to 1: of that limit of which less is left. `None` where
    /// none is known.
    pub(crate) fn share_left(&self) -> Option<f64> {
        let state = self.lock();
        let left = |budget: &Budget| {
            Some(budget.remaining? as f64 / budget.limit.filter(|limit| *limit > 0)? as f64)
        };
        [&state.rest, &state.graphql].into_iter().filter_map(left).reduce(f64::min)
    }

    /// Takes note of what a response says. Of answers that overtake each other the smaller remainder
    /// of one window is the later.
    pub(crate) fn note(&self, resource: Resource, told: &Told) {
        let mut state = self.lock();
        let budget = state.budget(resource);
        let limit = told.limit.unwrap_or(0);
        if limit == 0 {
            return;
        }
        budget.limit = Some(limit);
        budget.kept = self.budget.map_or(0, |share| (limit as f64 * (1.0 - share)).round() as u64);
        let Some(reset) = told.reset_at() else { return };
        let same_window = budget.reset.is_some_and(|(_, at)| at == reset.1);
        budget.remaining = match (budget.remaining, told.remaining) {
            (Some(old), Some(new)) if same_window => Some(old.min(new)),
            (_, new) => new,
        };
        budget.reset = Some(reset);
        budget.why = "the hourly limit is used up".to_owned();
    }

    /// Whether a refusal keeps every call of the resource from starting.
    pub(crate) fn is_blocked(&self, resource: Resource) -> bool {
        let mut state = self.lock();
        let now = Instant::now();
        let secondary = state.secondary;
        secondary.or(state.budget(resource).blocked).is_some_and(|(at, _)| at > now)
    }

    /// GitHub has refused a call because the primary limit is used up; until when, if it says so.
    pub(crate) fn block(&self, resource: Resource, told: &Told, why: &str) -> Option<DateTime<Utc>> {
        let after = told.retry_after.map(|seconds| told.after(Duration::from_secs(seconds)));
        let until = after.or_else(|| told.reset_at()).unwrap_or_else(|| told.after(Duration::from_secs(60)));
        let mut state = self.lock();
        let budget = state.budget(resource);
        budget.blocked = budget.blocked.max(Some(until));
        budget.why = why.to_owned();
        told.date.map(|_| until.1)
    }

    /// GitHub has refused a call because of a secondary limit, for the `tries`-th time in a row; until
    /// when, if it says so.
    pub(crate) fn block_all(&self, told: &Told, tries: u32, why: &str) -> Option<DateTime<Utc>> {
        let wait = told.retry_after.unwrap_or_else(|| 60 << tries.min(4));
        let until = told.after(Duration::from_secs(wait));
        let mut state = self.lock();
        state.secondary = state.secondary.max(Some(until));
        why.clone_into(&mut state.rest.why);
        why.clone_into(&mut state.graphql.why);
        told.date.map(|_| until.1)
    }
}

fn out_of_time() -> Error {
    Error::Limited { until: None, why: "the time for this run is over".to_owned() }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn told(pairs: &[(&'static str, &str)]) -> Told {
        let headers: HeaderMap =
            pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        Told::of(&headers)
    }

    const DATE: &str = "Sun, 22 Nov 2026 19:49:10 GMT";
    /// Ten seconds after `DATE`.
    const RESET: &str = "1795376960";

    fn hourly(limit: &str, remaining: &str) -> Told {
        told(&[
            ("date", DATE),
            ("x-ratelimit-limit", limit),
            ("x-ratelimit-remaining", remaining),
            ("x-ratelimit-reset", RESET),
        ])
    }

    async fn starts_after(limits: &Limits, resource: Resource, cost: u64) -> Duration {
        let before = Instant::now();
        drop(limits.reserve(resource, cost).await.expect("within the longest wait"));
        before.elapsed()
    }

    fn limits() -> Limits {
        Limits::new(Duration::from_secs(3600), None, watch::Sender::new(None), Stop::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_used_up_limit_is_waited_for_by_githubs_clock() {
        let limits = limits();
        limits.note(Resource::GraphQl, &hourly("5000", "1"));
        assert!(starts_after(&limits, Resource::Rest, 1).await.is_zero(), "REST has a limit of its own");
        assert!(starts_after(&limits, Resource::GraphQl, 1).await.is_zero());
        assert_eq!(starts_after(&limits, Resource::GraphQl, 2).await.as_secs(), 11);
        assert!(
            starts_after(&limits, Resource::GraphQl, 9).await.is_zero(),
            "after the reset nothing is known"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn points_reserved_by_calls_in_flight_are_not_given_twice() {
        let limits = limits();
        limits.note(Resource::GraphQl, &hourly("5000", "3"));
        let held = limits.reserve(Resource::GraphQl, 2).await.unwrap();
        let second = async { starts_after(&limits, Resource::GraphQl, 2).await };
        let release = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            drop(held);
        };
        let (waited, ()) = tokio::join!(second, release);
        assert_eq!(waited.as_secs(), 4, "until the call in flight gave them back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_without_limits_is_not_waited_for() {
        let limits = limits();
        limits.note(Resource::GraphQl, &hourly("0", "0"));
        limits.note(Resource::GraphQl, &told(&[("date", DATE)]));
        assert!(starts_after(&limits, Resource::GraphQl, 50).await.is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn a_secondary_limit_stops_both_and_grows_where_no_time_is_told() {
        let limits = limits();
        limits.block_all(&told(&[("date", DATE), ("retry-after", "7")]), 0, "slow down");
        assert_eq!(starts_after(&limits, Resource::Rest, 1).await.as_secs(), 7);
        limits.block_all(&told(&[("date", DATE)]), 0, "slow down");
        assert_eq!(starts_after(&limits, Resource::GraphQl, 1).await.as_secs(), 60);
        limits.block_all(&told(&[("date", DATE)]), 1, "slow down");
        assert_eq!(starts_after(&limits, Resource::GraphQl, 1).await.as_secs(), 120);
    }

    #[tokio::test(start_paused = true)]
    async fn no_call_starts_once_the_time_is_over() {
        let limits = limits();
        limits.stop.set(Some(Instant::now() + Duration::from_secs(5)));
        assert!(starts_after(&limits, Resource::Rest, 1).await.is_zero());
        tokio::time::advance(Duration::from_secs(5)).await;
        let stopped = limits.reserve(Resource::Rest, 1).await.err();
        assert!(matches!(stopped, Some(Error::Limited { until: None, .. })), "{stopped:?}");
        limits.stop.set(None);
        assert!(starts_after(&limits, Resource::Rest, 1).await.is_zero());
    }

    #[test]
    fn the_share_left_is_that_of_the_smaller_limit() {
        let limits = limits();
        assert_eq!(limits.share_left(), None);
        limits.note(Resource::Rest, &hourly("5000", "4000"));
        limits.note(Resource::GraphQl, &hourly("1000", "250"));
        assert_eq!(limits.share_left(), Some(0.25));
    }

    #[tokio::test(start_paused = true)]
    async fn past_the_longest_wait_or_the_share_the_run_stops() {
        let impatient = Limits::new(Duration::from_secs(5), None, watch::Sender::new(None), Stop::default());
        impatient.note(Resource::GraphQl, &hourly("5000", "0"));
        let stopped = impatient.reserve(Resource::GraphQl, 1).await.err();
        assert!(matches!(stopped, Some(Error::Limited { until: Some(_), .. })), "{stopped:?}");

        let frugal =
            Limits::new(Duration::from_secs(3600), Some(0.6), watch::Sender::new(None), Stop::default());
        frugal.note(Resource::GraphQl, &hourly("5000", "2001"));
        assert!(starts_after(&frugal, Resource::GraphQl, 1).await.is_zero());
        let stopped = frugal.reserve(Resource::GraphQl, 2).await.err();
        assert!(matches!(stopped, Some(Error::Limited { until: Some(_), .. })), "{stopped:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_accounts_the_one_with_most_left_fares_best() {
        let (a, b) = (limits(), limits());
        let best = |cost| a.outlook(Resource::GraphQl, cost) < b.outlook(Resource::GraphQl, cost);
        a.note(Resource::GraphQl, &hourly("5000", "40"));
        assert!(!best(1), "nothing is known of the other, so all is left of it");
        b.note(Resource::GraphQl, &hourly("5000", "30"));
        assert!(best(1));
        let _held = a.reserve(Resource::GraphQl, 20).await.unwrap();
        assert!(!best(1), "what calls in flight may use is not left");
        assert!(!best(35), "both would wait, and the other has more");
        b.block_all(&told(&[("date", DATE), ("retry-after", "3")]), 0, "slow down");
        assert!(best(1), "that one need not wait");
    }
}
