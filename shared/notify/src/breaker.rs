//! The circuit breaker of a channel: it stops sending after several failures in a row, and probes after a pause.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// After how many failures in a row the breaker opens.
const MAX_FAILURES: u32 = 3;
/// The first pause of an open breaker.
const FIRST_PAUSE: TimeDelta = TimeDelta::minutes(1);
/// The longest pause of an open breaker.
const MAX_PAUSE: TimeDelta = TimeDelta::hours(1);
/// The pause after the channel refused its own address or credential, which only a person can change.
const REFUSED_PAUSE: TimeDelta = TimeDelta::hours(6);

/// Whether a channel works.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChannelBreaker {
    /// Failures since the last message that was sent.
    #[serde(default)]
    pub failures: u32,
    /// Until when nothing is sent, UTC. Then one message is the probe. `None` if the breaker is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_until: Option<DateTime<Utc>>,
    /// Why the last message was not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How an outcome changed a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelBreakerChange {
    None,
    Opened,
    Closed,
}

impl ChannelBreaker {
    /// Returns whether nothing is sent now, or only a probe.
    pub fn is_open(&self) -> bool {
        self.open_until.is_some()
    }

    /// Records that a message was sent.
    pub(crate) fn record_success(&mut self) -> ChannelBreakerChange {
        let was_open = self.is_open();
        *self = ChannelBreaker::default();
        if was_open { ChannelBreakerChange::Closed } else { ChannelBreakerChange::None }
    }

    /// Records a failure. `is_refused` says that the channel refused its address or credential.
    pub(crate) fn record_failure(
        &mut self,
        why: &str,
        is_refused: bool,
        now: DateTime<Utc>,
    ) -> ChannelBreakerChange {
        let was_open = self.is_open();
        self.failures = self.failures.saturating_add(1);
        self.why = Some(why.to_owned());
        if is_refused {
            self.open_until = Some(now + REFUSED_PAUSE);
        } else if self.failures >= MAX_FAILURES {
            let doublings = (self.failures - MAX_FAILURES).min(10);
            self.open_until = Some(now + (FIRST_PAUSE * (1 << doublings)).min(MAX_PAUSE));
        }
        if self.is_open() && !was_open { ChannelBreakerChange::Opened } else { ChannelBreakerChange::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-01T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn pauses_grow_until_a_message_is_sent() {
        let mut breaker = ChannelBreaker::default();
        let mut minutes = Vec::new();
        let mut opened = 0;
        for _ in 0..12 {
            opened +=
                usize::from(breaker.record_failure("503", false, now()) == ChannelBreakerChange::Opened);
            minutes.push(breaker.open_until.map(|until| (until - now()).num_minutes()));
        }
        assert_eq!(minutes[..6], [None, None, Some(1), Some(2), Some(4), Some(8)]);
        assert_eq!((minutes[11], opened), (Some(60), 1));
        assert_eq!(breaker.record_success(), ChannelBreakerChange::Closed);
        assert_eq!(breaker, ChannelBreaker::default());
        assert_eq!(breaker.record_success(), ChannelBreakerChange::None);
    }

    #[test]
    fn a_refusal_opens_at_once_for_hours() {
        let mut breaker = ChannelBreaker::default();
        assert_eq!(breaker.record_failure("404", true, now()), ChannelBreakerChange::Opened);
        assert_eq!(breaker.open_until, Some(now() + REFUSED_PAUSE));
    }
}
