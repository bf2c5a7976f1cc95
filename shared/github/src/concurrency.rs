//! Adaptive limit on the number of concurrent requests.
//!
//! GitHub limits the number of concurrent requests and the CPU time they use, but reports neither. So a run
//! starts with a few concurrent requests, adds more while responses are quick, and halves their number when
//! responses are slow or GitHub reports a secondary rate limit (additive increase, multiplicative decrease).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How many requests may be in flight at the start.
const INITIAL_CONCURRENCY: usize = 4;
/// The greatest maximum that a caller can set.
const MAX_CONCURRENCY: usize = 100;
/// A response within this time shows that GitHub can take more.
const QUICK_RESPONSE_TIME: Duration = Duration::from_secs(3);
/// A response that takes longer shows overload: GitHub gives up after 10 s.
const SLOW_RESPONSE_TIME: Duration = Duration::from_secs(8);

#[derive(Debug)]
struct ConcurrencyState {
    allowed: usize,
    in_flight: usize,
    /// Quick responses since `allowed` last changed.
    quick_responses: usize,
    /// When `allowed` was last reduced. Until the first time, every quick response raises it.
    backed_off_at: Option<Instant>,
}

/// Limits the number of concurrent requests, and adapts the limit to how quickly GitHub responds.
#[derive(Debug)]
pub(crate) struct AdaptiveLimiter {
    state: Mutex<ConcurrencyState>,
    permit_available: Notify,
    max: usize,
}

/// Permission for one request to be in flight. Dropping it lets the next request start.
pub(crate) struct Permit<'a> {
    limiter: &'a AdaptiveLimiter,
    acquired_at: Instant,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.limiter.lock().in_flight -= 1;
        self.limiter.permit_available.notify_waiters();
    }
}

impl AdaptiveLimiter {
    /// Allows at most `max` concurrent requests, clamped to 1..=100.
    pub(crate) fn new(max: usize) -> Self {
        let max = max.clamp(1, MAX_CONCURRENCY);
        let state = ConcurrencyState {
            allowed: INITIAL_CONCURRENCY.min(max),
            in_flight: 0,
            quick_responses: 0,
            backed_off_at: None,
        };
        AdaptiveLimiter { state: Mutex::new(state), permit_available: Notify::new(), max }
    }

    fn lock(&self) -> MutexGuard<'_, ConcurrencyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a request may start.
    pub(crate) async fn acquire(&self) -> Permit<'_> {
        loop {
            let available = self.permit_available.notified();
            {
                let mut state = self.lock();
                if state.in_flight < state.allowed {
                    state.in_flight += 1;
                    return Permit { limiter: self, acquired_at: Instant::now() };
                }
            }
            available.await;
        }
    }
}

impl Permit<'_> {
    /// Records that the response has arrived, and adapts the limit to the time it took.
    pub(crate) fn record_response(&self) {
        match self.acquired_at.elapsed() {
            quick if quick <= QUICK_RESPONSE_TIME => {
                let mut state = self.limiter.lock();
                state.quick_responses += 1;
                let needed = if state.backed_off_at.is_some() { state.allowed } else { 1 };
                if state.quick_responses >= needed && state.allowed < self.limiter.max {
                    state.allowed += 1;
                    state.quick_responses = 0;
                    self.limiter.permit_available.notify_waiters();
                }
            }
            slow if slow > SLOW_RESPONSE_TIME => self.back_off(),
            _ => {}
        }
    }

    /// Halves the limit. Requests that were in flight together halve it only once.
    pub(crate) fn back_off(&self) {
        let mut state = self.limiter.lock();
        if state.backed_off_at.is_none_or(|at| at <= self.acquired_at) {
            state.allowed = (state.allowed / 2).max(1);
            state.quick_responses = 0;
            state.backed_off_at = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn acquire_all(limiter: &AdaptiveLimiter) -> Vec<Permit<'_>> {
        let mut permits = Vec::new();
        while let Ok(permit) = tokio::time::timeout(Duration::from_millis(1), limiter.acquire()).await {
            permits.push(permit);
        }
        permits
    }

    #[tokio::test(start_paused = true)]
    async fn quick_responses_raise_the_limit_up_to_the_maximum() {
        let limiter = AdaptiveLimiter::new(10);
        let permits = acquire_all(&limiter).await;
        assert_eq!(permits.len(), INITIAL_CONCURRENCY);
        permits.iter().for_each(Permit::record_response);
        drop(permits);
        assert_eq!(acquire_all(&limiter).await.len(), 2 * INITIAL_CONCURRENCY);
        acquire_all(&limiter).await.iter().for_each(Permit::record_response);
        assert_eq!(acquire_all(&limiter).await.len(), 10, "never above the maximum");
        assert_eq!(acquire_all(&AdaptiveLimiter::new(2)).await.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_slow_responses_halve_the_limit_once() {
        let limiter = AdaptiveLimiter::new(8);
        acquire_all(&limiter).await.iter().for_each(Permit::record_response);
        let permits = acquire_all(&limiter).await;
        tokio::time::sleep(SLOW_RESPONSE_TIME + Duration::from_secs(1)).await;
        permits[0].back_off();
        permits.iter().for_each(Permit::record_response);
        drop(permits);
        let permits = acquire_all(&limiter).await;
        assert_eq!(permits.len(), 4);
        permits[..3].iter().for_each(Permit::record_response);
        drop(permits);
        let permits = acquire_all(&limiter).await;
        assert_eq!(permits.len(), 4, "it grows only after as many quick responses as are allowed in flight");
        permits[0].record_response();
        drop(permits);
        assert_eq!(acquire_all(&limiter).await.len(), 5);
    }
}
