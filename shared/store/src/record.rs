//! The port of records: small texts that the store keeps for itself, under keys, with revisions and expiry.
//!
//! Unlike rollups, records are a source: nothing else holds an access token or a claim. So their writes are
//! strict:
//!
//! * **All or none**: a commit applies all of its writes, or none of them.
//! * **Expectation**: each write says what must be stored before it. If one expectation does not hold, the
//!   commit is a conflict, and nothing is written.
//! * **Revision**: the id of the commit that wrote a record. Ids are never used twice, so a record that was
//!   deleted and written again has another revision.
//! * **Lost answers**: a commit whose answer was lost can be repeated under the same id. The store keeps a
//!   *receipt* of each commit for [`RECEIPT_LIFETIME`]. A repeat that finds it changes nothing and succeeds,
//!   even if others have changed the records since.
//! * **Expiry**: an expired record is absent for every read and every expectation, whether or not the store has
//!   deleted it yet. Callers pass the time, so no store reads a clock.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::error::{Error, Result};
use crate::keys::{KeyPart, RecordKey, RecordKind, RecordRange};
use crate::port::ChangeToken;

/// Greatest number of writes in one commit. A larger effect is a stored job with a cursor. A transaction of DynamoDB
/// holds 100 writes, and the last one is the receipt.
pub const MAX_COMMIT_WRITES: usize = 99;

/// Greatest length of a record's body in bytes. An item of DynamoDB holds 400 KB.
pub const MAX_RECORD_BYTES: usize = 380_000;

/// Greatest length of all bodies of a commit in bytes. A transaction of DynamoDB holds 4 MB, with keys.
pub const MAX_COMMIT_BYTES: usize = 3_500_000;

/// How long a store recognizes a repeated commit.
pub const RECEIPT_LIFETIME: TimeDelta = TimeDelta::hours(24);

/// How often [`commit_until_answered`] repeats a commit.
const MAX_COMMIT_RETRIES: u32 = 4;
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// The id of a commit, and the revision of the records that it wrote. Unique.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordCommitId(u128);

impl RecordCommitId {
    /// Creates a random id from the operating system's source.
    ///
    /// # Panics
    /// If the operating system has no random numbers, which no supported one lacks.
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system has random numbers");
        RecordCommitId(u128::from_ne_bytes(bytes))
    }

    /// Parses what [`fmt::Display`] writes. `None` if `text` is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        let is_valid = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_valid.then(|| u128::from_str_radix(text, 16).ok().map(RecordCommitId))?
    }
}

/// 32 hexadecimal digits in lower case.
impl fmt::Display for RecordCommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for RecordCommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A record as it was read from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The commit that wrote it.
    pub revision: RecordCommitId,
    /// From when on it is absent, UTC in full seconds. `None` if it never expires.
    pub expires: Option<DateTime<Utc>>,
    /// The content, which the store does not look into.
    pub body: String,
}

impl Record {
    /// Returns whether the record is not yet expired.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.expires.is_none_or(|expires| expires.timestamp() > now.timestamp())
    }
}

/// What must be stored under a key before a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Anything or nothing. The write always happens.
    Any,
    /// No record, or an expired one.
    Absent,
    /// A record that this commit wrote last, and that is not expired.
    Revision(RecordCommitId),
}

impl Expectation {
    /// The record is as it was read, or is absent as it was.
    pub fn unchanged(read: Option<&Record>) -> Self {
        read.map_or(Expectation::Absent, |record| Expectation::Revision(record.revision))
    }

    /// Returns whether the expectation holds for a record at `revision`, or for none.
    pub fn holds(self, revision: Option<RecordCommitId>) -> bool {
        match self {
            Expectation::Any => true,
            Expectation::Absent => revision.is_none(),
            Expectation::Revision(expected) => revision == Some(expected),
        }
    }
}

/// What a write does to its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordChange {
    /// Stores a record in place of the one that may be there.
    Put {
        /// The content, at most [`MAX_RECORD_BYTES`].
        body: String,
        /// From when on the record is absent, UTC. Stores round it down to seconds.
        expires: Option<DateTime<Utc>>,
    },
    /// Deletes the record. An absent one stays absent.
    Delete,
    /// Changes nothing: only the expectation matters.
    Check,
}

