//! Keeping to GitHub's limits: the primary ones of REST and GraphQL, each with its own points and
//! reset, and the secondary one, which stops both.
//!
//! No call starts while a limit is known to be hit, or while the points at hand are reserved by other
//! calls: those are waited for, because they may give points back. GitHub's clock tells when a limit is
//! reset, as the difference between the reset time and the response's `Date`; where a server has no
//! limits (Enterprise Server by default), none are kept. See <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

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

/// A moment, by this machine's clock and by GitHub's.
type Moment = (Instant, DateTime<Utc>);

/// GitHub has refused a call, and refuses others until then.
#[derive(Debug, Clone)]
struct Refused {
    until: Moment,
    why: String,
}

impl Refused {
    /// Takes note of a refusal: of several the one that lasts longest counts.
    fn put(known: &mut Option<Refused>, until: Moment, why: &str) {
        if known.as_ref().is_none_or(|known| known.until < until) {
            *known = Some(Refused { until, why: why.to_owned() });
        }
    }

    fn lasts(&self, now: Instant) -> bool {
        self.until.0 > now
    }
}

/// Why a call may not start yet.
#[derive(Debug, PartialEq, Eq)]
enum Hold {
    /// There are points enough, but other calls have reserved them, and may give them back before the
    /// limit is reset at that moment.
    Reserved(Moment),
    /// The share that the run may use is used up; the limit is reset at that moment.
    PastShare(Moment),
    /// GitHub lets no call of that cost through before that moment; and why.
    Limited(Moment, String),
}

#[derive(Debug, Default)]
struct Budget {
    /// Points left, as last told; unknown at first and after a reset.
    remaining: Option<u64>,
    /// Points an hour, as last told.
    limit: Option<u64>,
    /// Points that are not to be used: those past the share that the run may use up.
    kept: u64,
    reset: Option<Moment>,
    reserved: u64,
    /// The primary limit was hit.
    blocked: Option<Refused>,
}

