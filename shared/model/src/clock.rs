//! The wall clock as a port.

use chrono::{DateTime, Utc};

/// Reads the wall clock, in UTC. It stamps `collected_at` and decides which day is today. No watermark and
/// no version ever comes from it.
pub trait Clock: Send + Sync {
    /// Returns the present moment, in UTC.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
