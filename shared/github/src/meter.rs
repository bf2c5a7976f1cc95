//! Counting what calls cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What calls cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests sent, retries included.
    pub requests: u64,
    /// Rate limit points: what GitHub reported for a query, or else its maximum cost; 1 for a REST request.
    pub points: u64,
    /// Failed attempts that were repeated.
    pub retries: u64,
    /// Bytes of response bodies.
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

/// Sums up usage. Shared by all clones of a client.
#[derive(Debug, Default)]
struct Meter {
    requests: AtomicU64,
    points: AtomicU64,
    retries: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    fn add(&self, usage: Usage) {
        self.requests.fetch_add(usage.requests, Ordering::Relaxed);
        self.points.fetch_add(usage.points, Ordering::Relaxed);
        self.retries.fetch_add(usage.retries, Ordering::Relaxed);
        self.bytes.fetch_add(usage.bytes, Ordering::Relaxed);
    }

    fn usage(&self) -> Usage {
        Usage {
            requests: self.requests.load(Ordering::Relaxed),
            points: self.points.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

/// The meters of a client: its own one last, after those of the clients that it was made from.
#[derive(Debug, Clone)]
pub(crate) struct MeterStack(Vec<Arc<Meter>>);

impl MeterStack {
    /// A stack with one meter.
    pub(crate) fn new() -> Self {
        MeterStack(vec![Arc::default()])
    }

    /// Puts a new meter on top.
    pub(crate) fn push(&mut self) {
        self.0.push(Arc::default());
    }

    /// Adds the usage to every meter.
    pub(crate) fn record(&self, usage: Usage) {
        self.0.iter().for_each(|meter| meter.add(usage));
    }

    /// The usage on the topmost meter.
    pub(crate) fn usage(&self) -> Usage {
        self.0.last().map(|meter| meter.usage()).unwrap_or_default()
    }
}