impl Budget {
    /// Why no call of that cost may start; `None` where it may start now.
    fn hold(&mut self, cost: u64, now: Instant) -> Option<Hold> {
        self.blocked = self.blocked.take().filter(|blocked| blocked.lasts(now));
        if self.reset.is_some_and(|(at, _)| at <= now) {
            (self.reset, self.remaining) = (None, None);
        }
        let known = self.remaining.zip(self.reset);
        let short = |reserved: u64| known.filter(|(left, _)| *left < self.kept + reserved + cost);
        // The share is used up after a refusal as well as before.
        if self.kept > 0
            && let Some((_, reset)) = short(0)
        {
            return Some(Hold::PastShare(reset));
        }
        if let Some(Refused { until, why }) = &self.blocked {
            return Some(Hold::Limited(*until, why.clone()));
        }
        match (short(0), short(self.reserved)) {
            (Some((_, reset)), _) => Some(Hold::Limited(reset, HOURLY.to_owned())),
            (None, Some((_, reset))) => Some(Hold::Reserved(reset)),
            (None, None) => None,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    rest: Budget,
    graphql: Budget,
    /// A secondary limit was hit, which stops both.
    secondary: Option<Refused>,
}

impl State {
    fn budget(&mut self, resource: Resource) -> &mut Budget {
        match resource {
            Resource::Rest => &mut self.rest,
            Resource::GraphQl => &mut self.graphql,
        }
    }

    /// Why no call of that cost may start; `None` where it may start now.
    fn hold(&mut self, resource: Resource, cost: u64, now: Instant) -> Option<Hold> {
        self.secondary = self.secondary.take().filter(|secondary| secondary.lasts(now));
        let secondary = self.secondary.clone().map(|Refused { until, why }| Hold::Limited(until, why));
        match self.budget(resource).hold(cost, now) {
            past @ Some(Hold::PastShare(_)) => past,
            hold => secondary.or(hold),
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

/// The longest that a server's wish to be left alone is taken at its word, in seconds.
const LONGEST_S: u64 = 86_400;
/// What is taken to be left of an account while the first answer that tells is awaited.
const UNKNOWN: u64 = 1_000;
/// Why a run waits or stops, where GitHub has not said so in its own words.
const HOURLY: &str = "the hourly limit is used up";
const SHARE: &str = "the share of the hourly limit that this run may use";
const SECONDARY: &str = "a secondary limit, for too much at once";

/// For what a call would have to wait, the better first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Delay {
    Nothing,
    /// Another call's points.
    Release,
    Until(Instant),
}

/// How a call would fare; the least of several is the best account for it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Outlook {
    past_share: bool,
    delay: Delay,
    left: std::cmp::Reverse<u64>,
}

/// Points reserved for a call in flight; given back when it is dropped.
pub(crate) struct Reservation<'a> {
    limits: &'a Limits,
    resource: Resource,
    cost: u64,
}

impl Reservation<'_> {
    /// Whether the call may start still: answers that came meanwhile may have told otherwise.
    pub(crate) fn is_good(&self) -> bool {
        let now = Instant::now();
        let mut state = self.limits.lock();
        state.budget(self.resource).reserved -= self.cost;
        let hold = state.hold(self.resource, self.cost, now);
        state.budget(self.resource).reserved += self.cost;
        hold.is_none() && self.limits.stop.at().is_none_or(|ends| ends > now)
    }
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
            retry_after: number("retry-after").map(|seconds| seconds.min(LONGEST_S)),
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
    fn reset_at(&self) -> Option<Moment> {
        let (date, reset) = (self.date?, self.reset?);
        let wait = (reset - date).max(TimeDelta::zero()) + TimeDelta::seconds(1);
        Some((Instant::now() + wait.to_std().unwrap_or_default(), reset))
    }

    fn after(&self, wait: Duration) -> Moment {
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
        let (past_share, delay) = match state.hold(resource, cost, Instant::now()) {
            None => (false, Delay::Nothing),
            Some(Hold::Reserved(_)) => (false, Delay::Release),
            Some(Hold::PastShare((at, _))) => (true, Delay::Until(at)),
            Some(Hold::Limited((at, _), _)) => (false, Delay::Until(at)),
        };
        let budget = state.budget(resource);
        // Of what nothing is known yet one call finds out, and others take what is known meanwhile.
        let unknown = if budget.reserved == 0 { u64::MAX } else { UNKNOWN };
        let left = budget.remaining.unwrap_or(unknown).saturating_sub(budget.reserved);
        Outlook { past_share, delay, left: std::cmp::Reverse(left) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a call of that cost may start, and reserves its points. Points that are only reserved
    /// are waited for however long the limit lasts: the calls that have them end soon, and if they have
    /// used them, then this one fails, or waits for the reset.
    pub(crate) async fn reserve(&self, resource: Resource, cost: u64) -> Result<Reservation<'_>, Error> {
        let mut is_told = false;
        loop {
            let released = self.released.notified();
            let ends = self.stop.at();
            let (hold, in_flight) = {
                let mut state = self.lock();
                let now = Instant::now();
                if ends.is_some_and(|ends| ends <= now) {
                    return Err(out_of_time());
                }
                let hold = state.hold(resource, cost, now);
                let budget = state.budget(resource);
                let Some(hold) = hold else {
                    budget.reserved += cost;
                    if is_told {
                        self.waits.send_replace(None);
                    }
                    return Ok(Reservation { limits: self, resource, cost });
                };
                (hold, budget.reserved > 0)
            };
            let wake_at = match hold {
                Hold::Reserved((reset, _)) => ends.map_or(reset, |ends| ends.min(reset)),
                Hold::PastShare((_, until)) => {
                    return Err(Error::Limited { until: Some(until), why: SHARE.to_owned() });
                }
                Hold::Limited((at, until), why) => {
                    let wait = at.saturating_duration_since(Instant::now());
                    if wait > self.max_wait || ends.is_some_and(|ends| at >= ends) {
                        return Err(Error::Limited { until: Some(until), why });
                    }
                    is_told = true;
                    self.waits.send_replace(Some(Wait { until, why }));
                    at
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(wake_at) => {}
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
    }

    /// GitHub has refused a call because the primary limit is used up; until when, if it says so.
    pub(crate) fn block(&self, resource: Resource, told: &Told, why: &str) -> Option<DateTime<Utc>> {
        let after = told.retry_after.map(|seconds| told.after(Duration::from_secs(seconds)));
        let until = after.or_else(|| told.reset_at()).unwrap_or_else(|| told.after(Duration::from_secs(60)));
        Refused::put(&mut self.lock().budget(resource).blocked, until, or_else(why, HOURLY));
        told.date.map(|_| until.1)
    }

    /// GitHub has refused a call because of a secondary limit, for the `tries`-th time in a row; until
    /// when, if it says so.
    pub(crate) fn block_all(&self, told: &Told, tries: u32, why: &str) -> Option<DateTime<Utc>> {
        let wait = told.retry_after.unwrap_or_else(|| 60 << tries.min(4));
        let until = told.after(Duration::from_secs(wait));
        Refused::put(&mut self.lock().secondary, until, or_else(why, SECONDARY));
        told.date.map(|_| until.1)
    }
}

/// GitHub's words, or others where it said nothing.
fn or_else<'a>(said: &'a str, otherwise: &'a str) -> &'a str {
    if said.trim().is_empty() { otherwise } else { said }
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

    fn limits_of(max_wait_s: u64, budget: Option<f64>) -> Limits {
        let max_wait = Duration::from_secs(max_wait_s);
        Limits::new(max_wait, budget, watch::Sender::new(None), Stop::default())
    }

    fn limits() -> Limits {
        limits_of(3600, None)
    }

    /// Nothing is waited for, and no more than three points may be used.
    fn strict() -> [Limits; 2] {
        let (all, share) = (limits_of(0, None), limits_of(0, Some(0.6)));
        all.note(Resource::GraphQl, &hourly("5000", "3"));
        share.note(Resource::GraphQl, &hourly("5000", "2003"));
        [all, share]
    }

    /// Why a call does not start.
    async fn refusal(limits: &Limits, cost: u64) -> (Option<DateTime<Utc>>, String) {
        match limits.reserve(Resource::GraphQl, cost).await.err() {
            Some(Error::Limited { until, why }) => (until, why),
            other => panic!("{other:?}"),
        }
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
    async fn points_that_are_only_reserved_stop_nobody() {
        for limits in strict() {
            let held = limits.reserve(Resource::GraphQl, 2).await.unwrap();
            let release = async {
                tokio::time::sleep(Duration::from_secs(4)).await;
                drop(held);
            };
            let (waited, ()) = tokio::join!(starts_after(&limits, Resource::GraphQl, 2), release);
            assert_eq!(waited.as_secs(), 4);
            assert!(limits.waits.borrow().is_none(), "that is no wait for GitHub");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_queue_for_the_last_points_all_start() {
        for limits in strict().map(Arc::new) {
            let before = Instant::now();
            let mut calls = tokio::task::JoinSet::new();
            for _ in 0..20 {
                let limits = limits.clone();
                calls.spawn(async move {
                    let held = limits.reserve(Resource::GraphQl, 2).await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    held.is_ok()
                });
            }
            while let Some(has_started) = calls.join_next().await {
                assert!(has_started.unwrap());
            }
            assert_eq!(before.elapsed().as_secs(), 2, "one after another");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn points_that_are_used_in_the_end_stop_who_waited_for_them() {
        for ((limits, left), reason) in strict().into_iter().zip(["1", "2001"]).zip([HOURLY, SHARE]) {
            let held = limits.reserve(Resource::GraphQl, 2).await.unwrap();
            let before = Instant::now();
            let (until, why) = refusal(&limits, 4).await;
            assert!(until.is_some() && before.elapsed().is_zero(), "there never were as many");
            assert_eq!(why, reason);
            let used = async {
                tokio::time::sleep(Duration::from_secs(4)).await;
                limits.note(Resource::GraphQl, &hourly("5000", left));
                drop(held);
            };
            let ((until, why), ()) = tokio::join!(refusal(&limits, 2), used);
            assert!(until.is_some() && before.elapsed().as_secs() == 4);
            assert_eq!(why, reason);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn points_that_are_not_given_back_are_waited_for_to_the_reset_or_the_end() {
        for which in 0..2 {
            let limits = &strict()[which];
            let _held = limits.reserve(Resource::GraphQl, 2).await.unwrap();
            let before = Instant::now();
            limits.stop.set(Some(before + Duration::from_secs(5)));
            assert_eq!(refusal(limits, 2).await.0, None, "the run's time is over first");
            assert_eq!(before.elapsed().as_secs(), 5);
            limits.stop.set(None);
            starts_after(limits, Resource::GraphQl, 2).await;
            assert_eq!(before.elapsed().as_secs(), 11, "after the reset nothing is known");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_limit_is_told_by_its_own_reason() {
        let limits = limits_of(0, None);
        limits.block_all(&told(&[("date", DATE), ("retry-after", "7")]), 0, "slow down");
        limits.note(Resource::GraphQl, &hourly("5000", "0"));
        assert_eq!(refusal(&limits, 1).await.1, "slow down", "whatever calls in flight are told");
        tokio::time::advance(Duration::from_secs(8)).await;
        assert_eq!(refusal(&limits, 1).await.1, HOURLY);
        limits.block(Resource::GraphQl, &hourly("5000", "0"), "exceeded for user ID 1");
        assert_eq!(refusal(&limits, 1).await.1, "exceeded for user ID 1");
        limits.block_all(&told(&[("date", DATE), ("retry-after", "60")]), 0, "");
        assert_eq!(refusal(&limits, 1).await.1, SECONDARY);
        let [_, share] = strict();
        share.block(Resource::GraphQl, &hourly("5000", "0"), "exceeded for user ID 1");
        share.note(Resource::GraphQl, &hourly("5000", "0"));
        assert_eq!(refusal(&share, 1).await.1, SHARE);
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
        assert!(best(35), "calls in flight may give back what the other has not got");
        assert!(!best(45), "both would wait, and the other has more");
        b.block_all(&told(&[("date", DATE), ("retry-after", "3")]), 0, "slow down");
        assert!(best(1), "that one need not wait");
    }
}
