//! A lake and a store in memory, which can fail at any write.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use gam_access::{AuditKind, AuditLog, AuditRow, LogFilter};
use gam_audit::{AuditPorts, SegmentLog};
use gam_lake::{ETag, MemoryObjects, Object, ObjectMeta, ObjectPath, ObjectStore, PutIfAbsent, PutIfMatch};
use gam_model::{Clock, LogPosition};
use gam_store::conformance::{CommitFault, FaultyRecords};
use gam_store::{
    CommitOutcome, MemoryStore, RecordCommit, RecordCommitId, RecordKind, RecordRange, RecordStore,
};

pub(crate) const ORG: &str = "acme";

/// A clock that tests set.
pub(crate) struct TestClock(Mutex<DateTime<Utc>>);

impl TestClock {
    pub(crate) fn advance(&self, by: TimeDelta) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// A lake and a store.
pub(crate) struct World {
    pub(crate) objects: Arc<MemoryObjects>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<TestClock>,
}

impl World {
    pub(crate) fn new() -> Self {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        World { objects: Arc::default(), store: Arc::default(), clock: Arc::new(TestClock(Mutex::new(now))) }
    }

    pub(crate) fn ports(&self) -> AuditPorts {
        AuditPorts { objects: self.objects.clone(), records: self.store.clone(), clock: self.clock.clone() }
    }

    /// Returns ports that fail at the write with this number, counted from 0: before it, or after it was done.
    pub(crate) fn failing_ports(&self, write: usize, is_done: bool) -> AuditPorts {
        let failure = Arc::new(Failure { write, is_done, count: AtomicUsize::new(0) });
        AuditPorts {
            objects: Arc::new(FailingObjects { inner: self.objects.clone(), failure: failure.clone() }),
            records: Arc::new(FaultyRecords {
                inner: self.store.clone(),
                fault: Box::new(move || failure.of_commit()),
            }),
            clock: self.clock.clone(),
        }
    }

    /// Commits a row for each number.
    pub(crate) async fn add_rows(&self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            self.add_row(Some(ORG), number, self.clock.now()).await;
        }
    }

    pub(crate) async fn add_row(&self, org: Option<&str>, number: u32, at: DateTime<Utc>) {
        let kind = if number.is_multiple_of(2) { AuditKind::TaskClaimed } else { AuditKind::TaskCompleted };
        let row = AuditRow::new(format!("row:{number}"), org, at, "token:ab", kind, "issue site#1");
        let commit = row.add_to(RecordCommit::new(RecordCommitId::random())).unwrap();
        let outcome = self.store.commit(&commit, self.clock.now()).await.unwrap();
        assert_eq!(outcome, CommitOutcome::Committed);
    }

    /// Returns the ids of the rows in the log, in its order.
    pub(crate) async fn logged(&self, org: Option<&str>) -> Vec<String> {
        let log = SegmentLog::new(self.ports());
        let (mut ids, mut position) = (Vec::new(), LogPosition::START);
        loop {
            let page = log.page(org, position, 7, &LogFilter::default()).await.unwrap();
            ids.extend(page.entries.into_iter().map(|logged| logged.entry.event_id));
            position = page.next;
            if !page.has_more {
                return ids;
            }
        }
    }

    /// Returns the number of rows that no segment has.
    pub(crate) async fn undrained(&self) -> usize {
        let range = RecordRange::new(Some(ORG), RecordKind::AuditRow, &[]).unwrap();
        self.store.range(&range, 10_000, self.clock.now()).await.unwrap().len()
    }
}

pub(crate) fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("row:{number}")).collect()
}

/// When a write fails.
struct Failure {
    write: usize,
    is_done: bool,
    count: AtomicUsize,
}

impl Failure {
    /// Returns whether this write fails, and everything after it: the process is dead.
    fn strikes(&self) -> (bool, bool) {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        (number == self.write, number > self.write)
    }

    fn of_commit(&self) -> CommitFault {
        match self.strikes() {
            (true, _) if self.is_done => CommitFault::CrashAfter,
            (false, false) => CommitFault::None,
            _ => CommitFault::CrashBefore,
        }
    }
}

struct FailingObjects {
    inner: Arc<MemoryObjects>,
    failure: Arc<Failure>,
}

fn lake_error() -> gam_lake::Error {
    gam_lake::Error::unusable("killed", "killed")
}

#[async_trait]
impl ObjectStore for FailingObjects {
    async fn get(&self, path: &ObjectPath) -> gam_lake::Result<Option<Object>> {
        self.inner.get(path).await
    }

    async fn get_tail(&self, path: &ObjectPath, length: u64) -> gam_lake::Result<Option<Bytes>> {
        self.inner.get_tail(path, length).await
    }

    async fn list(&self, prefix: &str) -> gam_lake::Result<Vec<ObjectMeta>> {
        self.inner.list(prefix).await
    }

    async fn put_if_absent(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        metadata: &[(&'static str, String)],
    ) -> gam_lake::Result<PutIfAbsent> {
        match self.failure.strikes() {
            (true, _) if self.failure.is_done => {
                self.inner.put_if_absent(path, bytes, metadata).await?;
                Err(lake_error())
            }
            (true, _) | (_, true) => Err(lake_error()),
            _ => self.inner.put_if_absent(path, bytes, metadata).await,
        }
    }

    async fn put_if_match(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        etag: &ETag,
        metadata: &[(&'static str, String)],
    ) -> gam_lake::Result<PutIfMatch> {
        self.inner.put_if_match(path, bytes, etag, metadata).await
    }

    async fn delete(&self, path: &ObjectPath) -> gam_lake::Result<()> {
        self.inner.delete(path).await
    }
}
