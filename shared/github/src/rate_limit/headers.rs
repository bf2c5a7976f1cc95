//! The rate limit headers of a response.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use tokio::time::Instant;

/// The longest `Retry-After` that is obeyed; a longer one is shortened to this.
const MAX_RETRY_AFTER_SECONDS: u64 = 86_400;

/// One moment on this machine's clock and on GitHub's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClockTime {
    pub(super) local: Instant,
    /// UTC.
    pub(super) github: DateTime<Utc>,
}

/// What the headers of a response say about rate limits.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateLimitHeaders {
    /// When GitHub sent the response, by its own clock, UTC.
    pub(crate) date: Option<DateTime<Utc>>,
    /// Points an hour; 0 if the server has no limits.
    pub(super) limit: Option<u64>,
    /// Points left.
    pub(super) remaining: Option<u64>,
    reset: Option<DateTime<Utc>>,
    pub(super) retry_after_seconds: Option<u64>,
}

impl RateLimitHeaders {
    /// Reads the headers. A header that is missing or malformed counts as absent.
    pub(crate) fn parse(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|value| value.trim().parse::<u64>().ok());
        RateLimitHeaders {
            date: text("date").and_then(|d| DateTime::parse_from_rfc2822(d).ok()).map(|d| d.to_utc()),
            limit: number("x-ratelimit-limit"),
            remaining: number("x-ratelimit-remaining"),
            reset: number("x-ratelimit-reset").and_then(|at| DateTime::from_timestamp(at as i64, 0)),
            retry_after_seconds: number("retry-after").map(|seconds| seconds.min(MAX_RETRY_AFTER_SECONDS)),
        }
    }

    /// Whether the primary limit is used up.
    pub(crate) fn is_used_up(&self) -> bool {
        self.remaining == Some(0) && self.limit.is_some_and(|limit| limit > 0)
    }

    /// Whether GitHub says when to retry.
    pub(crate) fn has_retry_after(&self) -> bool {
        self.retry_after_seconds.is_some()
    }

    /// How long to send nothing, if the headers say it: the `Retry-After`, or until a used up limit resets.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let until_reset = || {
            let wait = self.reset? - self.date?;
            (wait.max(TimeDelta::zero()) + TimeDelta::seconds(1)).to_std().ok()
        };
        let retry_after = self.retry_after_seconds.map(Duration::from_secs);
        retry_after.or_else(|| until_reset().filter(|_| self.is_used_up()))
    }

    /// When the primary limit resets, plus one second because GitHub's times are in whole seconds.
    pub(super) fn reset_time(&self) -> Option<ClockTime> {
        let (date, reset) = (self.date?, self.reset?);
        let wait = (reset - date).max(TimeDelta::zero()) + TimeDelta::seconds(1);
        Some(ClockTime { local: Instant::now() + wait.to_std().unwrap_or_default(), github: reset })
    }

    /// The moment `wait` after this response.
    pub(super) fn time_after(&self, wait: Duration) -> ClockTime {
        let date = self.date.unwrap_or(DateTime::UNIX_EPOCH);
        ClockTime {
            local: Instant::now() + wait,
            github: date + TimeDelta::from_std(wait).unwrap_or_default(),
        }
    }
}
