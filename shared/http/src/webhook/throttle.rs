//! How many deliveries are taken, and how much memory their bodies use together.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::auth::{RequestRate, RequestRates};
use crate::error::ApiError;

/// How many signed deliveries are taken. A mass change on GitHub sends one for each issue.
const RATE: RequestRate = RequestRate { per_second: 1_000.0, burst: 2_000.0 };
/// The unit of memory, in bytes.
const MEMORY_UNIT: usize = 4 * 1024;
/// Greatest length of all bodies that are held at once, in bytes.
const MAX_MEMORY: usize = 128 * 1024 * 1024;
/// How long a delivery waits for memory.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Bounds the deliveries that are taken at once.
pub(super) struct Throttle {
    rates: RequestRates,
    memory: Semaphore,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Throttle { rates: RequestRates::new(RATE), memory: Semaphore::new(MAX_MEMORY / MEMORY_UNIT) }
    }

    /// Counts a delivery.
    ///
    /// # Errors
    /// 429 if there are too many.
    pub(super) fn take(&self) -> Result<(), ApiError> {
        self.rates.take("webhook").map_err(|error| error.because("there are too many"))
    }

    /// Waits for memory for a body of `bytes` bytes.
    ///
    /// # Errors
    /// 503 if others use it for too long.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<SemaphorePermit<'_>, ApiError> {
        let units = u32::try_from(bytes.div_ceil(MEMORY_UNIT)).unwrap_or(u32::MAX);
        match timeout(MAX_WAIT, self.memory.acquire_many(units)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(ApiError::overloaded()),
        }
    }
}
