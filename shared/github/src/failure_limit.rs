//! A limit on the time that calls may lose to failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The most time of one failed attempt that counts. An attempt may also wait for a rate limit, which is no
/// failure.
const MAX_ATTEMPT: Duration = Duration::from_secs(25);

/// The time that is left for failures. Shared by all clones of a client.
#[derive(Debug, Clone, Default)]
pub(crate) struct FailureLimit {
    /// Milliseconds that are left; `None` if there is no limit.
    left: Option<Arc<AtomicU64>>,
}

impl FailureLimit {
    pub(crate) fn new(limit: Duration) -> Self {
        FailureLimit { left: Some(Arc::new(AtomicU64::new(limit.as_millis() as u64))) }
    }

    /// Starts to measure what one call loses.
    pub(crate) fn start(&self) -> LostTime<'_> {
        LostTime { limit: self, lost: Duration::ZERO }
    }

    fn left(&self) -> Duration {
        self.left.as_ref().map_or(Duration::MAX, |left| Duration::from_millis(left.load(Ordering::Relaxed)))
    }
}

/// The time that one call has lost to failed attempts and to pauses.
pub(crate) struct LostTime<'a> {
    limit: &'a FailureLimit,
    lost: Duration,
}

impl LostTime<'_> {
    /// Adds the time of a failed attempt.
    pub(crate) fn add_attempt(&mut self, took: Duration) {
        self.lost += took.min(MAX_ATTEMPT);
    }

    /// Returns how long the call may pause, at most as long as wanted; `None` if the limit is reached.
    pub(crate) fn pause(&mut self, wanted: Duration) -> Option<Duration> {
        let left = self.limit.left().checked_sub(self.lost).filter(|left| !left.is_zero())?;
        let pause = wanted.min(left);
        self.lost += pause;
        Some(pause)
    }

    /// Takes the lost time off the limit, because the call has failed. A call that succeeds in the end costs
    /// the limit nothing, so that a long collection survives many short failures.
    pub(crate) fn spend(&self) {
        if let Some(left) = &self.limit.left {
            let lost = self.lost.as_millis() as u64;
            let _ = left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(lost)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_failed_calls_use_up_the_limit() {
        let limit = FailureLimit::new(10 * SECOND);
        let mut recovered = limit.start();
        recovered.add_attempt(4 * SECOND);
        assert_eq!(recovered.pause(20 * SECOND), Some(6 * SECOND));
        assert_eq!(recovered.pause(SECOND), None, "the call itself is limited");
        let mut failed = limit.start();
        failed.add_attempt(7 * SECOND);
        assert_eq!(failed.pause(SECOND), Some(SECOND));
        failed.spend();
        let mut next = limit.start();
        assert_eq!(next.pause(20 * SECOND), Some(2 * SECOND));
        assert_eq!(FailureLimit::default().start().pause(SECOND), Some(SECOND));
    }
}
