//! Merges session events into the months of the table `sessions`.
//!
//! Copies of a fact can lie on both sides of a month's edge: a response that began before midnight, of which one copy
//! lacks the beginning. The month of the earliest copy has the row. A row in the month after is retracted, and so are
//! copies that come later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use gam_lake::snapshot::{self, Stamp};
use gam_lake::{Error as LakeError, ObjectPath, ObjectStore, Sessions, inbox, sessions};
use gam_model::session_event::combine_by_id;
use gam_model::{Month, SessionEvent};

use crate::AggregateError;
use crate::month::{MAX_ATTEMPTS, merge, run_blocking};

/// Within this time of a month's edge, a copy of a row can be in the neighbouring month.
const EDGE: TimeDelta = TimeDelta::hours(24);
/// The most bytes of batches that are processed together.
const CHUNK_BYTES: u64 = 32 << 20;
/// Snapshots of this table belong to no epoch yet: nothing is folded from them.
const EPOCH: u64 = 0;
const LOGIC_VERSION: u32 = 1;

/// What an aggregation of session events did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionsReport {
    /// Number of batches processed and deleted.
    pub batches: usize,
    /// Number of rows that were added or changed.
    pub changed_rows: usize,
    /// The months whose snapshot was replaced.
    pub months: BTreeSet<Month>,
    /// Rejected batches: the path under `sessions-rejected/`, and what is wrong with the batch.
    pub rejected: Vec<(String, String)>,
    /// Number of batches left in the inbox because a newer version of the program wrote them, or wrote a month that
    /// they touch.
    pub deferred: usize,
}

/// Merges the organization's inbox of session events into its months. `org` is its storage key.
///
/// # Errors
/// If the lake fails. Everything done before stays valid, and the next run continues.
pub async fn aggregate_sessions(
    objects: &dyn ObjectStore,
    org: &str,
) -> Result<SessionsReport, AggregateError> {
    let mut report = SessionsReport::default();
    let mut listed = inbox::list::<Sessions>(objects, org).await?.into_iter().peekable();
    while listed.peek().is_some() {
        let (mut events, mut paths, mut bytes) = (Vec::new(), Vec::new(), 0);
        while bytes < CHUNK_BYTES
            && let Some(batch) = listed.next()
        {
            bytes += batch.size;
            if let Some(rows) = read_batch(objects, &batch.path, &mut report).await? {
                events.extend(rows);
                paths.push(batch.path);
            }
        }
        let is_complete = merge_events(objects, org, events, &mut report).await?;
        if !is_complete {
            report.deferred += paths.len();
            continue;
        }
        for path in paths {
            objects.delete(&path).await?;
            report.batches += 1;
        }
    }
    Ok(report)
}

