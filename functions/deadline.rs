//! When an invocation ends, and when it has to stop beginning things.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// What is kept of the time for what has been begun: requests in flight, and saving what they bring.
const KEPT: Duration = Duration::from_secs(60);
/// What is kept of the time for putting the rest back.
const KEPT_AT_LAST: Duration = Duration::from_secs(10);

/// The end of an invocation.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    now: DateTime<Utc>,
    begun: Instant,
    left: Duration,
}

impl Deadline {
    /// The deadline that Lambda tells, in milliseconds since the epoch, seen from now, UTC.
    pub fn of(deadline_ms: u64, now: DateTime<Utc>) -> Self {
        let left = deadline_ms.saturating_sub(now.timestamp_millis().max(0) as u64);
        Deadline { now, begun: Instant::now(), left: Duration::from_millis(left) }
    }

    /// From when on nothing is begun any more.
    pub fn stop_at(&self) -> Instant {
        self.begun + self.working()
    }

    /// The same, UTC.
    pub fn stop_time(&self) -> DateTime<Utc> {
        self.now + TimeDelta::from_std(self.working()).unwrap_or_default()
    }

    /// When what is still under way is given up.
    pub fn give_up_at(&self) -> Instant {
        self.begun + self.left.saturating_sub(KEPT_AT_LAST.min(self.left / 6))
    }

    /// Short invocations keep a third of their time.
    fn working(&self) -> Duration {
        self.left.saturating_sub(KEPT.min(self.left / 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_is_kept_for_what_was_begun() {
        let now = DateTime::from_timestamp(1_000, 0).unwrap();
        let begun = Instant::now();
        let long = Deadline::of(1_900_000, now);
        assert_eq!(long.stop_at() - begun, Duration::from_secs(840));
        assert_eq!(long.stop_time(), DateTime::from_timestamp(1_840, 0).unwrap());
        assert_eq!(long.give_up_at() - begun, Duration::from_secs(890));
        let short = Deadline::of(1_030_000, now);
        assert_eq!(short.stop_at() - begun, Duration::from_secs(20));
        assert_eq!(short.give_up_at() - begun, Duration::from_secs(25));
        assert_eq!(Deadline::of(0, now).stop_at(), begun, "a deadline that has passed");
    }
}
