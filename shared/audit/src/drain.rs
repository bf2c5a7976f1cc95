//! The drain: moves rows from the store to the lake.
//!
//! What keeps a row from being written twice:
//!
//! * The head in the store reaches a segment only when the store has no row of the segment any more.
//! * A drain loads the head first, and the rows then. So a row that it reads is in no segment up to the head.
//! * It writes the segment after that head. If that exists, it deletes all rows that the segment has before it goes on.

use std::collections::HashSet;

use gam_lake::ObjectStore;
use gam_lake::audit::{self, MAX_SEGMENT_ROWS, PutSegment, SegmentHash};
use gam_model::AuditEntry;
use gam_store::{
    CommitOutcome, Expectation, Record, RecordCommit, RecordCommitId, RecordKey, RecordKind, RecordRange,
    commit_until_answered,
};

use crate::AuditPorts;
use crate::entry::{entry_of, grows};
use crate::error::Result;
use crate::head::{self, LogHead};

/// Number of rows that are read at once.
const PAGE_ROWS: usize = 200;

/// Number of rows that one commit deletes.
const ROWS_PER_COMMIT: usize = 90;

/// What a drain did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DrainReport {
    /// Number of segments that it wrote.
    pub segments: u64,
    /// Number of rows in them.
    pub rows: u64,
}

/// A row that no segment may have yet.
struct PendingRow {
    key: RecordKey,
    revision: RecordCommitId,
    entry: AuditEntry,
}

impl PendingRow {
    fn new((key, record): (RecordKey, Record)) -> Self {
        let entry = entry_of(&key, &record);
        PendingRow { key, revision: record.revision, entry }
    }
}

/// Writes all rows of an organization, by its storage key, or of none, as segments of the log, and deletes them from the
/// store. Rows that still grow wait for a later drain.
///
/// It can be killed at any time, and run by several processes at once.
///
/// # Errors
/// If the lake or the store fails. What was written stays, and the next drain goes on from there.
pub async fn drain(ports: &AuditPorts, org: Option<&str>) -> Result<DrainReport> {
    let mut report = DrainReport::default();
    let mut head = head::load(&*ports.records, org, ports.clock.now()).await?;
    loop {
        let rows = pending_rows(ports, org).await?;
        if rows.is_empty() {
            return Ok(report);
        }
        head = append(ports, org, head, &rows, &mut report).await?;
    }
}

/// Writes the rows as the segment after the head. If there is one already, takes over what it has. Returns the new head.
async fn append(
    ports: &AuditPorts,
    org: Option<&str>,
    before: LogHead,
    rows: &[PendingRow],
    report: &mut DrainReport,
) -> Result<LogHead> {
    let log = audit::log_name(org);
    let number = before.number + 1;
    let entries: Vec<AuditEntry> = rows.iter().map(|row| row.entry.clone()).collect();
    let written = audit::put(&*ports.objects, &log, number, before.hash, &entries).await?;
    let head = match written {
        PutSegment::Written(hash) => {
            report.segments += 1;
            report.rows += rows.len() as u64;
            delete(ports, rows.iter().collect()).await?;
            LogHead { number, hash }
        }
        // Another drain wrote it, or one that was killed before it deleted the rows.
        PutSegment::Exists => {
            let (hash, drained) = existing(&*ports.objects, &log, before, number).await?;
            delete_drained(ports, org, &drained).await?;
            LogHead { number, hash }
        }
    };
    head::advance(ports, org, head).await?;
    Ok(head)
}

/// Returns the hash of a segment that exists, and the ids and commits of its rows. A segment that was changed has no
/// rows that could be relied on; the log goes on after it, and `audit verify` reports it.
async fn existing(
    objects: &dyn ObjectStore,
    log: &str,
    before: LogHead,
    number: u64,
) -> Result<(SegmentHash, HashSet<(String, String)>)> {
    match audit::read(objects, log, number).await {
        Ok(Some(segment)) => {
            if segment.previous != before.hash {
                tracing::error!(
                    log,
                    number,
                    "a segment of the audit log does not follow from the one before"
                );
            }
            let ids = segment.entries.into_iter().map(|entry| (entry.event_id, entry.commit_id));
            Ok((segment.hash, ids.collect()))
        }
        Ok(None) => Err(gam_lake::Error::Unavailable {
            what: format!("segment {number} of the audit log {log} was there and is gone"),
            source: None,
        }
        .into()),
        Err(gam_lake::Error::DamagedSegment { path, what }) => {
            tracing::error!(path, what, "a segment of the audit log was changed");
            let object = objects.get(&gam_lake::paths::audit_segment(log, number)).await?;
            let hash = object.map_or(SegmentHash::NONE, |object| SegmentHash::of(&object.bytes));
            Ok((hash, HashSet::new()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Deletes all rows that a segment has. They are read again: the other drain may have taken rows that this one has not
/// seen, and may not have deleted them yet.
async fn delete_drained(
    ports: &AuditPorts,
    org: Option<&str>,
    drained: &HashSet<(String, String)>,
) -> Result<()> {
    let now = ports.clock.now();
    let mut range = RecordRange::new(org, RecordKind::AuditRow, &[])?;
    loop {
        let page = ports.records.range(&range, PAGE_ROWS, now).await?;
        let next = match page.last() {
            Some((last, _)) if page.len() == PAGE_ROWS => Some(range.clone().after(last)),
            _ => None,
        };
        let rows: Vec<PendingRow> = page.into_iter().map(PendingRow::new).collect();
        let is_drained =
            |row: &&PendingRow| drained.contains(&(row.entry.event_id.clone(), row.entry.commit_id.clone()));
        delete(ports, rows.iter().filter(is_drained).collect()).await?;
        match next {
            Some(next) => range = next,
            None => return Ok(()),
        }
    }
}

/// Returns the first rows that no longer change, at most as many as a segment has.
async fn pending_rows(ports: &AuditPorts, org: Option<&str>) -> Result<Vec<PendingRow>> {
    let now = ports.clock.now();
    let mut range = RecordRange::new(org, RecordKind::AuditRow, &[])?;
    let mut rows = Vec::new();
    loop {
        let page = ports.records.range(&range, PAGE_ROWS, now).await?;
        let next = match page.last() {
            Some((last, _)) if page.len() == PAGE_ROWS => Some(range.clone().after(last)),
            _ => None,
        };
        let stable = page.into_iter().map(PendingRow::new).filter(|row| !grows(&row.entry, now));
        rows.extend(stable.take(MAX_SEGMENT_ROWS - rows.len()));
        match next {
            Some(next) if rows.len() < MAX_SEGMENT_ROWS => range = next,
            _ => return Ok(rows),
        }
    }
}

/// Deletes rows that a segment has. A row that has changed since stays, and becomes another row of the log.
async fn delete(ports: &AuditPorts, rows: Vec<&PendingRow>) -> Result<()> {
    for chunk in rows.chunks(ROWS_PER_COMMIT) {
        if delete_together(ports, chunk).await? == CommitOutcome::Committed {
            continue;
        }
        // Another drain deleted some of them.
        for row in chunk {
            delete_together(ports, &[*row]).await?;
        }
    }
    Ok(())
}

async fn delete_together(ports: &AuditPorts, rows: &[&PendingRow]) -> Result<CommitOutcome> {
    let commit = rows.iter().fold(RecordCommit::new(RecordCommitId::random()), |commit, row| {
        commit.delete(row.key.clone(), Expectation::Revision(row.revision))
    });
    Ok(commit_until_answered(&*ports.records, &commit, ports.clock.now()).await?)
}
