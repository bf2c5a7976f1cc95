//! Counts of refused requests in the audit log.
//!
//! A row counts the refusals of one principal, one class of routes and one hour. So clients cannot make the log grow by
//! more than that, whatever they send. A row holds no address. It grows until its hour is over.
//!
//! A process writes a row at most once in [`WRITE_INTERVAL`]; what it has not written is lost if it is killed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use gam_model::Clock;
use gam_store::{
    CommitOutcome, Error, Expectation, KeyPart, RecordCommit, RecordCommitId, RecordKey, RecordKind,
    RecordStore, Result,
};
use serde::{Deserialize, Serialize};

use crate::audit::{AuditKind, AuditRow};
use crate::role::RouteClass;

/// The shortest time between two writes of a row by one process.
pub const WRITE_INTERVAL: TimeDelta = TimeDelta::seconds(10);

/// How long after its hour a process still adds to a row. Later, what it has left counts in the current hour.
const MAX_LATENESS: TimeDelta = TimeDelta::minutes(5);

/// How long after the beginning of its hour nobody adds to a row any more: the hour, the time that a row may be late, and
/// as much again for the differences between the clocks of processes and for slow writes.
pub const REFUSALS_GROW_FOR: TimeDelta = TimeDelta::minutes(70);

/// Who sent a request without a valid token.
const ANONYMOUS: &str = "anonymous";

/// How often a row is read and written again because another process has changed it.
const MAX_ATTEMPTS: u32 = 8;

/// A row of the audit log about refused requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalRow {
    /// The hour, who was refused, and as the subject the class of routes.
    #[serde(flatten)]
    pub row: AuditRow,
    /// Number of requests that were refused in the hour.
    pub count: u64,
}

/// What a row counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RowKey {
    /// The beginning of the hour, UTC.
    hour: DateTime<Utc>,
    principal: String,
    class: &'static str,
}

/// What this process has counted of a row.
#[derive(Debug, Default, PartialEq, Eq)]
struct RowCount {
    /// Number of refusals that are not written yet.
    pending: u64,
    written_at: Option<DateTime<Utc>>,
}

/// Counts refused requests. Clones share what they count.
#[derive(Clone)]
pub struct RefusalLog {
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    rows: Arc<Mutex<BTreeMap<RowKey, RowCount>>>,
}

impl RefusalLog {
    /// Connects to the records of a store.
    pub fn new(records: Arc<dyn RecordStore>, clock: Arc<dyn Clock>) -> Self {
        RefusalLog { records, clock, rows: Arc::default() }
    }

    /// Counts a refused request: the id of its sender, which is `None` if nobody knows it, and the class of the route.
    /// Writes the rows that are due.
    ///
    /// # Errors
    /// If the store fails. What was not written is written later.
    pub async fn count(&self, principal: Option<&str>, class: RouteClass) -> Result<()> {
        let now = self.clock.now();
        let hour = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
        let principal = principal.unwrap_or(ANONYMOUS).to_owned();
        self.rows().entry(RowKey { hour, principal, class: class.as_str() }).or_default().pending += 1;
        let is_due = |row: &RowCount| row.written_at.is_none_or(|at| (now - at).abs() >= WRITE_INTERVAL);
        self.write(now, is_due).await
    }

