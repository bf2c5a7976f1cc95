//! Processing the inbox: batches into months, then delete the batches.
//!
//! Batches are decoded into a chunk until it is full. A batch that is larger than a chunk is decoded first to find out
//! whether all of it can be read, then a chunk at a time: its live events, and after them its retractions. It is deleted
//! after its last chunk. After a crash, its first chunks are merged again, which changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use gam_lake::inbox::BatchFile;
use gam_lake::{Error as LakeError, Events, ObjectPath, Table, inbox};
use gam_model::{Event, Month};

use crate::month::{MonthOutcome, run_blocking};
use crate::names::NameCollector;
use crate::{AggregateError, AggregateProgress, AggregateRun};

/// Orders the events of a chunk into updates of months. Months become visible one by one, and sums should not dip: an
/// event that is retracted in one month can be replaced by one in another month. So the live events of all months come
/// before the retractions of other months. A month with both is updated twice, except the last such month. Each update
/// has one event for each id.
fn updates_with_gains_first(events_by_month: BTreeMap<Month, Vec<Event>>) -> Vec<(Month, Vec<Event>)> {
    let (mut updates, mut mixed, mut retractions) = (Vec::new(), Vec::new(), Vec::new());
    for (month, events) in events_by_month {
        let events = Events::winners(events);
        let retracted = events.iter().filter(|event| event.retracted).count();
        match retracted {
            0 => updates.push((month, events)),
            all if all == events.len() => retractions.push((month, events)),
            _ => mixed.push((month, events)),
        }
    }
    let last_mixed = mixed.pop();
    for (month, events) in mixed {
        let (retracted, live) = events.into_iter().partition(|event| event.retracted);
        updates.push((month, live));
        retractions.push((month, retracted));
    }
    updates.into_iter().chain(last_mixed).chain(retractions).collect()
}

/// Events that are merged together.
#[derive(Default)]
struct Chunk {
    events: BTreeMap<Month, Vec<Event>>,
    names: NameCollector,
    /// How much memory the events take.
    bytes: u64,
    /// The batches that end in this chunk, with the months that they touch.
    batches: Vec<(ObjectPath, BTreeSet<Month>)>,
}

impl Chunk {
    fn add(&mut self, event: Event) {
        self.bytes += Events::memory_bytes(&event) as u64;
        self.names.add_event(&event);
        self.events.entry(event.month()).or_default().push(event);
    }

    /// Adds all events of a batch.
    fn add_batch(&mut self, path: ObjectPath, events: Vec<Event>) {
        let months = events.iter().map(Event::month).collect();
        events.into_iter().for_each(|event| self.add(event));
        self.batches.push((path, months));
    }

    fn event_count(&self) -> usize {
        self.events.values().map(Vec::len).sum()
    }
}

/// The events of a batch.
enum DecodedBatch {
    /// All of them, and the memory that they take, in bytes.
    Complete(Vec<Event>, u64),
    /// They take more memory than a chunk may.
    TooLarge,
}

/// Decodes a batch. If its events take more than `max_bytes`, it only checks that they can be decoded.
fn decode(batch: BatchFile, max_bytes: u64) -> Result<DecodedBatch, LakeError> {
    let (mut decoded, mut bytes) = (Vec::new(), 0);
    for events in batch.into_rows()? {
        let events = events?;
        bytes += events.iter().map(|event| Events::memory_bytes(event) as u64).sum::<u64>();
        if bytes <= max_bytes {
            decoded.extend(events);
        } else {
            decoded = Vec::new();
        }
    }
    Ok(if bytes <= max_bytes { DecodedBatch::Complete(decoded, bytes) } else { DecodedBatch::TooLarge })
}

/// Decodes events of a batch that is larger than a chunk until they take `max_bytes`, and leaves out those that are
/// retracted, or are not. Returns whether the batch has no more events.
fn fill_chunk(
    chunk: &mut Chunk,
    rows: &mut impl Iterator<Item = Result<Vec<Event>, LakeError>>,
    max_bytes: u64,
    retracted: bool,
) -> Result<bool, LakeError> {
    while chunk.bytes < max_bytes {
        let Some(events) = rows.next() else { return Ok(true) };
        events?.into_iter().filter(|event| event.retracted == retracted).for_each(|event| chunk.add(event));
    }
    Ok(false)
}

/// Whether a run may go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    GoOn,
    /// The time is over, or there is a newer epoch. Batches stay in the inbox.
    Stop,
}