async fn read_batch(
    objects: &dyn ObjectStore,
    path: &ObjectPath,
    report: &mut SessionsReport,
) -> Result<Option<Vec<SessionEvent>>, AggregateError> {
    match inbox::read::<Sessions>(objects, path).await {
        Ok(rows) => Ok(rows),
        Err(error @ LakeError::Damaged { .. }) => {
            let rejected = inbox::reject::<Sessions>(objects, path).await?;
            let why = error.to_string();
            tracing::warn!(batch = %path, rejected = %rejected, why, "rejected a damaged batch of session events");
            report.rejected.push((rejected.to_string(), why));
            Ok(None)
        }
        Err(LakeError::NewerFormat { .. }) => {
            report.deferred += 1;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Merges events. Returns `false` if a month was written by a newer version of the program, so that the batches must
/// stay in the inbox.
async fn merge_events(
    objects: &dyn ObjectStore,
    org: &str,
    events: Vec<SessionEvent>,
    report: &mut SessionsReport,
) -> Result<bool, AggregateError> {
    let events = run_blocking(move || combine_by_id(events)).await;
    let placed = place_at_edges(objects, org, events).await?;
    let mut is_complete = true;
    // Months that gain rows come first, so that sums do not dip.
    for (month, rows) in [placed.live, placed.retracted].into_iter().flatten() {
        match merge_month(objects, org, month, rows).await? {
            Some(0) => {}
            Some(changed) => {
                report.changed_rows += changed;
                report.months.insert(month);
            }
            None => is_complete = false,
        }
    }
    Ok(is_complete)
}

/// The rows of months, in the order in which they are written.
#[derive(Default)]
struct PlacedRows {
    live: BTreeMap<Month, Vec<SessionEvent>>,
    retracted: BTreeMap<Month, Vec<SessionEvent>>,
}

/// Assigns events to months. One near an edge goes to the earlier month if that has a copy of it, and takes along the
/// copy that the later month has.
async fn place_at_edges(
    objects: &dyn ObjectStore,
    org: &str,
    events: Vec<SessionEvent>,
) -> Result<PlacedRows, AggregateError> {
    let mut ids_by_month: BTreeMap<Month, BTreeSet<String>> = BTreeMap::new();
    for event in &events {
        if let Some(month) = neighbour(event.occurred_at) {
            ids_by_month.entry(month).or_default().insert(event.id.to_string());
        }
    }
    let mut copies: BTreeMap<String, SessionEvent> = BTreeMap::new();
    for (month, ids) in ids_by_month {
        for row in sessions::rows_by_id(objects, org, month, ids).await? {
            // A retracted row says that the earlier month has the fact.
            if !row.retracted {
                copies.insert(row.id.to_string(), row);
            }
        }
    }
    let mut placed = PlacedRows::default();
    for event in events {
        let month = event.month();
        match copies.remove(event.id.as_str()) {
            Some(copy) if copy.month() > month => {
                let retraction = SessionEvent { retracted: true, ..copy.clone() };
                placed.retracted.entry(copy.month()).or_default().push(retraction);
                placed.live.entry(month).or_default().push(event.combine(&copy));
            }
            Some(copy) => {
                placed.live.entry(copy.month()).or_default().push(event.combine(&copy));
                // The row may be there from a run that saw only this copy.
                let retraction = SessionEvent { retracted: true, ..event };
                placed.retracted.entry(month).or_default().push(retraction);
            }
            None => placed.live.entry(month).or_default().push(event),
        }
    }
    Ok(placed)
}

/// Returns the month whose edge the time is near, other than its own.
fn neighbour(at: DateTime<Utc>) -> Option<Month> {
    let own = Month::of(at.date_naive());
    let month_of = |at: DateTime<Utc>| Month::of(at.date_naive());
    [at - EDGE, at + EDGE].map(month_of).into_iter().find(|month| *month != own)
}

/// Merges rows, one for each id and sorted by id, into a month. Returns how many rows changed; `None` if a newer version of the program wrote the month.
async fn merge_month(
    objects: &dyn ObjectStore,
    org: &str,
    month: Month,
    rows: Vec<SessionEvent>,
) -> Result<Option<usize>, AggregateError> {
    let rows = Arc::new(rows);
    for _ in 0..MAX_ATTEMPTS {
        let current = snapshot::fetch::<Sessions>(objects, org, month).await?;
        let stamp = current.as_ref().map(|current| current.stamp.clone());
        if stamp.as_ref().is_some_and(|stamp| {
            stamp.has_newer_schema::<Sessions>() || stamp.epoch > EPOCH || stamp.logic_version > LOGIC_VERSION
        }) {
            return Ok(None);
        }
        let generation = stamp.map_or(0, |stamp| stamp.generation);
        let next_stamp = Stamp::new(generation + 1, EPOCH, LOGIC_VERSION);
        let stored = current.as_ref().map(|current| current.rows.clone());
        let merged = merge::<Sessions>(stored, Arc::clone(&rows), next_stamp.clone()).await?;
        let Some(written) = &merged.rows else { return Ok(Some(0)) };
        let expected = current.as_ref().map(|current| &current.etag);
        if snapshot::put(objects, org, month, written, &next_stamp, expected).await?.is_some() {
            return Ok(Some(merged.changes.len()));
        }
    }
    Err(AggregateError::Contended { org: org.to_owned(), month })
}