    /// Writes everything that is not written yet.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn flush(&self) -> Result<()> {
        self.write(self.clock.now(), |_| true).await
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, BTreeMap<RowKey, RowCount>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, now: DateTime<Utc>, is_due: impl Fn(&RowCount) -> bool) -> Result<()> {
        for (key, count) in self.take_due(now, is_due) {
            if let Err(error) = self.add(&key, count, now).await {
                self.rows().entry(key).or_default().pending += count;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes the counts that are due, and forgets the rows of earlier hours that have none.
    fn take_due(&self, now: DateTime<Utc>, is_due: impl Fn(&RowCount) -> bool) -> Vec<(RowKey, u64)> {
        let mut rows = self.rows();
        let due = rows.iter_mut().filter(|(_, row)| row.pending > 0 && is_due(row));
        let taken = due.map(|(key, row)| {
            row.written_at = Some(now);
            (key.at(now), std::mem::take(&mut row.pending))
        });
        let taken = taken.collect();
        rows.retain(|key, row| row.pending > 0 || now - key.hour < TimeDelta::hours(1));
        taken
    }

    /// Adds a number to a row of the store.
    async fn add(&self, key: &RowKey, count: u64, now: DateTime<Utc>) -> Result<()> {
        let (record_key, mut row) = key.new_row()?;
        for _ in 0..MAX_ATTEMPTS {
            let stored = self.records.get(&record_key, now).await?;
            let expectation = Expectation::unchanged(stored.as_ref());
            row.count = count + stored.as_ref().map_or(0, |record| count_of(&record.body));
            let body = serde_json::to_string(&row).expect("a row has only text keys");
            let commit =
                RecordCommit::new(RecordCommitId::random()).put(record_key.clone(), body, expectation);
            // A lost answer is an error, and the refusals are counted twice at worst.
            match self.records.commit(&commit, now).await? {
                CommitOutcome::Committed => return Ok(()),
                CommitOutcome::Conflict(_) => {}
            }
        }
        let what = "counting refused requests: other processes keep changing the row".to_owned();
        Err(Error::Unavailable { what, source: None })
    }
}

impl RowKey {
    /// Returns the row that counts what is written now. A row that a segment of the log may hold does not change.
    fn at(&self, now: DateTime<Utc>) -> Self {
        let is_late = now - self.hour >= TimeDelta::hours(1) + MAX_LATENESS;
        let hour = if is_late { now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now) } else { self.hour };
        RowKey { hour, ..self.clone() }
    }

    /// Returns the key of the row's record, and the row without a count.
    fn new_row(&self) -> Result<(RecordKey, RefusalRow)> {
        let hour = u64::try_from(self.hour.timestamp_millis()).unwrap_or_default();
        let id = format!("refused:{}:{}:{hour}", self.principal, self.class);
        let key = RecordKey::new(None, RecordKind::AuditRow, &[KeyPart::Number(hour), KeyPart::Text(&id)])?;
        let row = AuditRow::new(id, None, self.hour, &self.principal, AuditKind::RequestsRefused, self.class)
            .with_outcome("refused");
        Ok((key, RefusalRow { row, count: 0 }))
    }
}

/// Returns the count of a stored row. One that cannot be read counts nothing, and is replaced.
fn count_of(body: &str) -> u64 {
    serde_json::from_str::<RefusalRow>(body).map_or(0, |row| row.count)
}

#[cfg(test)]
mod tests {
    use gam_store::{MemoryStore, RecordRange};

    use super::*;

    /// A clock that tests set.
    struct TestClock(Mutex<DateTime<Utc>>);

    impl TestClock {
        fn advance(&self, by: TimeDelta) {
            *self.0.lock().unwrap() += by;
        }
    }

    impl Clock for TestClock {
        fn now(&self) -> DateTime<Utc> {
            *self.0.lock().unwrap()
        }
    }

    async fn rows(store: &MemoryStore) -> Vec<(String, String, String, u64)> {
        let range = RecordRange::new(None, RecordKind::AuditRow, &[]).unwrap();
        let records = store.range(&range, 100, DateTime::UNIX_EPOCH).await.unwrap();
        let row = |record: &str| serde_json::from_str::<RefusalRow>(record).unwrap();
        let rows = records.into_iter().map(|(_, record)| row(&record.body));
        rows.map(|RefusalRow { row, count }| {
            assert!(serde_json::from_str::<AuditRow>(&serde_json::to_string(&row).unwrap()).is_ok());
            (row.time.format("%H:%M:%S").to_string(), row.principal, row.subject, count)
        })
        .collect()
    }

    #[tokio::test]
    async fn refusals_are_counted_by_principal_class_and_hour() {
        let store = Arc::new(MemoryStore::default());
        let clock = Arc::new(TestClock(Mutex::new("2026-03-01T10:59:30Z".parse().unwrap())));
        let [one, other] = [(); 2].map(|()| RefusalLog::new(store.clone(), clock.clone()));
        for _ in 0..1_000 {
            one.count(None, RouteClass::Read).await.unwrap();
        }
        let row = |hour: &str, principal: &str, class: &str, count| {
            (hour.to_owned(), principal.to_owned(), class.to_owned(), count)
        };
        assert_eq!(rows(&store).await, [row("10:00:00", ANONYMOUS, "read", 1)], "written at once");
        clock.advance(WRITE_INTERVAL);
        one.count(None, RouteClass::Read).await.unwrap();
        other.count(None, RouteClass::Read).await.unwrap();
        other.count(Some("token:ab"), RouteClass::Audit).await.unwrap();
        assert_eq!(
            rows(&store).await,
            [row("10:00:00", ANONYMOUS, "read", 1_002), row("10:00:00", "token:ab", "audit", 1)],
            "two processes add to one row"
        );
        one.count(None, RouteClass::Read).await.unwrap();
        clock.advance(TimeDelta::minutes(1));
        one.count(None, RouteClass::Act).await.unwrap();
        assert_eq!(
            rows(&store).await,
            [
                row("10:00:00", ANONYMOUS, "read", 1_003),
                row("10:00:00", "token:ab", "audit", 1),
                row("11:00:00", ANONYMOUS, "act", 1),
            ],
            "what an earlier hour has left is written"
        );
        one.count(None, RouteClass::Act).await.unwrap();
        one.flush().await.unwrap();
        assert_eq!(rows(&store).await[2].3, 2);
        assert_eq!(one.rows().len(), 1, "earlier hours are forgotten");
    }

    #[tokio::test]
    async fn a_row_does_not_grow_long_after_its_hour() {
        let store = Arc::new(MemoryStore::default());
        let clock = Arc::new(TestClock(Mutex::new("2026-03-01T10:59:55Z".parse().unwrap())));
        let log = RefusalLog::new(store.clone(), clock.clone());
        log.count(None, RouteClass::Read).await.unwrap();
        log.count(None, RouteClass::Read).await.unwrap();
        clock.advance(MAX_LATENESS + TimeDelta::seconds(5));
        log.flush().await.unwrap();
        let counts: Vec<_> = rows(&store).await.into_iter().map(|(hour, .., count)| (hour, count)).collect();
        assert_eq!(counts, [("10:00:00".to_owned(), 1), ("11:00:00".to_owned(), 1)]);
    }
}
