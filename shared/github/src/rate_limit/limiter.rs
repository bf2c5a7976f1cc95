//! Lets requests start only within an account's rate limits.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::budget::{AccountLimits, Block, HOURLY_LIMIT_USED_UP, RateLimitResource, WaitReason};
use super::headers::RateLimitHeaders;
use crate::diagnose::Quota;
use crate::error::Error;

/// How many points an account is assumed to have left while its first response is awaited.
const ASSUMED_POINTS_LEFT: u64 = 1_000;
/// How long a limit is waited for if GitHub does not say how long; doubled for each repeated secondary limit.
const DEFAULT_BLOCK_SECONDS: u64 = 60;
/// How often that wait is doubled at most.
const MAX_BLOCK_DOUBLINGS: u32 = 4;
/// Why a run stops at its own budget.
const BUDGET_SPENT: &str = "this run's share of the hourly limit is used up";
/// The reason for a wait or stop if GitHub gave no message of its own.
const SECONDARY_LIMIT_HIT: &str = "a secondary limit, for too many requests at once";
/// Why no more requests start after the cut-off.
const OUT_OF_TIME: &str = "the time for this run is over";

/// The client is waiting for a rate limit to reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitWait {
    /// When the wait ends, UTC, by GitHub's clock.
    pub until: DateTime<Utc>,
    /// GitHub's message, or ours if GitHub sent none.
    pub why: String,
}

/// The moment from which no request starts. Clones share it: it holds for all accounts of a host.
#[derive(Debug, Clone, Default)]
pub(crate) struct CutOff(Arc<Mutex<Option<Instant>>>);

impl CutOff {
    pub(crate) fn set(&self, at: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn at(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps to the rate limits of one account.
pub(crate) struct RateLimiter {
    state: Mutex<AccountLimits>,
    cut_off: CutOff,
    points_released: Notify,
    max_wait: Duration,
    usable_share: Option<f64>,
    waits: watch::Sender<Option<RateLimitWait>>,
}

/// What a request would have to wait for; the smallest is the best.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum StartDelay {
    Immediate,
    /// Until another request returns its points.
    UntilRelease,
    Until(Instant),
}

/// What a request would have to expect of an account; the smallest of several is the best account.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Forecast {
    is_budget_spent: bool,
    delay: StartDelay,
    points_left: Reverse<u64>,
}

/// Points reserved for a request in flight. Dropping it returns them.
pub(crate) struct Reservation<'a> {
    limiter: &'a RateLimiter,
    resource: RateLimitResource,
    cost: u64,
}

impl Reservation<'_> {
    /// Whether the request may still start. Responses that arrived in the meantime may have changed that.
    pub(crate) fn is_valid(&self) -> bool {
        let now = Instant::now();
        let mut state = self.limiter.lock();
        state.budget(self.resource).reserved -= self.cost;
        let wait_reason = state.wait_reason(self.resource, self.cost, now);
        state.budget(self.resource).reserved += self.cost;
        wait_reason.is_none() && self.limiter.cut_off.at().is_none_or(|at| at > now)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.limiter.lock().budget(self.resource).reserved -= self.cost;
        self.limiter.points_released.notify_waiters();
    }
}

impl RateLimiter {
    /// Creates the limiter of an account.
    ///
    /// A request fails rather than wait longer than `max_wait` for a limit, or use more than `usable_share`
    /// (0 to 1; `None` for all) of a limit. `waits` holds the current wait, if any.
    pub(crate) fn new(
        max_wait: Duration,
        usable_share: Option<f64>,
        waits: watch::Sender<Option<RateLimitWait>>,
        cut_off: CutOff,
    ) -> Self {
        RateLimiter {
            state: Mutex::default(),
            cut_off,
            points_released: Notify::new(),
            max_wait,
            usable_share,
            waits,
        }
    }

    /// Returns what a request of this cost would have to expect now.
    pub(crate) fn forecast(&self, resource: RateLimitResource, cost: u64) -> Forecast {
        let mut state = self.lock();
        let (is_budget_spent, delay) = match state.wait_reason(resource, cost, Instant::now()) {
            None => (false, StartDelay::Immediate),
            Some(WaitReason::Reserved(_)) => (false, StartDelay::UntilRelease),
            Some(WaitReason::BudgetSpent(reset)) => (true, StartDelay::Until(reset.local)),
            Some(WaitReason::Limited(until, _)) => (false, StartDelay::Until(until.local)),
        };
        let budget = state.budget(resource);
        // The first request to an unknown account shows how much is left of it; until then the other requests
        // prefer known accounts.
        let assumed = if budget.reserved == 0 { u64::MAX } else { ASSUMED_POINTS_LEFT };
        let left = budget.remaining.unwrap_or(assumed).saturating_sub(budget.reserved);
        Forecast { is_budget_spent, delay, points_left: Reverse(left) }
    }

