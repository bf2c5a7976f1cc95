//! Merges session events into the months of the table `sessions`.
//!
//! Copies of a fact can lie on both sides of a month's edge: a response that began before midnight, of which one copy
//! lacks the beginning. The month of the earliest copy has the row. A row in the month after is retracted, and so are
//! copies that come later. When the rows of the earlier month are deleted, because it is over, they stay retracted.
//!
//! Rows of erased sessions are dropped here, and rows of months that are over by the update of the month.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use gam_lake::{Error as LakeError, ObjectPath, ObjectStore, Sessions, inbox, sessions};
use gam_model::session_event::{combine_by_id, months_of_copies};
use gam_model::{Month, SessionEvent};

use crate::folded_table::FoldedTable as _;
use crate::month::{MonthOutcome, MonthUpdate, RowCounts, run_blocking};
use crate::{AggregateError, AggregateOptions, AggregatePorts, AggregateRun, run_in_newest_epoch};

/// Batches are processed together until they have this many events. Each takes about 2 KB of memory meanwhile.
const CHUNK_EVENTS: usize = 25_000;

/// What an aggregation of session events did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionsReport {
    /// Number of batches processed and deleted.
    pub batches: usize,
    /// Number of rows that were added or changed.
    pub changed_rows: usize,
    /// Number of rows that were deleted, because their session was erased or their month is over.
    pub deleted_rows: usize,
    /// The months whose snapshot was replaced.
    pub months: BTreeSet<Month>,
    /// Number of rollups written.
    pub rollups: usize,
    /// Rejected batches: the path under `sessions-rejected/`, and what is wrong with the batch.
    pub rejected: Vec<(String, String)>,
    /// Number of batches left in the inbox because a newer version of the program wrote them, or wrote a month that
    /// they touch.
    pub deferred: usize,
}

impl SessionsReport {
    /// Counts the rows of a month that have changed.
    pub(crate) fn count_rows(&mut self, month: Month, rows: RowCounts) {
        if rows != RowCounts::default() {
            self.changed_rows += rows.changed;
            self.deleted_rows += rows.deleted;
            self.months.insert(month);
        }
    }
}

/// Merges the organization's inbox of session events into its months, and brings their items up to date.
///
/// # Errors
/// If the lake or the store fails. Everything done before stays valid, and the next run continues.
pub async fn aggregate_sessions(ports: &AggregatePorts, org: &str) -> Result<SessionsReport, AggregateError> {
    let options = AggregateOptions::default();
    let report = run_in_newest_epoch(ports, org, &options, &(), async |run, _| {
        run.process_sessions().await?;
        if run.superseded_by.is_none() {
            run.refold_table::<Sessions>(false).await?;
        }
        if run.superseded_by.is_none() {
            run.refresh_pr_classes().await?;
            run.switch_if_complete().await?;
        }
        Ok(())
    });
    Ok(report.await?.sessions)
}

