//! Processing the inbox: batches into months, then delete the batches.

use std::collections::{BTreeMap, BTreeSet};

use gam_lake::{Error as LakeError, ObjectPath, inbox};
use gam_model::{Event, Month};

use crate::month::{MonthOutcome, run_blocking};
use crate::names::NameCollector;
use crate::{AggregateError, AggregateProgress, AggregateRun};

/// Orders the months of a chunk: those that only lose events come last, because months become visible one by one
/// and sums should not dip.
fn gaining_months_first(events_by_month: BTreeMap<Month, Vec<Event>>) -> Vec<(Month, Vec<Event>)> {
    let mut months: Vec<_> = events_by_month.into_iter().collect();
    // Stable, so that months are in order otherwise.
    months.sort_by_key(|(_, events)| events.iter().all(|event| event.retracted));
    months
}

impl AggregateRun<'_> {
    /// Processes all batches that are in the inbox now.
    pub(crate) async fn process_inbox(&mut self) -> Result<(), AggregateError> {
        let mut listed = inbox::list(&*self.ports.objects, self.org).await?;
        let max_bytes = self.options.max_batch_bytes;
        for batch in listed.extract_if(.., |batch| batch.size > max_bytes) {
            tracing::error!(
                batch = %batch.path,
                bytes = batch.size,
                "object is too large to be a batch: move it out of the inbox"
            );
            self.report.oversized.push((batch.path.to_string(), batch.size));
        }
        if !listed.is_empty() {
            self.observer.notice(AggregateProgress::Inbox { batches: listed.len() });
        }
        let mut listed = listed.into_iter().peekable();
        while listed.peek().is_some() && !self.must_stop() {
            let (mut paths, mut bytes) = (Vec::new(), 0);
            while bytes < self.options.chunk_bytes
                && let Some(batch) = listed.next()
            {
                bytes += batch.size;
                paths.push(batch.path);
            }
            self.process_chunk(paths).await?;
        }
        Ok(())
    }

    async fn process_chunk(&mut self, paths: Vec<ObjectPath>) -> Result<(), AggregateError> {
        let mut events_by_month: BTreeMap<Month, Vec<Event>> = BTreeMap::new();
        let mut batches: Vec<(ObjectPath, BTreeSet<Month>)> = Vec::new();
        let mut names = NameCollector::default();
        for path in paths {
            let Some(events) = self.read_batch(&path).await? else { continue };
            self.report.events += events.len();
            let touched;
            (names, events_by_month, touched) = run_blocking(move || {
                let mut touched = BTreeSet::new();
                for event in events {
                    names.add_event(&event);
                    touched.insert(event.month());
                    events_by_month.entry(event.month()).or_default().push(event);
                }
                (names, events_by_month, touched)
            })
            .await;
            batches.push((path, touched));
        }
        self.ports.names.put_names(self.org, &names.into_entries()).await?;
        let mut skipped = BTreeSet::new();
        for (month, events) in gaining_months_first(events_by_month) {
            if self.must_stop() {
                // The batches stay in the inbox. The next run merges them again into the months that
                // already have their events, which changes nothing there.
                return Ok(());
            }
            let update = self.update_month(month, events, false).await?;
            if update.was_lost {
                self.report.lost_months.insert(month);
            }
            match update.outcome {
                MonthOutcome::Written { rollups } => self.report_month(month, rollups),
                MonthOutcome::Lost => {}
                MonthOutcome::SkippedNewerVersion => {
                    skipped.insert(month);
                }
                MonthOutcome::Superseded(newer) => {
                    self.superseded_by = self.superseded_by.max(Some(newer));
                    return Ok(());
                }
            }
        }
        for (path, touched) in batches {
            if touched.is_disjoint(&skipped) {
                self.ports.objects.delete(&path).await?;
                self.report.batches += 1;
            } else {
                self.report.deferred += 1;
            }
        }
        Ok(())
    }

    /// Reads a batch. Returns `None` if there is nothing to merge: another aggregation has deleted the
    /// batch, it is damaged and was moved to `rejected/`, or it stays because its format is newer.
    async fn read_batch(&mut self, path: &ObjectPath) -> Result<Option<Vec<Event>>, AggregateError> {
        match inbox::read(&*self.ports.objects, path).await {
            Ok(events) => Ok(events),
            Err(error @ LakeError::Damaged { .. }) => {
                let rejected = inbox::reject(&*self.ports.objects, path).await?;
                let why = error.to_string();
                tracing::warn!(batch = %path, rejected = %rejected, why, "rejected a damaged batch");
                self.observer
                    .notice(AggregateProgress::Rejected { path: rejected.to_string(), why: why.clone() });
                self.report.rejected.push((rejected.to_string(), why));
                Ok(None)
            }
            Err(LakeError::NewerFormat { .. }) => {
                self.report.deferred += 1;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
