//! A warning that is logged once in a while, however often its reason occurs.

use std::time::Duration;

use tokio::time::Instant;

/// The least time between two log lines.
const PERIOD: Duration = Duration::from_secs(10);

/// Counts what happens, and logs one line for all of it in a period.
#[derive(Debug, Default)]
pub(crate) struct ThrottledWarning {
    logged_at: Option<Instant>,
    count: u64,
}

impl ThrottledWarning {
    /// Counts one occurrence. Logs the text if nothing was logged for a while; `text` gets the number of
    /// occurrences since then.
    pub(crate) fn warn(&mut self, text: impl FnOnce(u64) -> String) {
        self.count += 1;
        if self.logged_at.is_none_or(|at| at.elapsed() >= PERIOD) {
            tracing::warn!("{}", text(self.count));
            *self = ThrottledWarning { logged_at: Some(Instant::now()), count: 0 };
        }
    }
}
