//! Compares releases and deployments. What is missing is added; nothing is retracted, because GitHub forgets
//! what was deleted.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use gam_github::PageSize;

use super::RepoComparison;
use crate::CollectError;
use crate::checkpoint::{DeploymentsCheckpoint, ReleasesCheckpoint};
use crate::deployments::SETTLING_PERIOD;

impl RepoComparison<'_> {
    /// Compares the releases in the lake with those that the last collection read, which the checkpoint
    /// remembers. The list is requested only if some are missing.
    pub(super) async fn compare_releases(
        &mut self,
        checkpoint: &ReleasesCheckpoint,
    ) -> Result<(), CollectError> {
        let is_missing = |(id, at): &(&i64, &DateTime<Utc>)| !self.stored.has_release(**id, **at);
        let mut unseen: BTreeSet<i64> =
            checkpoint.published.iter().filter(is_missing).map(|(id, _)| *id).collect();
        let known = &checkpoint.unanswered.known();
        let (mut missing, mut cursor, mut size) = (Vec::new(), None::<String>, PageSize::new(100));
        while !unseen.is_empty() {
            let page = self.github.releases(&self.repo, cursor.as_deref(), known, &mut size).await?;
            for release in
                page.entries.iter().filter(|it| it.database_id.is_some_and(|id| unseen.remove(&id)))
            {
                missing.extend(self.event_builder.release(release));
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        missing.retain(|event| self.stored.lacks_delivery(event));
        self.repair("releases", missing.len(), missing).await
    }

    /// Compares the deployments since the list was first read, one by one.
    pub(super) async fn compare_deployments(
        &mut self,
        checkpoint: &DeploymentsCheckpoint,
    ) -> Result<(), CollectError> {
        let Some(covered_from) = checkpoint.covered_from.filter(|_| checkpoint.total > 0) else {
            return Ok(());
        };
        let lower_bound = covered_from - SETTLING_PERIOD;
        let (mut missing, mut entries, mut listed) = (Vec::new(), 0, 0);
        let (mut cursor, mut size) = (None::<String>, PageSize::new(100));
        loop {
            let page = self.github.deployments(&self.repo, cursor.as_deref(), &mut size).await?;
            listed += page.entries.len();
            for deployment in page.entries.iter().filter(|it| it.created_at >= lower_bound) {
                let mut events = self.event_builder.deployment(deployment);
                // A retraction of what was never stored changes nothing.
                events.retain(|event| self.stored.lacks_delivery(event));
                entries += usize::from(events.iter().any(|event| !event.retracted));
                missing.extend(events);
            }
            let is_done = page.entries.iter().any(|it| it.created_at < lower_bound);
            cursor = page.next.filter(|_| !is_done && listed < self.max_entries);
            if cursor.is_none() {
                break;
            }
        }
        self.repair("deployments", entries, missing).await
    }
}
