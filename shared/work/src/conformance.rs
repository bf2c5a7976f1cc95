//! What tasks promise on every store, for the tests of adapters: a clock that tests set, and many workers.
//!
//! The workers run at once, so run them on a multi-thread runtime.

mod many_workers;

pub use gam_store::conformance::{CommitFault, FaultyRecords};
pub use many_workers::many_workers;

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::Clock;

/// A clock that tests set. Clones show the same time, each with its own difference.
#[derive(Clone)]
pub struct TestClock {
    time: Arc<Mutex<DateTime<Utc>>>,
    ahead: TimeDelta,
}

impl TestClock {
    /// Creates a clock that shows this time.
    pub fn new(time: DateTime<Utc>) -> Self {
        TestClock { time: Arc::new(Mutex::new(time)), ahead: TimeDelta::zero() }
    }

    /// Returns a clock that is ahead of this one.
    #[must_use]
    pub fn ahead(&self, ahead: TimeDelta) -> Self {
        TestClock { ahead, ..self.clone() }
    }

    /// Lets time pass, for all clones.
    pub fn advance(&self, by: TimeDelta) {
        *self.time.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.time.lock().unwrap_or_else(PoisonError::into_inner) + self.ahead
    }
}
