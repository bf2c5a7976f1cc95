//! Retries: repeats failed attempts after a pause, and requests smaller pages if a page is too heavy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;

use crate::envelope::GraphQlReply;
use crate::error::{AttemptError, Error};
use crate::failure_limit::FailureLimit;
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

/// Decides when failures at one page size justify a smaller page. A server failure may be temporary: the first
/// size is blamed only for the second failure with strong evidence, or the third of any kind.
#[derive(Default)]
struct PageSizeSuspicion {
    size: u32,
    score: u32,
    /// Whether a size was blamed before. Then a smaller one is blamed for its first failure with strong
    /// evidence: the failure has lasted, so it is not temporary.
    has_blamed: bool,
}

impl PageSizeSuspicion {
    /// The score at which the size is blamed.
    const THRESHOLD: u32 = 6;

    /// Records a failure at that size. Returns the evidence if a smaller page should be requested now.
    fn record_failure(&mut self, size: u32, evidence: TooHeavyEvidence) -> Option<TooHeavyEvidence> {
        let before = if self.size == size { self.score } else { 0 };
        let score = before + evidence.score();
        let is_lasting = self.has_blamed && evidence == TooHeavyEvidence::Strong;
        let is_blamed = score >= Self::THRESHOLD || is_lasting;
        *self = PageSizeSuspicion { size, score, has_blamed: self.has_blamed || is_blamed };
        is_blamed.then_some(evidence)
    }
}

/// How often and how long a call is retried.
pub(crate) struct RetryPolicy<'a> {
    /// How many pauses a call makes before it fails.
    pub(crate) max_pauses: usize,
    /// How many times the page may shrink before the call fails, for a caller that then looks for the entry
    /// that is to blame; `None` if it may shrink to a single entry.
    pub(crate) max_shrinks: Option<u32>,
    /// Limits the time that is lost.
    pub(crate) failure_limit: &'a FailureLimit,
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
        let (mut suspicion, mut failures, mut shrinks) = (PageSizeSuspicion::default(), 0, 0);
        let mut lost = self.failure_limit.start();
        loop {
            let size = page_size.as_ref().map_or(1, |size| size.get());
            let started_at = Instant::now();
            let failure = match attempt(size).await {
                Ok(reply) => {
                    if let Some(size) = &mut page_size {
                        size.record_success(reply.response_time());
                    }
                    return Ok(reply);
                }
                Err(AttemptError::Fatal(error)) => return Err(error),
                Err(failure) => failure,
            };
            lost.add_attempt(started_at.elapsed());
            self.meters.record(Usage { retries: 1, ..Usage::default() });
            let evidence = match &failure {
                AttemptError::TooHeavy(_) => Some(TooHeavyEvidence::Strong),
                AttemptError::MaybeTooHeavy(_) => suspicion.record_failure(size, TooHeavyEvidence::Strong),
                AttemptError::ServerFailure(_) => suspicion.record_failure(size, TooHeavyEvidence::Weak),
                _ => None,
            };
            let is_host_wrong =
                matches!(failure, AttemptError::Unreachable(_)) && self.is_host_unreachable(failures);
            let why = failure.to_string();
            let can_shrink = evidence.is_some() && self.max_shrinks.is_none_or(|max| shrinks < max);
            let has_shrunk = can_shrink
                && page_size.as_mut().zip(evidence).is_some_and(|(size, evidence)| match evidence {
                    TooHeavyEvidence::Strong => size.shrink(),
                    TooHeavyEvidence::Weak => size.shrink_for_now(),
                });
            if has_shrunk {
                shrinks += 1;
                tracing::debug!(what, why, size, "the page is too heavy; requesting a smaller one");
                continue;
            }
            let is_for_caller = evidence.is_some() && self.max_shrinks.is_some();
            let pause = pauses.next().filter(|_| !is_for_caller && !is_host_wrong);
            let Some(pause) = pause.and_then(|pause| lost.pause(pause)) else {
                lost.spend();
                return Err(failure.into_error(what));
            };
            failures += 1;
            if failures == FAILURES_BEFORE_WARNING {
                tracing::warn!(what, why, "GitHub does not return this; still retrying");
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
    fn the_first_size_is_blamed_for_two_strong_failures_or_three() {
        let is_blamed = |failures: &[(u32, TooHeavyEvidence)]| {
            let mut suspicion = PageSizeSuspicion::default();
            let is_blamed = failures.iter().map(|(size, by)| suspicion.record_failure(*size, *by).is_some());
            is_blamed.collect::<Vec<_>>()
        };
        assert_eq!(is_blamed(&[(50, Strong), (50, Strong)]), [false, true]);
        assert_eq!(is_blamed(&[(50, Weak), (50, Weak), (50, Weak)]), [false, false, true]);
        assert_eq!(is_blamed(&[(50, Strong), (50, Weak), (50, Weak)]), [false, false, true]);
        assert_eq!(is_blamed(&[(50, Strong), (25, Strong), (25, Strong)]), [false, false, true]);
        let shrinking = [(50, Strong), (50, Strong), (25, Strong), (12, Strong), (6, Weak)];
        assert_eq!(is_blamed(&shrinking), [false, true, true, true, false], "it lasts");
    }
}
