//! The port to the wall clock.

use chrono::{DateTime, Utc};

/// Reads the wall clock.
///
/// It dates `collected_at` and decides which day is today. Watermarks and event versions never come from it.
pub trait Clock: Send + Sync {
    /// Returns the current time, in UTC.
    fn now(&self) -> DateTime<Utc>;
}

/// The clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
