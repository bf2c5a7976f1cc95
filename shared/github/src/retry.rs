//! Retries: repeats failed attempts after a pause, and requests smaller pages if a page is too heavy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::envelope::GraphQlReply;
use crate::error::{AttemptError, Error};
use crate::meter::{MeterStack, Usage};
use crate::page::PageSize;
use crate::response::ApiResponse;

/// How many pauses a call makes before it fails.
pub(crate) const MAX_PAUSES: usize = 8;
/// The same while no connection to the host has ever succeeded: the address may be wrong.
const MAX_PAUSES_BEFORE_FIRST_RESPONSE: u32 = 4;
/// The first pause. The following ones grow exponentially.
const MIN_PAUSE: Duration = Duration::from_millis(300);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(20);
/// After how many failures in a row a warning is logged.
const FAILURES_BEFORE_WARNING: u32 = 3;

/// The result of a successful attempt.
pub(crate) trait Timed {
    /// How long the response took, not counting the wait before it was requested.
    fn response_time(&self) -> Duration;
}

impl<T> Timed for GraphQlReply<T> {
    fn response_time(&self) -> Duration {
        self.response_time
    }
}

impl<T> Timed for (T, ApiResponse) {
    fn response_time(&self) -> Duration {
        self.1.response_time
    }
}

/// How strongly a failure suggests that the page was too heavy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TooHeavyEvidence {
    /// The server failed for no stated reason.
    Weak,
    /// The server failed in a way that blames the request.
    Strong,
}

impl TooHeavyEvidence {
    fn score(self) -> u32 {
        match self {
            TooHeavyEvidence::Weak => 2,
            TooHeavyEvidence::Strong => 3,
        }
    }
}

/// Decides when failures at one page size justify a smaller page. A server failure may be temporary: the size
/// is blamed only for the second failure with strong evidence, or the third of any kind.
#[derive(Default)]
struct PageSizeSuspicion {
    size: u32,
    score: u32,
}

impl PageSizeSuspicion {
    /// The score at which the size is blamed.
    const THRESHOLD: u32 = 6;

    /// Records a failure at that size. Returns the evidence if a smaller page should be requested now.
    fn record_failure(&mut self, size: u32, evidence: TooHeavyEvidence) -> Option<TooHeavyEvidence> {
        let before = if self.size == size { self.score } else { 0 };
        let score = before + evidence.score();
        *self = PageSizeSuspicion { size, score };
        (score >= Self::THRESHOLD).then_some(evidence)
    }
}

/// How often and how long a call is retried.
pub(crate) struct RetryPolicy<'a> {
    /// How many pauses a call makes before it fails.
    pub(crate) max_pauses: usize,
    /// The number of successful responses from the host so far.
    pub(crate) successful_responses: &'a AtomicU64,
    pub(crate) meters: &'a MeterStack,
}

impl RetryPolicy<'_> {
    /// Runs `attempt` until it succeeds, with the page size as its argument (1 if the call has no pages). If
    /// a page is too heavy, a smaller one is requested at once. After any other temporary failure the call
    /// pauses, each time longer and with jitter, a limited number of times.
    ///
    /// # Errors
    /// If another attempt cannot help, or the pauses are used up.
    pub(crate) async fn run<T: Timed>(
        &self,
        what: &str,
        mut page_size: Option<&mut PageSize>,
        attempt: impl AsyncFn(u32) -> Result<T, AttemptError>,
    ) -> Result<T, Error> {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(MIN_PAUSE)
            .with_max_delay(MAX_PAUSE)
            .with_max_times(self.max_pauses)
            .with_jitter()
            .build();
        let (mut suspicion, mut failures) = (PageSizeSuspicion::default(), 0);
        loop {
            let size = page_size.as_ref().map_or(1, |size| size.get());
            let (why, evidence) = match attempt(size).await {
                Ok(reply) => {
                    if let Some(size) = &mut page_size {
                        size.record_success(reply.response_time());
                    }
                    return Ok(reply);
                }
                Err(AttemptError::Fatal(error)) => return Err(error),
                Err(AttemptError::TooHeavy(why)) => (why, Some(TooHeavyEvidence::Strong)),
                Err(AttemptError::MaybeTooHeavy(why)) => {
                    (why, suspicion.record_failure(size, TooHeavyEvidence::Strong))
                }
                Err(AttemptError::ServerFailure(why)) => {
                    (why, suspicion.record_failure(size, TooHeavyEvidence::Weak))
                }
                Err(AttemptError::Transient(why)) => (why, None),
                Err(AttemptError::Unreachable(why)) if self.is_host_unreachable(failures) => {
                    return Err(Error::unavailable(what, &why));
                }
                Err(AttemptError::Unreachable(why)) => (why, None),
            };
            self.meters.record(Usage { retries: 1, ..Usage::default() });
            let has_shrunk =
                page_size.as_mut().zip(evidence).is_some_and(|(size, evidence)| match evidence {
                    TooHeavyEvidence::Strong => size.shrink(),
                    TooHeavyEvidence::Weak => size.shrink_for_now(),
                });
            if has_shrunk {
                tracing::debug!(what, why, size, "the page is too heavy; requesting a smaller one");
                continue;
            }
            let Some(pause) = pauses.next() else {
                return Err(Error::unavailable(what, &why));
            };
            failures += 1;
            if failures == FAILURES_BEFORE_WARNING {
                tracing::warn!(what, why, "GitHub does not respond; still retrying");
            }
            tracing::debug!(what, why, pause_ms = pause.as_millis() as u64, "retrying after a pause");
            tokio::time::sleep(pause).await;
        }
    }

    fn is_host_unreachable(&self, failures: u32) -> bool {
        failures >= MAX_PAUSES_BEFORE_FIRST_RESPONSE && self.successful_responses.load(Ordering::Relaxed) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::TooHeavyEvidence::{Strong, Weak};
    use super::*;

    #[test]
    fn a_size_is_blamed_for_two_strong_failures_or_three_of_any_kind() {
        let is_blamed = |failures: &[(u32, TooHeavyEvidence)]| {
            let mut suspicion = PageSizeSuspicion::default();
            let is_blamed = failures.iter().map(|(size, by)| suspicion.record_failure(*size, *by).is_some());
            is_blamed.collect::<Vec<_>>()
        };
        assert_eq!(is_blamed(&[(50, Strong), (50, Strong)]), [false, true]);
        assert_eq!(is_blamed(&[(50, Weak), (50, Weak), (50, Weak)]), [false, false, true]);
        assert_eq!(is_blamed(&[(50, Strong), (50, Weak), (50, Weak)]), [false, false, true]);
        assert_eq!(is_blamed(&[(50, Strong), (25, Strong), (25, Strong)]), [false, false, true]);
    }
}
