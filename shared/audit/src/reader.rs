//! Reads the log: segments from the lake, and rows that no segment has yet from the store.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use gam_access::{AuditLog, LogError, LogFilter, LogPage, LoggedEntry};
use gam_lake::audit::{self, Segment};
use gam_model::{AuditEntry, LogPosition};
use gam_store::{RecordKind, RecordRange, work_orgs};
use lru::LruCache;

use crate::AuditPorts;
use crate::entry::entry_of;
use crate::error::{AuditError, Result};
use crate::head;

/// Number of segments that are kept in memory. They never change.
const MAX_KEPT_SEGMENTS: NonZeroUsize = NonZeroUsize::new(16).expect("not zero");

/// Greatest number of segments that one page looks through.
const MAX_SEGMENTS_PER_PAGE: usize = 100;

/// Number of rows that are read from the store at once.
const PAGE_ROWS: usize = 200;

type SegmentKey = (String, u64);

/// The audit log in the lake and the store. Clones share the segments that they keep.
#[derive(Clone)]
pub struct SegmentLog {
    ports: AuditPorts,
    kept: Arc<Mutex<LruCache<SegmentKey, Arc<Segment>>>>,
}

impl SegmentLog {
    /// Connects to the lake and the store.
    pub fn new(ports: AuditPorts) -> Self {
        SegmentLog { ports, kept: Arc::new(Mutex::new(LruCache::new(MAX_KEPT_SEGMENTS))) }
    }

    async fn segment(&self, log: &str, number: u64) -> Result<Option<Arc<Segment>>> {
        let key = (log.to_owned(), number);
        if let Some(segment) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Some(segment.clone()));
        }
        let Some(segment) = audit::read(&*self.ports.objects, log, number).await? else { return Ok(None) };
        let segment = Arc::new(segment);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).put(key, segment.clone());
        Ok(Some(segment))
    }

    /// Fails if the store remembers a segment after one that is not there.
    async fn check_end(&self, org: Option<&str>, log: &str, number: u64) -> Result<()> {
        let later = head::load(&*self.ports.records, org, self.ports.clock.now()).await?.number;
        if later >= number {
            return Err(AuditError::MissingSegment { log: log.to_owned(), number, later });
        }
        Ok(())
    }

    async fn read_page(
        &self,
        org: Option<&str>,
        after: LogPosition,
        limit: usize,
        filter: &LogFilter,
    ) -> Result<LogPage> {
        let log = audit::log_name(org);
        let mut page = LogPage { entries: Vec::new(), next: after, has_more: false };
        let first = after.segment.max(1);
        for number in first.. {
            if number - first >= MAX_SEGMENTS_PER_PAGE as u64 {
                page.has_more = true;
                break;
            }
            let Some(segment) = self.segment(&log, number).await? else {
                self.check_end(org, &log, number).await?;
                break;
            };
            let skipped = if number == after.segment { after.row } else { 0 };
            for (row, entry) in
                (1..).zip(&segment.entries).skip(usize::try_from(skipped).unwrap_or(usize::MAX))
            {
                if page.entries.len() == limit {
                    page.has_more = true;
                    return Ok(page);
                }
                page.next = LogPosition { segment: number, row };
                if filter.includes(entry) {
                    page.entries.push(LoggedEntry { position: page.next, entry: entry.clone() });
                }
            }
        }
        Ok(page)
    }

    /// Returns the number of the last segment of the log; 0 if it has none.
    async fn last_number(&self, org: Option<&str>, log: &str) -> Result<u64> {
        let mut last = head::load(&*self.ports.records, org, self.ports.clock.now()).await?.number;
        if last == 0 {
            last = audit::numbers(&*self.ports.objects, log).await?.last().copied().unwrap_or_default();
        }
        while self.segment(log, last + 1).await?.is_some() {
            last += 1;
        }
        Ok(last)
    }

    async fn read_latest(
        &self,
        org: Option<&str>,
        before: Option<LogPosition>,
        limit: usize,
        filter: &LogFilter,
    ) -> Result<Vec<LoggedEntry>> {
        let log = audit::log_name(org);
        // A position of an address can be beyond the end.
        let newest = self.last_number(org, &log).await?;
        let last = before.map_or(newest, |before| before.segment.min(newest));
        let mut entries = Vec::new();
        for number in (1..=last).rev().take(MAX_SEGMENTS_PER_PAGE) {
            let segment = self.segment(&log, number).await?;
            let segment =
                segment.ok_or(AuditError::MissingSegment { log: log.clone(), number, later: last })?;
            for (row, entry) in (1..).zip(&segment.entries).collect::<Vec<_>>().into_iter().rev() {
                let position = LogPosition { segment: number, row };
                let is_before = before.is_none_or(|before| position < before);
                if is_before && filter.includes(entry) {
                    entries.push(LoggedEntry { position, entry: entry.clone() });
                    if entries.len() == limit {
                        entries.reverse();
                        return Ok(entries);
                    }
                }
            }
        }
        entries.reverse();
        Ok(entries)
    }

    async fn read_undrained(
        &self,
        org: Option<&str>,
        limit: usize,
        filter: &LogFilter,
    ) -> Result<Vec<AuditEntry>> {
        let now = self.ports.clock.now();
        let mut range = RecordRange::new(org, RecordKind::AuditRow, &[])?;
        let mut entries = std::collections::VecDeque::new();
        loop {
            let page = self.ports.records.range(&range, PAGE_ROWS, now).await?;
            for (key, record) in &page {
                let entry = entry_of(key, record);
                if filter.includes(&entry) {
                    entries.push_back(entry);
                }
            }
            while entries.len() > limit {
                entries.pop_front();
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE_ROWS => range = range.after(last),
                _ => return Ok(entries.into()),
            }
        }
    }
}

#[async_trait]
impl AuditLog for SegmentLog {
    async fn page(
        &self,
        org: Option<&str>,
        after: LogPosition,
        limit: usize,
        filter: &LogFilter,
    ) -> Result<LogPage, LogError> {
        Ok(self.read_page(org, after, limit, filter).await?)
    }

    async fn latest(
        &self,
        org: Option<&str>,
        before: Option<LogPosition>,
        limit: usize,
        filter: &LogFilter,
    ) -> Result<Vec<LoggedEntry>, LogError> {
        Ok(self.read_latest(org, before, limit, filter).await?)
    }

    async fn undrained(
        &self,
        org: Option<&str>,
        limit: usize,
        filter: &LogFilter,
    ) -> Result<Vec<AuditEntry>, LogError> {
        Ok(self.read_undrained(org, limit, filter).await?)
    }

    async fn uncollected_orgs(&self) -> Result<Vec<String>, LogError> {
        Ok(work_orgs(&*self.ports.records, self.ports.clock.now()).await.map_err(AuditError::from)?)
    }
}
