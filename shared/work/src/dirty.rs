//! Repositories that webhooks marked dirty: the collector must read them.
//!
//! A mark is a counter. The collector remembers it before its first request, and clears it afterwards only if it is
//! unchanged. So a delivery that arrives while the repository is read is never lost.

use chrono::{DateTime, TimeDelta, Utc};
use gam_store::{
    CommitOutcome, Error as StoreError, Expectation, KeyPart, RecordCommit, RecordCommitId, RecordKey,
    RecordKind, RecordRange, RecordStore, Result,
};
use serde::{Deserialize, Serialize};

use crate::order::OrderRepo;

/// How long the first mark waits before the repository is read, so that a burst of deliveries costs one reading.
pub const READ_AFTER: TimeDelta = TimeDelta::seconds(60);
/// How long a repository waits that could not be read.
const RETRY_AFTER: TimeDelta = TimeDelta::minutes(5);
/// Number of marks that one read lists.
const PAGE_MARKS: usize = 500;

/// A mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirtyRepo {
    /// The repository.
    pub repo: OrderRepo,
    /// Number of deliveries since the repository was read.
    pub count: u64,
    /// When the first of them was received, UTC.
    pub since: DateTime<Utc>,
    /// From when on the repository may be read, UTC.
    pub due_at: DateTime<Utc>,
}

/// A mark as it was read.
#[derive(Debug, Clone)]
pub struct RememberedMark {
    /// The mark.
    pub mark: DirtyRepo,
    revision: RecordCommitId,
}

fn mark_key(org: &str, repo_id: i64) -> Result<RecordKey> {
    let id = u64::try_from(repo_id).unwrap_or_default();
    RecordKey::new(Some(org), RecordKind::DirtyRepo, &[KeyPart::Number(id)])
}

fn to_json(mark: &DirtyRepo) -> String {
    serde_json::to_string(mark).expect("a mark has only text keys")
}

fn parse(body: &str) -> Result<DirtyRepo> {
    serde_json::from_str(body).map_err(|error| {
        StoreError::unusable(
            "the record of a marked repository cannot be read: upgrade github-metrics",
            error,
        )
    })
}

/// Adds a write that marks a repository of the organization with this storage key.
///
/// # Errors
/// If the store fails.
pub async fn mark_dirty(
    records: &dyn RecordStore,
    commit: RecordCommit,
    org: &str,
    repo: &OrderRepo,
    now: DateTime<Utc>,
) -> Result<RecordCommit> {
    let key = mark_key(org, repo.id)?;
    let (mark, expectation) = match records.get(&key, now).await? {
        None => {
            let due_at = now + READ_AFTER;
            (DirtyRepo { repo: repo.clone(), count: 1, since: now, due_at }, Expectation::Absent)
        }
        Some(record) => {
            let known = parse(&record.body)?;
            (DirtyRepo { count: known.count + 1, ..known }, Expectation::Revision(record.revision))
        }
    };
    Ok(commit.put(key, to_json(&mark), expectation))
}

/// Returns all marks of an organization, whether or not they are due.
///
/// # Errors
/// If the store fails.
pub async fn list_marks(
    records: &dyn RecordStore,
    org: &str,
    now: DateTime<Utc>,
) -> Result<Vec<RememberedMark>> {
    let mut range = RecordRange::new(Some(org), RecordKind::DirtyRepo, &[])?;
    let mut marks = Vec::new();
    loop {
        let page = records.range(&range, PAGE_MARKS, now).await?;
        for (_, record) in &page {
            marks.push(RememberedMark { mark: parse(&record.body)?, revision: record.revision });
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE_MARKS => range = range.after(last),
            _ => return Ok(marks),
        }
    }
}

/// Clears a mark after its repository was read, unless it was marked again meanwhile. Then the repository is due again.
///
/// # Errors
/// If the store fails.
pub async fn clear_mark(
    records: &dyn RecordStore,
    org: &str,
    remembered: &RememberedMark,
    now: DateTime<Utc>,
) -> Result<()> {
    let key = mark_key(org, remembered.mark.repo.id)?;
    let commit =
        RecordCommit::new(RecordCommitId::random()).delete(key, Expectation::Revision(remembered.revision));
    match records.commit(&commit, now).await? {
        CommitOutcome::Committed => Ok(()),
        CommitOutcome::Conflict(_) => postpone(records, org, remembered, now, READ_AFTER).await,
    }
}

/// Keeps a mark whose repository could not be read, and tries again later.
///
/// # Errors
/// If the store fails.
pub async fn keep_mark(
    records: &dyn RecordStore,
    org: &str,
    remembered: &RememberedMark,
    now: DateTime<Utc>,
) -> Result<()> {
    postpone(records, org, remembered, now, RETRY_AFTER).await
}

async fn postpone(
    records: &dyn RecordStore,
    org: &str,
    remembered: &RememberedMark,
    now: DateTime<Utc>,
    pause: TimeDelta,
) -> Result<()> {
    let key = mark_key(org, remembered.mark.repo.id)?;
    // If another delivery marks it in between, the mark keeps its earlier time, which does no harm.
    let Some(record) = records.get(&key, now).await? else { return Ok(()) };
    let mark = DirtyRepo { due_at: now + pause, ..parse(&record.body)? };
    let commit = RecordCommit::new(RecordCommitId::random()).put(
        key,
        to_json(&mark),
        Expectation::Revision(record.revision),
    );
    records.commit(&commit, now).await.map(|_| ())
}
