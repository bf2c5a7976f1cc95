//! What calls cost.

use std::sync::atomic::{AtomicU64, Ordering};

/// What some calls have cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests sent, repeated ones among them.
    pub requests: u64,
    /// Points of the limits: what GitHub said a query cost, or else the most it can; one a REST request.
    pub points: u64,
    /// Attempts that were no success and were made again.
    pub retries: u64,
    /// Bytes of answers.
    pub bytes: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.requests += more.requests;
        self.points += more.points;
        self.retries += more.retries;
        self.bytes += more.bytes;
    }
}

/// Counts what calls cost.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    requests: AtomicU64,
    points: AtomicU64,
    retries: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    pub(crate) fn add(&self, usage: Usage) {
        self.requests.fetch_add(usage.requests, Ordering::Relaxed);
        self.points.fetch_add(usage.points, Ordering::Relaxed);
        self.retries.fetch_add(usage.retries, Ordering::Relaxed);
        self.bytes.fetch_add(usage.bytes, Ordering::Relaxed);
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            requests: self.requests.load(Ordering::Relaxed),
            points: self.points.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}