    fn lock(&self) -> MutexGuard<'_, AccountLimits> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a request of this cost may start, and reserves its points.
    ///
    /// Points that other requests have merely reserved are waited for even beyond `max_wait`: those requests
    /// end soon. If they do use the points, this request waits for the reset or fails.
    ///
    /// # Errors
    /// [`Error::Limited`] if the wait would be too long, the run's share is used up, or the cut-off has
    /// passed.
    pub(crate) async fn reserve(
        &self,
        resource: RateLimitResource,
        cost: u64,
    ) -> Result<Reservation<'_>, Error> {
        let mut has_announced_wait = false;
        loop {
            let released = self.points_released.notified();
            let cut_off = self.cut_off.at();
            let (reason, has_requests_in_flight) = {
                let mut state = self.lock();
                let now = Instant::now();
                if cut_off.is_some_and(|at| at <= now) {
                    return Err(Error::Limited { until: None, why: OUT_OF_TIME.to_owned() });
                }
                let reason = state.wait_reason(resource, cost, now);
                let budget = state.budget(resource);
                let Some(reason) = reason else {
                    budget.reserved += cost;
                    if has_announced_wait {
                        self.waits.send_replace(None);
                    }
                    return Ok(Reservation { limiter: self, resource, cost });
                };
                (reason, budget.reserved > 0)
            };
            let wake_at = match reason {
                WaitReason::Reserved(reset) => cut_off.map_or(reset.local, |at| at.min(reset.local)),
                WaitReason::BudgetSpent(reset) => {
                    return Err(Error::Limited { until: Some(reset.github), why: BUDGET_SPENT.to_owned() });
                }
                WaitReason::Limited(until, why) => {
                    let wait = until.local.saturating_duration_since(Instant::now());
                    if wait > self.max_wait || cut_off.is_some_and(|at| until.local >= at) {
                        return Err(Error::Limited { until: Some(until.github), why });
                    }
                    has_announced_wait = true;
                    self.waits.send_replace(Some(RateLimitWait { until: until.github, why }));
                    until.local
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(wake_at) => {}
                // A request in flight may return points earlier.
                () = released, if has_requests_in_flight => {}
            }
        }
    }

    /// The smaller of the shares that are left of both primary limits, 0 to 1; `None` if neither is known.
    pub(crate) fn share_left(&self) -> Option<f64> {
        self.lock().share_left()
    }

    /// Returns what is left of a primary limit, as the last response said.
    pub(crate) fn quota(&self, resource: RateLimitResource) -> Option<Quota> {
        self.lock().budget(resource).quota(Instant::now())
    }

    /// Updates the limit from a response.
    pub(crate) fn record(&self, resource: RateLimitResource, headers: &RateLimitHeaders) {
        self.lock().budget(resource).record(headers, self.usable_share);
    }

    /// Records that GitHub rejected a request because a primary limit is used up. Returns when the limit
    /// resets, UTC; `None` if GitHub's clock is unknown.
    pub(crate) fn block(
        &self,
        resource: RateLimitResource,
        headers: &RateLimitHeaders,
        message: &str,
    ) -> Option<DateTime<Utc>> {
        let retry_at =
            headers.retry_after_seconds.map(|seconds| headers.time_after(Duration::from_secs(seconds)));
        let until = retry_at
            .or_else(|| headers.reset_time())
            .unwrap_or_else(|| headers.time_after(Duration::from_secs(DEFAULT_BLOCK_SECONDS)));
        let reason = message_or(message, HOURLY_LIMIT_USED_UP);
        Block::extend(&mut self.lock().budget(resource).block, until, reason);
        headers.date.map(|_| until.github)
    }

    /// Records that GitHub rejected a request because of a secondary limit, which stops REST and GraphQL;
    /// `rejections` of the same call came before. Returns when to retry, UTC; `None` if GitHub's clock is
    /// unknown.
    pub(crate) fn block_all(
        &self,
        headers: &RateLimitHeaders,
        rejections: u32,
        message: &str,
    ) -> Option<DateTime<Utc>> {
        let wait = headers
            .retry_after_seconds
            .unwrap_or_else(|| DEFAULT_BLOCK_SECONDS << rejections.min(MAX_BLOCK_DOUBLINGS));
        let until = headers.time_after(Duration::from_secs(wait));
        Block::extend(&mut self.lock().secondary, until, message_or(message, SECONDARY_LIMIT_HIT));
        headers.date.map(|_| until.github)
    }
}

/// GitHub's message, or the default if it is empty.
fn message_or<'a>(message: &'a str, default: &'a str) -> &'a str {
    if message.trim().is_empty() { default } else { message }
}

#[cfg(test)]
mod tests;
