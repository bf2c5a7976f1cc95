//! The deadline of an invocation, and how much of its time is reserved for saving and settling.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// The longest time reserved for finishing started work: requests in flight, and saving what they return.
const MAX_FINISH_TIME: Duration = Duration::from_secs(60);
/// The longest time reserved for settling messages.
const MAX_SETTLE_TIME: Duration = Duration::from_secs(10);

/// The deadline of an invocation.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    now: DateTime<Utc>,
    start: Instant,
    remaining: Duration,
}

impl Deadline {
    /// Creates a deadline from Lambda's, in milliseconds since the Unix epoch. `now` is the current time, UTC.
    pub fn new(deadline_ms: u64, now: DateTime<Utc>) -> Self {
        let remaining = deadline_ms.saturating_sub(now.timestamp_millis().max(0) as u64);
        Deadline { now, start: Instant::now(), remaining: Duration::from_millis(remaining) }
    }

    /// Returns when the invocation stops starting new work.
    pub fn stop_at(&self) -> Instant {
        self.start + self.working_time()
    }

    /// Returns the same time as [`Deadline::stop_at`], UTC.
    pub fn stop_at_utc(&self) -> DateTime<Utc> {
        self.now + TimeDelta::from_std(self.working_time()).unwrap_or_default()
    }

    /// Returns when work that is still running is cancelled.
    pub fn cancel_at(&self) -> Instant {
        self.start + self.remaining.saturating_sub(MAX_SETTLE_TIME.min(self.remaining / 6))
    }

    /// Returns for how long new work is started. Short invocations reserve a third of their time.
    fn working_time(&self) -> Duration {
        self.remaining.saturating_sub(MAX_FINISH_TIME.min(self.remaining / 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_is_reserved_for_finishing_and_settling() {
        let now = DateTime::from_timestamp(1_000, 0).unwrap();
        let start = Instant::now();
        let long = Deadline::new(1_900_000, now);
        assert_eq!(long.stop_at() - start, Duration::from_secs(840));
        assert_eq!(long.stop_at_utc(), DateTime::from_timestamp(1_840, 0).unwrap());
        assert_eq!(long.cancel_at() - start, Duration::from_secs(890));
        let short = Deadline::new(1_030_000, now);
        assert_eq!(short.stop_at() - start, Duration::from_secs(20));
        assert_eq!(short.cancel_at() - start, Duration::from_secs(25));
        assert_eq!(Deadline::new(0, now).stop_at(), start, "a deadline in the past");
    }
}
