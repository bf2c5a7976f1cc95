//! How many deliveries are taken, and how much memory their bodies use together.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::auth::{RequestRate, RequestRates};
use crate::error::ApiError;

/// Number of signed deliveries that are taken. Unsigned ones do not count, so they cannot use this up. A mass change on
/// GitHub sends one for each issue.
const RATE: RequestRate = RequestRate { per_second: 1_000.0, burst: 2_000.0 };
/// The unit of memory, in bytes.
const MEMORY_UNIT: usize = 4 * 1024;
/// Bodies of up to this many bytes are small: nearly all of GitHub's are.
const MAX_SMALL_BYTES: usize = 512 * 1024;
/// Greatest length of all small bodies that are held at once, in bytes.
const MAX_SMALL_MEMORY: usize = 64 * 1024 * 1024;
/// Greatest length of all other bodies that are held at once, in bytes. They cannot take the memory of small ones.
const MAX_LARGE_MEMORY: usize = 64 * 1024 * 1024;
/// How long a delivery waits for memory.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Bounds the deliveries that are taken at once.
pub(super) struct Throttle {
    rates: RequestRates,
    small: Semaphore,
    large: Semaphore,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Throttle {
            rates: RequestRates::new(RATE),
            small: Semaphore::new(MAX_SMALL_MEMORY / MEMORY_UNIT),
            large: Semaphore::new(MAX_LARGE_MEMORY / MEMORY_UNIT),
        }
    }

    /// Counts a signed delivery.
    ///
    /// # Errors
    /// 429 if there are too many.
    pub(super) fn take(&self) -> Result<(), ApiError> {
        self.rates
            .take("webhook")
            .map_err(|seconds| ApiError::too_many_deliveries(seconds).because("there are too many"))
    }

    /// Waits for memory for a body of `bytes` bytes.
    ///
    /// # Errors
    /// 503 if others use it for too long.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<SemaphorePermit<'_>, ApiError> {
        let units = u32::try_from(bytes.div_ceil(MEMORY_UNIT)).unwrap_or(u32::MAX);
        let memory = if bytes <= MAX_SMALL_BYTES { &self.small } else { &self.large };
        match timeout(MAX_WAIT, memory.acquire_many(units)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(ApiError::overloaded()),
        }
    }
}
