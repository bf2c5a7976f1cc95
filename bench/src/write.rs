//! Writes a generated lake: month snapshots, or the batches from which they would be merged.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use arrow_array::RecordBatch;
use gam_fold::LOGIC_VERSION;
use gam_lake::schema::decode;
use gam_lake::snapshot::Stamp;
use gam_lake::{Events, FileStore, ObjectStore, inbox, snapshot};
use gam_model::{Event, EventBatch, Month};
use tokio::runtime::Handle;

use crate::month::LakeGenerator;

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WrittenLake {
    /// Number of snapshots or batches.
    pub files: u64,
    /// Number of rows in them.
    pub rows: u64,
}

/// Returns the stamp of a first snapshot that an aggregation without a configuration leaves as it is.
pub fn current_stamp() -> Stamp {
    Stamp::new(1, 1, LOGIC_VERSION)
}

/// Writes every month as a snapshot of generation 1, `parallel_months` of them at the same time. That many months
/// are in memory. `notice` is called after each month.
///
/// # Errors
/// If a month cannot be generated or written, or has a snapshot already.
pub fn write_snapshots(
    generator: &LakeGenerator,
    dir: &Path,
    parallel_months: usize,
    notice: &(dyn Fn(Month) + Sync),
) -> anyhow::Result<WrittenLake> {
    let runtime = runtime()?;
    let objects = FileStore::open(dir)?;
    let months = generator.months();
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<anyhow::Result<u64>>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(&month) = months.get(index) else { return };
            let written = write_snapshot(generator, &objects, runtime.handle(), index, month);
            let is_error = written.is_err();
            results.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(written);
            if is_error {
                next.store(months.len(), Ordering::Relaxed);
                return;
            }
            notice(month);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..parallel_months.max(1) {
            scope.spawn(work);
        }
    });
    let mut written = WrittenLake::default();
    for rows in results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        written.rows += rows?;
        written.files += 1;
    }
    Ok(written)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().context("cannot start threads")
}

fn write_snapshot(
    generator: &LakeGenerator,
    objects: &dyn ObjectStore,
    runtime: &Handle,
    index: usize,
    month: Month,
) -> anyhow::Result<u64> {
    let batches = generator.month(index)?;
    let stamp = current_stamp();
    let org = generator.org();
    let written = runtime.block_on(snapshot::write::<Events>(objects, org, month, &batches, &stamp, None))?;
    if written.is_none() {
        bail!("{org} has a snapshot of {month} already: choose another directory with --out");
    }
    Ok(batches.iter().map(|batch| batch.num_rows() as u64).sum())
}

/// Writes every event into the inbox, in batches of `batch_events` in the order in which they were collected.
///
/// Aggregating the batches gives the rows of the snapshots. Late events are in a batch of a later month, and a
/// retracted event is in two batches: as it was first, and as it was retracted. One month is in memory.
///
/// # Errors
/// If a month cannot be generated or a batch cannot be written.
pub fn write_batches(
    generator: &LakeGenerator,
    dir: &Path,
    batch_events: usize,
    notice: &(dyn Fn(Month) + Sync),
) -> anyhow::Result<WrittenLake> {
    let runtime = runtime()?;
    let objects = FileStore::open(dir)?;
    let mut written = WrittenLake::default();
    let mut waiting: Vec<Event> = Vec::new();
    let mut put = |events: &[Event]| -> anyhow::Result<()> {
        let batch = EventBatch::new(generator.org(), events.to_vec());
        written.rows += batch.events().len() as u64;
        written.files += u64::from(runtime.block_on(inbox::put(&objects, &batch))?.is_some());
        Ok(())
    };
    for (index, month) in generator.months().into_iter().enumerate() {
        waiting.extend(events_with_first_versions(&generator.month(index)?)?);
        waiting.sort_by(|a, b| a.collected_at.cmp(&b.collected_at).then_with(|| a.id.cmp(&b.id)));
        // What is collected after the end of the month waits for the events of the next one.
        let end = gam_model::period::midnight(month.end());
        let collected = waiting.partition_point(|event| event.collected_at < end);
        let complete = collected - collected % batch_events;
        waiting.drain(..complete).collect::<Vec<_>>().chunks(batch_events).try_for_each(&mut put)?;
        notice(month);
    }
    waiting.chunks(batch_events).try_for_each(&mut put)?;
    Ok(written)
}

/// Returns the events in the rows, and of each retracted one its version before the retraction.
fn events_with_first_versions(batches: &[RecordBatch]) -> anyhow::Result<Vec<Event>> {
    let mut events = Vec::new();
    for batch in batches {
        for event in decode(batch)? {
            if event.retracted {
                events.push(first_version(&event));
            }
            events.push(event);
        }
    }
    Ok(events)
}

/// Returns a retracted event as it was collected soon after it happened.
fn first_version(retracted: &Event) -> Event {
    let version = retracted.version.min(retracted.occurred_at.timestamp()) - 1;
    let collected_at = retracted.collected_at.min(retracted.occurred_at + chrono::TimeDelta::hours(1));
    Event { version, collected_at, retracted: false, ..retracted.clone() }
}
