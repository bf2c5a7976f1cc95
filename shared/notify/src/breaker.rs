//! When a channel is given up for a while.

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::{Breaker, BreakerChange, BreakerRules};
use serde::{Deserialize, Serialize};

/// After messages that failed.
const FAILED: BreakerRules =
    BreakerRules { max_failures: 3, first_pause: TimeDelta::minutes(1), max_pause: TimeDelta::hours(1) };
/// After the channel refused its own address or credential, which only a person can change.
const REFUSED: BreakerRules =
    BreakerRules { max_failures: 1, first_pause: TimeDelta::hours(6), max_pause: TimeDelta::hours(6) };

/// Whether a channel works.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChannelBreaker {
    #[serde(flatten)]
    breaker: Breaker,
    /// Why the last message was not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl ChannelBreaker {
    /// Returns whether nothing is sent now, or only a probe.
    pub fn is_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// Returns until when nothing is sent, UTC.
    pub fn open_until(&self) -> Option<DateTime<Utc>> {
        self.breaker.open_until()
    }

    /// Records that a message was sent.
    pub(crate) fn record_success(&mut self) -> BreakerChange {
        self.why = None;
        self.breaker.record_success()
    }

    /// Records a failure. `is_refused` says that the channel refused its address or credential.
    pub(crate) fn record_failure(
        &mut self,
        why: &str,
        is_refused: bool,
        now: DateTime<Utc>,
    ) -> BreakerChange {
        self.why = Some(why.to_owned());
        self.breaker.record_failure(if is_refused { &REFUSED } else { &FAILED }, now)
    }
}