impl AggregateRun<'_> {
    /// Processes all batches that are in the inbox now.
    pub(crate) async fn process_inbox(&mut self) -> Result<(), AggregateError> {
        let mut listed = inbox::list::<Events>(&*self.ports.objects, self.org).await?;
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
        let mut chunk = Chunk::default();
        for batch in listed {
            if self.must_stop() {
                return Ok(());
            }
            let Some((file, decoded)) = self.read_batch(&batch.path).await? else { continue };
            let bytes = match &decoded {
                DecodedBatch::Complete(_, bytes) => *bytes,
                DecodedBatch::TooLarge => u64::MAX,
            };
            let is_full = bytes > self.options.chunk_bytes.saturating_sub(chunk.bytes);
            if is_full && self.process_chunk(std::mem::take(&mut chunk)).await? == Progress::Stop {
                return Ok(());
            }
            match decoded {
                DecodedBatch::Complete(events, _) => {
                    self.report.events += events.len();
                    chunk = run_blocking(move || {
                        chunk.add_batch(batch.path, events);
                        chunk
                    })
                    .await;
                }
                DecodedBatch::TooLarge => {
                    if self.process_in_chunks(batch.path, file).await? == Progress::Stop {
                        return Ok(());
                    }
                }
            }
        }
        self.process_chunk(chunk).await?;
        Ok(())
    }

    /// Processes a batch that is larger than a chunk. Its retractions come last, because sums should not dip.
    async fn process_in_chunks(
        &mut self,
        path: ObjectPath,
        file: BatchFile,
    ) -> Result<Progress, AggregateError> {
        let max_bytes = self.options.chunk_bytes;
        let mut touched = BTreeSet::new();
        for retracted in [false, true] {
            let mut rows = file.clone().into_rows()?;
            let mut is_complete = false;
            while !is_complete {
                let filled = run_blocking(move || {
                    let mut chunk = Chunk::default();
                    let is_last = fill_chunk(&mut chunk, &mut rows, max_bytes, retracted)?;
                    Ok::<_, LakeError>((rows, chunk, is_last))
                });
                let (rest, chunk, is_last) = filled.await?;
                (rows, is_complete) = (rest, is_last);
                self.report.events += chunk.event_count();
                touched.extend(chunk.events.keys());
                if self.process_chunk(chunk).await? == Progress::Stop {
                    return Ok(Progress::Stop);
                }
            }
        }
        self.process_chunk(Chunk { batches: vec![(path, touched)], ..Chunk::default() }).await
    }

    async fn process_chunk(&mut self, chunk: Chunk) -> Result<Progress, AggregateError> {
        if !chunk.events.is_empty() {
            self.ports.names.put_names(self.org, &chunk.names.into_entries()).await?;
        }
        let updates = run_blocking(move || updates_with_gains_first(chunk.events)).await;
        for (month, events) in updates {
            if self.must_stop() {
                // The batches stay in the inbox. The next run merges them again into the months that
                // already have their events, which changes nothing there.
                return Ok(Progress::Stop);
            }
            let update = match self.update_month::<Events>(month, events, false).await {
                Err(error) if error.is_unreadable_month() => {
                    self.remember_unreadable::<Events>(month).await?;
                    self.record_unreadable::<Events>(month, error);
                    continue;
                }
                update => update?,
            };
            if update.was_lost {
                self.report.lost_months.insert(month);
            }
            match update.outcome {
                MonthOutcome::Written { rollups } => self.report_month(month, rollups),
                MonthOutcome::Lost => _ = self.unmergeable.insert(month),
                MonthOutcome::SkippedNewerVersion => _ = self.skipped.insert(month),
                MonthOutcome::Superseded(newer) => {
                    self.superseded_by = self.superseded_by.max(Some(newer));
                    return Ok(Progress::Stop);
                }
            }
        }
        for (path, touched) in chunk.batches {
            if !touched.is_disjoint(&self.skipped) {
                self.report.deferred += 1;
            } else if !touched.is_disjoint(&self.unmergeable) {
                self.report.waiting += 1;
            } else {
                self.ports.objects.delete(&path).await?;
                self.report.batches += 1;
            }
        }
        Ok(Progress::GoOn)
    }

    /// Reads a batch. Returns `None` if there is nothing to merge: another aggregation has deleted the
    /// batch, it is damaged and was moved to `rejected/`, or it stays because its format is newer.
    async fn read_batch(
        &mut self,
        path: &ObjectPath,
    ) -> Result<Option<(BatchFile, DecodedBatch)>, AggregateError> {
        let max_bytes = self.options.chunk_bytes;
        let read = match inbox::fetch::<Events>(&*self.ports.objects, path).await {
            Ok(None) => return Ok(None),
            Ok(Some(file)) => {
                let batch = file.clone();
                run_blocking(move || decode(batch, max_bytes)).await.map(|decoded| (file, decoded))
            }
            Err(error) => Err(error),
        };
        match read {
            Ok(batch) => Ok(Some(batch)),
            Err(error @ LakeError::Damaged { .. }) => {
                let rejected = inbox::reject::<Events>(&*self.ports.objects, path).await?;
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