/// One write of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordWrite {
    /// What is written.
    pub key: RecordKey,
    /// What must be stored before.
    pub expectation: Expectation,
    /// What the write does.
    pub change: RecordChange,
}

/// Writes that a store applies together. To repeat a commit whose answer was lost, pass the same value again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordCommit {
    id: RecordCommitId,
    writes: Vec<RecordWrite>,
}

impl RecordCommit {
    /// Creates a commit without writes. An id must never be used for other writes.
    pub fn new(id: RecordCommitId) -> Self {
        RecordCommit { id, writes: Vec::new() }
    }

    /// Adds a write that stores a record without expiry.
    #[must_use]
    pub fn put(self, key: RecordKey, body: impl Into<String>, expectation: Expectation) -> Self {
        self.with(key, expectation, RecordChange::Put { body: body.into(), expires: None })
    }

    /// Adds a write that stores a record which is absent from `expires` on.
    #[must_use]
    pub fn put_until(
        self,
        key: RecordKey,
        body: impl Into<String>,
        expires: DateTime<Utc>,
        expectation: Expectation,
    ) -> Self {
        self.with(key, expectation, RecordChange::Put { body: body.into(), expires: Some(expires) })
    }

    /// Adds a write that deletes a record.
    #[must_use]
    pub fn delete(self, key: RecordKey, expectation: Expectation) -> Self {
        self.with(key, expectation, RecordChange::Delete)
    }

    /// Adds an expectation about a record that the commit does not change.
    #[must_use]
    pub fn check(self, key: RecordKey, expectation: Expectation) -> Self {
        self.with(key, expectation, RecordChange::Check)
    }

    fn with(mut self, key: RecordKey, expectation: Expectation, change: RecordChange) -> Self {
        self.writes.push(RecordWrite { key, expectation, change });
        self
    }

    /// Returns the id: the revision of the records that the commit writes.
    pub fn id(&self) -> RecordCommitId {
        self.id
    }

    /// Returns the writes in the order in which they were added.
    pub fn writes(&self) -> &[RecordWrite] {
        &self.writes
    }

    /// Returns the writes, and at the end the one that stores the receipt. Adapters apply all of them.
    ///
    /// # Errors
    /// `InvalidArgument` if the commit has more than [`MAX_COMMIT_WRITES`] writes, two writes of the same key, or
    /// bodies longer than [`MAX_RECORD_BYTES`] or together longer than [`MAX_COMMIT_BYTES`].
    pub fn writes_with_receipt(&self, now: DateTime<Utc>) -> Result<Vec<RecordWrite>> {
        self.validate()?;
        let id = self.id.to_string();
        let receipt = RecordWrite {
            key: RecordKey::new(None, RecordKind::Receipt, &[KeyPart::Text(&id)])?,
            expectation: Expectation::Absent,
            change: RecordChange::Put { body: String::new(), expires: Some(now + RECEIPT_LIFETIME) },
        };
        Ok(self.writes.iter().cloned().chain([receipt]).collect())
    }

    fn validate(&self) -> Result<()> {
        let invalid = |what| Err(Error::InvalidArgument { what });
        let count = self.writes.len();
        if count > MAX_COMMIT_WRITES {
            return invalid(format!(
                "cannot commit {count} writes: a commit holds at most {MAX_COMMIT_WRITES}; store a job with a \
                 cursor instead"
            ));
        }
        let (mut keys, mut commit_bytes) = (HashSet::with_capacity(count), 0);
        for RecordWrite { key, change, .. } in &self.writes {
            let name = format!("{} {}", key.kind().as_str(), key.sort());
            if !keys.insert(key) {
                return invalid(format!("cannot commit two writes of the same record: {name}"));
            }
            let RecordChange::Put { body, .. } = change else { continue };
            if body.len() > MAX_RECORD_BYTES {
                let bytes = body.len();
                return invalid(format!(
                    "cannot store {name}: {bytes} bytes, a record holds at most {MAX_RECORD_BYTES}"
                ));
            }
            commit_bytes += body.len();
        }
        if commit_bytes > MAX_COMMIT_BYTES {
            return invalid(format!(
                "cannot commit {commit_bytes} bytes: a commit holds at most {MAX_COMMIT_BYTES}; store a job with a \
                 cursor instead"
            ));
        }
        Ok(())
    }

