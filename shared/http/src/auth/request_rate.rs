//! How many requests each token may send.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Bounds the requests that are sent with one token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestRate {
    /// Number of requests a second, in the long run.
    pub per_second: f64,
    /// Number of requests that may come at once.
    pub burst: f64,
}

impl Default for RequestRate {
    fn default() -> Self {
        RequestRate { per_second: 100.0, burst: 200.0 }
    }
}

/// Counts the requests of each principal.
pub(crate) struct RequestRates {
    rate: RequestRate,
    /// The requests that each principal may still send at once, and when they were counted.
    remaining: Mutex<HashMap<String, (f64, Instant)>>,
}

impl RequestRates {
    pub(crate) fn new(rate: RequestRate) -> Self {
        RequestRates { rate, remaining: Mutex::default() }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// After how many seconds to retry, if the principal has sent too many.
    pub(crate) fn take(&self, principal: &str) -> Result<(), u32> {
        let RequestRate { per_second, burst } = self.rate;
        let now = Instant::now();
        let mut remaining = self.remaining.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, counted_at) = remaining.entry(principal.to_owned()).or_insert((burst, now));
        *count = burst.min(*count + now.duration_since(*counted_at).as_secs_f64() * per_second);
        *counted_at = now;
        if *count >= 1.0 {
            *count -= 1.0;
            return Ok(());
        }
        let wait_seconds = ((1.0 - *count) / per_second).ceil().max(1.0);
        Err(wait_seconds as u32)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_principal_is_slowed_down_and_others_are_not() {
        let rates = RequestRates::new(RequestRate { per_second: 2.0, burst: 3.0 });
        let take = |principal| rates.take(principal).is_ok();
        assert_eq!([take("a"), take("a"), take("a"), take("a"), take("b")], [true, true, true, false, true]);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!([take("a"), take("a")], [true, false]);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!([take("a"), take("a"), take("a"), take("a")], [true, true, true, false]);
    }
}
