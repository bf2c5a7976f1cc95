//! The circuit breaker: after several failures in a row nothing is sent for a pause. Then one request is the probe, and
//! each probe that fails doubles the pause, up to a bound.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// More doublings than any pause needs to reach its bound.
const MAX_DOUBLINGS: u32 = 16;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRules {
    /// After how many failures in a row it opens.
    pub max_failures: u32,
    /// The first pause.
    pub first_pause: TimeDelta,
    /// The longest pause.
    pub max_pause: TimeDelta,
}

impl BreakerRules {
    fn pause(&self, failed_probes: u32) -> TimeDelta {
        (self.first_pause * (1 << failed_probes.min(MAX_DOUBLINGS))).min(self.max_pause)
    }
}

/// A circuit breaker, as a record holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Breaker {
    /// Failures in a row.
    failures: u32,
    /// Until when it is open, UTC. Then one request is the probe. `None` if it is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    open_until: Option<DateTime<Utc>>,
    /// How many probes failed in a row.
    failed_probes: u32,
}

/// How an outcome changed a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerChange {
    /// It is open or closed as before.
    None,
    /// It opened.
    Opened,
    /// It closed.
    Closed,
}

impl Breaker {
    /// Returns whether nothing is sent, or only a probe.
    pub fn is_open(&self) -> bool {
        self.open_until.is_some()
    }

    /// Returns until when nothing is sent, UTC. `None` if the breaker is closed.
    pub fn open_until(&self) -> Option<DateTime<Utc>> {
        self.open_until
    }

    /// Makes others wait for the outcome of a probe, if the breaker is open, until `lease_until`.
    pub fn begin_probe(&mut self, lease_until: DateTime<Utc>) {
        if self.is_open() {
            self.open_until = Some(lease_until);
        }
    }

    /// Records that a request was answered.
    pub fn record_success(&mut self) -> BreakerChange {
        match std::mem::take(self).is_open() {
            true => BreakerChange::Closed,
            false => BreakerChange::None,
        }
    }

    /// Records a failure. If the breaker was open, the failed request was its probe, and the breaker waits again.
    pub fn record_failure(&mut self, rules: &BreakerRules, now: DateTime<Utc>) -> BreakerChange {
        self.failures = self.failures.saturating_add(1);
        let was_open = self.is_open();
        if was_open {
            self.failed_probes = self.failed_probes.saturating_add(1);
        } else if self.failures < rules.max_failures {
            return BreakerChange::None;
        }
        self.open_until = Some(now + rules.pause(self.failed_probes));
        if was_open { BreakerChange::None } else { BreakerChange::Opened }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: BreakerRules =
        BreakerRules { max_failures: 3, first_pause: TimeDelta::minutes(1), max_pause: TimeDelta::hours(1) };

    fn now() -> DateTime<Utc> {
        "2026-03-01T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn pauses_grow_until_a_request_is_answered() {
        let mut breaker = Breaker::default();
        let mut minutes = Vec::new();
        let mut opened = 0;
        for _ in 0..12 {
            opened += usize::from(breaker.record_failure(&RULES, now()) == BreakerChange::Opened);
            minutes.push(breaker.open_until().map(|until| (until - now()).num_minutes()));
        }
        assert_eq!(minutes[..6], [None, None, Some(1), Some(2), Some(4), Some(8)]);
        assert_eq!((minutes[11], opened), (Some(60), 1));
        assert_eq!(breaker.record_success(), BreakerChange::Closed);
        assert_eq!(breaker, Breaker::default());
        assert_eq!(breaker.record_success(), BreakerChange::None);
    }

    #[test]
    fn a_failed_probe_waits_again_whatever_opened_the_breaker() {
        let at_once = BreakerRules {
            max_failures: 1,
            first_pause: TimeDelta::hours(6),
            max_pause: TimeDelta::hours(6),
        };
        let mut breaker = Breaker::default();
        assert_eq!(breaker.record_failure(&at_once, now()), BreakerChange::Opened);
        let mut probe = now() + TimeDelta::hours(6);
        assert_eq!(breaker.open_until(), Some(probe));
        for pause in [2, 4, 8] {
            assert_eq!(breaker.record_failure(&RULES, probe), BreakerChange::None);
            assert_eq!(breaker.open_until(), Some(probe + TimeDelta::minutes(pause)));
            probe += TimeDelta::minutes(pause);
        }
    }

    #[test]
    fn others_wait_for_a_probe() {
        let mut breaker = Breaker::default();
        breaker.begin_probe(now());
        assert!(!breaker.is_open());
        (0..3).for_each(|_| _ = breaker.record_failure(&RULES, now()));
        let lease = now() + TimeDelta::minutes(2);
        breaker.begin_probe(lease);
        assert_eq!(breaker.open_until(), Some(lease));
    }

    #[test]
    fn breakers_of_older_versions_are_read() {
        let old: Breaker =
            serde_json::from_str(r#"{"failures":4,"open_until":"2026-03-01T10:00:00Z"}"#).unwrap();
        assert!(old.is_open());
        assert_eq!(serde_json::from_str::<Breaker>("{}").unwrap(), Breaker::default());
    }
}