impl AggregateRun<'_> {
    /// Processes the batches of session events that are in the inbox now.
    pub(crate) async fn process_sessions(&mut self) -> Result<(), AggregateError> {
        let objects = &*self.ports.objects;
        let mut listed = inbox::list::<Sessions>(objects, self.org).await?.into_iter().peekable();
        while listed.peek().is_some() {
            let (mut events, mut paths) = (Vec::new(), Vec::new());
            while events.len() < CHUNK_EVENTS
                && let Some(batch) = listed.next()
            {
                if let Some(rows) = read_batch(objects, &batch.path, &mut self.report.sessions).await? {
                    events.extend(rows);
                    paths.push(batch.path);
                }
            }
            if self.must_stop() {
                return Ok(());
            }
            let is_complete = self.merge_sessions(events).await?;
            if self.superseded_by.is_some() {
                return Ok(());
            }
            if !is_complete {
                self.report.sessions.deferred += paths.len();
                continue;
            }
            for path in paths {
                objects.delete(&path).await?;
                self.report.sessions.batches += 1;
            }
        }
        Ok(())
    }

    /// Merges events. Returns `false` if the batches must stay in the inbox: a month was written by a newer version of the
    /// program, or cannot be read.
    async fn merge_sessions(&mut self, events: Vec<SessionEvent>) -> Result<bool, AggregateError> {
        let identity = Arc::clone(&self.rules.identity);
        let events = run_blocking(move || {
            let erased = identity.erased_sessions();
            combine_by_id(events.into_iter().filter_map(|event| erased.apply(event)).collect())
        });
        let placed = match self.place_at_edges(events.await).await {
            Ok(placed) => placed,
            // One month that cannot be read stops only the batches that may concern it. The fold finds out which one it is.
            Err(error) if error.is_unreadable_month() => {
                self.failure.get_or_insert(error);
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let mut is_complete = true;
        // Months that gain rows come first, so that sums do not dip. What they did not gain is not retracted elsewhere.
        let gains = placed.live.into_iter().map(|(month, rows)| (month, rows, false));
        let losses = placed.retracted.into_iter().map(|(month, rows)| (month, rows, true));
        for (month, rows, is_retraction) in gains.chain(losses) {
            if is_retraction && !is_complete {
                break;
            }
            let updated = self.update_month::<Sessions>(month, rows, false).await;
            let MonthUpdate { outcome, rows, .. } = match updated {
                Err(error) if error.is_unreadable_month() => {
                    self.record_unreadable::<Sessions>(month, error);
                    is_complete = false;
                    continue;
                }
                updated => updated?,
            };
            match outcome {
                MonthOutcome::Written { rollups } => {
                    self.report.sessions.rollups += rollups;
                    self.report.sessions.count_rows(month, rows);
                }
                MonthOutcome::Lost => {}
                MonthOutcome::SkippedNewerVersion => is_complete = false,
                MonthOutcome::Superseded(newer) => {
                    self.superseded_by = self.superseded_by.max(Some(newer));
                    return Ok(false);
                }
            }
        }
        Ok(is_complete)
    }
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

/// The rows of months, in the order in which they are written.
#[derive(Default)]
struct PlacedRows {
    live: BTreeMap<Month, Vec<SessionEvent>>,
    retracted: BTreeMap<Month, Vec<SessionEvent>>,
}

impl AggregateRun<'_> {
    /// Assigns events to months. One near an edge goes to the earlier month if that has a copy of it, and takes along the
    /// copy that the later month has.
    async fn place_at_edges(&self, mut events: Vec<SessionEvent>) -> Result<PlacedRows, AggregateError> {
        self.retract_copies_of_deleted(&mut events).await?;
        let mut ids_by_month: BTreeMap<Month, BTreeSet<String>> = BTreeMap::new();
        for event in &events {
            if let Some(month) = neighbour(event.occurred_at) {
                ids_by_month.entry(month).or_default().insert(event.id.to_string());
            }
        }
        let mut copies: BTreeMap<String, SessionEvent> = BTreeMap::new();
        for (month, ids) in ids_by_month {
            for row in sessions::rows_by_id(&*self.ports.objects, self.org, month, ids).await? {
                // A retracted row says that the earlier month has the fact.
                let Some(row) = self.rules.identity.erased_sessions().apply(row) else { continue };
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

    /// Retracts the events near the beginning of a month whose row there is retracted, because the month before had the
    /// fact, if that month is over. Otherwise a newer copy would count although the fact was deleted.
    async fn retract_copies_of_deleted(&self, events: &mut [SessionEvent]) -> Result<(), AggregateError> {
        let (identity, now) = (&self.rules.identity, self.ports.clock.now());
        let is_near = |event: &SessionEvent| {
            let before = neighbour(event.occurred_at).filter(|neighbour| *neighbour < event.month());
            before.is_some_and(|before| Sessions::is_over(identity, before, now))
        };
        let mut ids_by_month: BTreeMap<Month, BTreeSet<String>> = BTreeMap::new();
        for event in events.iter().filter(|event| is_near(event)) {
            ids_by_month.entry(event.month()).or_default().insert(event.id.to_string());
        }
        let mut deleted: BTreeSet<String> = BTreeSet::new();
        for (month, ids) in ids_by_month {
            let rows = sessions::rows_by_id(&*self.ports.objects, self.org, month, ids).await?;
            deleted.extend(rows.into_iter().filter(|row| row.retracted).map(|row| row.id.to_string()));
        }
        for event in events.iter_mut().filter(|event| deleted.contains(event.id.as_str())) {
            event.retracted = true;
        }
        Ok(())
    }
}

/// Returns the month whose edge the time is near, other than its own.
fn neighbour(at: DateTime<Utc>) -> Option<Month> {
    let own = Month::of(at.date_naive());
    months_of_copies(at).into_iter().find(|month| *month != own)
}
