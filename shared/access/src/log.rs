//! Reading the audit log: the port to its segments, and the row of who has read it.

use std::collections::HashSet;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use gam_model::{AuditEntry, Clock, LogPosition};
use gam_store::{
    CommitOutcome, Expectation, KeyPart, RecordCommit, RecordCommitId, RecordKey, RecordKind, RecordStore,
    commit_until_answered,
};

use crate::audit::{AuditKind, AuditRow};
use crate::principal::Principal;

/// How long the store remembers that a principal has read the log in an hour.
const READING_LIFETIME: TimeDelta = TimeDelta::hours(2);

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the audit log")]
pub struct LogError {
    /// Whether a retry may succeed.
    pub is_retryable: bool,
    /// The underlying error.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// A row of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEntry {
    /// The position directly after the row.
    pub position: LogPosition,
    /// The row.
    pub entry: AuditEntry,
}

/// Which rows of a log are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFilter {
    /// Only rows of this kind.
    pub kind: Option<String>,
}

impl LogFilter {
    /// Returns whether a row is wanted.
    pub fn includes(&self, entry: &AuditEntry) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == entry.kind)
    }
}

/// Rows of a log, from a position on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// The rows, in the order of the log.
    pub entries: Vec<LoggedEntry>,
    /// Where the next page begins, also if there are no rows yet.
    pub next: LogPosition,
    /// Whether there are segments after `next` now.
    pub has_more: bool,
}

/// The audit logs of organizations, by storage key, and of rows of none.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Returns at most `limit` rows after a position. A page may have fewer rows, or none, though there are more.
    ///
    /// # Errors
    /// If a segment is missing or was changed, or the lake or the store fails.
    async fn page(
        &self,
        org: Option<&str>,
        after: LogPosition,
        limit: usize,
        filter: &LogFilter,
    ) -> Result<LogPage, LogError>;

    /// Returns the last rows before a position, or of the log, in the order of the log. There may be older ones unless
    /// it returns none.
    ///
    /// # Errors
    /// As [`AuditLog::page`].
    async fn latest(
        &self,
        org: Option<&str>,
        before: Option<LogPosition>,
        limit: usize,
        filter: &LogFilter,
    ) -> Result<Vec<LoggedEntry>, LogError>;

    /// Returns at most `limit` of the newest rows that no segment has yet, in order of time. They come again when a
    /// segment has them.
    ///
    /// # Errors
    /// If the store fails.
    async fn undrained(
        &self,
        org: Option<&str>,
        limit: usize,
        filter: &LogFilter,
    ) -> Result<Vec<AuditEntry>, LogError>;

    /// Returns the storage keys of organizations that may have rows although they were never collected.
    ///
    /// # Errors
    /// If the store fails.
    async fn uncollected_orgs(&self) -> Result<Vec<String>, LogError>;
}

/// Who has read the log, and in which hour.
type Reading = (String, DateTime<Utc>);

/// Writes the rows that say who has read the log: one for each principal and hour. Clones share what they remember.
#[derive(Clone)]
pub struct LogReadings {
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    /// Principals that have a row in an hour.
    written: Arc<Mutex<HashSet<Reading>>>,
}

impl LogReadings {
    /// Connects to the records of a store.
    pub fn new(records: Arc<dyn RecordStore>, clock: Arc<dyn Clock>) -> Self {
        LogReadings { records, clock, written: Arc::default() }
    }

    /// Writes that the principal reads the log, unless a row of this hour says so. Call this before the principal sees
    /// any of it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn record(&self, principal: &Principal) -> gam_store::Result<()> {
        let Principal { id: principal, origin, .. } = principal;
        let now = self.clock.now();
        let hour = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
        let reading = (principal.clone(), hour);
        if self.written().contains(&reading) {
            return Ok(());
        }
        let milliseconds = u64::try_from(hour.timestamp_millis()).unwrap_or_default();
        let parts = [KeyPart::Text(principal), KeyPart::Number(milliseconds)];
        let key = RecordKey::new(None, RecordKind::AuditReading, &parts)?;
        let commit = RecordCommit::new(RecordCommitId::random()).put_until(
            key,
            "",
            now + READING_LIFETIME,
            Expectation::Absent,
        );
        let id = format!("audit:read:{principal}:{milliseconds}");
        let row = AuditRow::new(id, None, now, principal, AuditKind::LogRead, "audit log")
            .with_origin(origin.clone());
        match commit_until_answered(&*self.records, &row.add_to(commit)?, now).await? {
            // A conflict says that another request or process has written the row.
            CommitOutcome::Committed | CommitOutcome::Conflict(_) => {}
        }
        let mut written = self.written();
        written.retain(|(_, at)| *at == hour);
        written.insert(reading);
        Ok(())
    }

    fn written(&self) -> std::sync::MutexGuard<'_, HashSet<Reading>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use gam_store::{MemoryStore, RecordRange};

    use super::*;
    use crate::role::Role;

    struct TestClock(Mutex<DateTime<Utc>>);

    impl Clock for TestClock {
        fn now(&self) -> DateTime<Utc> {
            *self.0.lock().unwrap()
        }
    }

    async fn rows(store: &MemoryStore) -> usize {
        let range = RecordRange::new(None, RecordKind::AuditRow, &[]).unwrap();
        store.range(&range, 100, DateTime::UNIX_EPOCH).await.unwrap().len()
    }

    #[tokio::test]
    async fn reading_is_one_row_a_principal_and_hour() {
        let store = Arc::new(MemoryStore::default());
        let clock = Arc::new(TestClock(Mutex::new("2026-03-01T10:10:00Z".parse().unwrap())));
        let [one, other] = [(); 2].map(|()| LogReadings::new(store.clone(), clock.clone()));
        for readings in [&one, &one, &other] {
            readings.record(&Principal::trusted("token:ab", Role::Auditor)).await.unwrap();
        }
        assert_eq!(rows(&store).await, 1, "also of two processes");
        one.record(&Principal::trusted("token:cd", Role::Auditor)).await.unwrap();
        assert_eq!(rows(&store).await, 2);
        *clock.0.lock().unwrap() += TimeDelta::hours(1);
        one.record(&Principal::trusted("token:ab", Role::Auditor)).await.unwrap();
        assert_eq!(rows(&store).await, 3);
        assert_eq!(one.written().len(), 1, "earlier hours are forgotten");
    }
}
