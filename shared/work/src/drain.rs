//! Carries out what is in the local queue.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use gam_store::{Expectation, RecordCommit, RecordCommitId, commit_until_answered};

use crate::order::{QueuedOrder, RecordQueue, WebhookOrder, put_order};
use crate::process::{OrderOutcome, Processor, WorkError};

/// After how many attempts an order is given up. The next reconciling repairs what it would have done.
const MAX_ATTEMPTS: u32 = 12;
/// After how many attempts an order is given up that GitHub refuses.
const MAX_REFUSALS: u32 = 3;
/// The pause after the first failure. Each further one doubles it.
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(5);
const MAX_PAUSE: TimeDelta = TimeDelta::hours(1);

/// What was carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Number of orders by what became of them.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Number of orders that failed and will be tried again.
    pub postponed: u64,
    /// Number of orders that were given up.
    pub given_up: u64,
}

impl DrainReport {
    /// Returns whether the queue had nothing that was due.
    pub fn is_empty(&self) -> bool {
        *self == DrainReport::default()
    }
}

impl OrderOutcome {
    /// Returns the name for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            OrderOutcome::Done => "done",
            OrderOutcome::Duplicate => "duplicate",
            OrderOutcome::UnknownOrg => "unknown_org",
            OrderOutcome::ExcludedRepo => "excluded_repo",
        }
    }
}

impl Processor {
    /// Carries out up to `limit` orders that are due, as [`Processor::drain_where`].
    ///
    /// # Errors
    /// If the store fails.
    pub async fn drain(&self, queue: &RecordQueue, limit: usize) -> Result<DrainReport, WorkError> {
        self.drain_where(queue, limit, |_| true).await
    }

    /// Carries out orders that are due, of the first `limit` in the queue: those that `is_wanted` selects. One that fails
    /// does not stop the others.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn drain_where(
        &self,
        queue: &RecordQueue,
        limit: usize,
        is_wanted: impl Fn(&WebhookOrder) -> bool,
    ) -> Result<DrainReport, WorkError> {
        let mut report = DrainReport::default();
        for queued in queue.due(limit).await?.into_iter().filter(|queued| is_wanted(&queued.order)) {
            match self.process(&queued.order, Some(&queued.key)).await {
                Ok(outcome) => *report.outcomes.entry(outcome.as_str()).or_default() += 1,
                // One that can never be stored must not stop the others.
                Err(WorkError::Store(error)) if error.is_retryable() => return Err(error.into()),
                Err(error) => match self.postpone(&queued, &error).await? {
                    true => report.postponed += 1,
                    false => report.given_up += 1,
                },
            }
        }
        Ok(report)
    }

    /// Puts an order back for a later time. Returns whether it will be tried again.
    async fn postpone(&self, queued: &QueuedOrder, error: &WorkError) -> Result<bool, WorkError> {
        let QueuedOrder { key, revision, order } = queued;
        let attempts = order.attempts + 1;
        let is_refused = matches!(error, WorkError::Source(error) if !error.is_temporary);
        // These say nothing about the order: the lake is unreadable, or another process has the token.
        let says_nothing = matches!(error, WorkError::Scope(_) | WorkError::NoSource);
        let is_last = !says_nothing && attempts >= if is_refused { MAX_REFUSALS } else { MAX_ATTEMPTS };
        let (event, org, repo) = (
            &order.event,
            &order.org,
            order.repo.as_ref().map(|repo| repo.name.as_str()).unwrap_or_default(),
        );
        let mut commit =
            RecordCommit::new(RecordCommitId::random()).delete(key.clone(), Expectation::Revision(*revision));
        if is_last {
            tracing::warn!(event, org, repo, "gave up the order of a webhook: {error}");
        } else {
            tracing::info!(
                event,
                org,
                repo,
                attempts,
                "the order of a webhook is tried again later: {error}"
            );
            let pause = FIRST_PAUSE * (1 << attempts.min(12));
            let due = self.clock.now() + pause.min(MAX_PAUSE);
            commit = put_order(commit, &WebhookOrder { attempts, ..order.clone() }, due)?;
        }
        commit_until_answered(&*self.records, &commit, self.clock.now()).await?;
        Ok(!is_last)
    }
}