    /// Decides a commit from the revisions of the stored records, in the order of
    /// [`RecordCommit::writes_with_receipt`], with `None` for absent and expired ones. Returns the outcome of a
    /// repeat or a conflict, or `None` if all expectations hold and the writes must be applied.
    pub fn decide(
        &self,
        writes: &[RecordWrite],
        revisions: &[Option<RecordCommitId>],
    ) -> Option<CommitOutcome> {
        if revisions.contains(&Some(self.id)) {
            return Some(CommitOutcome::Committed);
        }
        let holds = writes.iter().zip(revisions).map(|(write, revision)| write.expectation.holds(*revision));
        let failed: Vec<usize> =
            holds.enumerate().filter(|(_, holds)| !holds).map(|(index, _)| index).collect();
        (!failed.is_empty()).then_some(CommitOutcome::Conflict(failed))
    }
}

/// The outcome of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// All writes were applied, now or by an earlier attempt of the same commit.
    Committed,
    /// Nothing was written. The expectations of the writes with these indexes did not hold. There is at least
    /// one index, but a store need not find all of them.
    Conflict(Vec<usize>),
}

/// Stores records durably.
#[async_trait]
pub trait RecordStore: Send + Sync {
    /// Returns the token of the store's present content, as [`crate::RollupStore::change_token`] does. It covers all
    /// records. `None` if a change cannot be noticed in some microseconds.
    ///
    /// It is called for each request, and waits for nothing.
    fn content_token(&self) -> Option<ChangeToken> {
        None
    }

    /// Returns a record, or `None` if there is none or it is expired at `now`.
    ///
    /// # Errors
    /// If the store fails.
    async fn get(&self, key: &RecordKey, now: DateTime<Utc>) -> Result<Option<Record>>;

    /// Returns the first `limit` records of a range, ordered by key, without those that are expired at `now`. If
    /// there are fewer than `limit`, the range has no more. The next page is [`RecordRange::after`] the last key.
    ///
    /// Each record is current when it is read, but records that a commit wrote together need not be read
    /// together.
    ///
    /// # Errors
    /// If the store fails.
    async fn range(
        &self,
        range: &RecordRange,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<(RecordKey, Record)>>;

    /// Applies all writes durably if all expectations hold at `now`, or none. A commit without writes succeeds.
    ///
    /// # Errors
    /// `InvalidArgument` as [`RecordCommit::writes_with_receipt`]. If the store fails: the writes may have been
    /// applied. Repeat the same commit to learn that.
    async fn commit(&self, commit: &RecordCommit, now: DateTime<Utc>) -> Result<CommitOutcome>;
}

/// Commits, and repeats the commit if its answer is lost.
///
/// # Errors
/// As [`RecordStore::commit`], if the last repeat fails too.
pub async fn commit_until_answered(
    records: &dyn RecordStore,
    commit: &RecordCommit,
    now: DateTime<Utc>,
) -> Result<CommitOutcome> {
    let mut retries = 0;
    loop {
        match records.commit(commit, now).await {
            Err(error) if error.is_retryable() && retries < MAX_COMMIT_RETRIES => {
                retries += 1;
                tokio::time::sleep(RETRY_PAUSE * retries).await;
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_a_round_trip_and_differ() {
        let (a, b) = (RecordCommitId::random(), RecordCommitId::random());
        assert_ne!(a, b);
        assert_eq!(RecordCommitId::parse(&a.to_string()), Some(a));
        let small = RecordCommitId(7).to_string();
        assert_eq!((small.len(), RecordCommitId::parse(&small)), (32, Some(RecordCommitId(7))));
        for invalid in ["", "7", "+0000000000000000000000000000007", &"F".repeat(32), &"0".repeat(33)] {
            assert_eq!(RecordCommitId::parse(invalid), None, "{invalid}");
        }
    }
}
