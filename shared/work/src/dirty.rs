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
pub const RETRY_AFTER: TimeDelta = TimeDelta::minutes(5);
/// How long after its time a marked repository waits for the collector before the order to read it is sent again.
pub const ORDER_PATIENCE: TimeDelta = TimeDelta::minutes(20);
/// How often a change of a mark is tried if deliveries change it.
const MAX_CONFLICTS: u32 = 20;
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
    /// Until when the collector has an order to read the repository, UTC. `None` if it has none. A collector that lists
    /// the marks itself gets no orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered_until: Option<DateTime<Utc>>,
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
            let mark = DirtyRepo { repo: repo.clone(), count: 1, since: now, due_at, ordered_until: None };
            (mark, Expectation::Absent)
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

/// Returns the marks of these repositories, by GitHub's ids. Those without a mark are left out.
///
/// # Errors
/// If the store fails.
pub async fn find_marks(
    records: &dyn RecordStore,
    org: &str,
    repo_ids: &[i64],
    now: DateTime<Utc>,
) -> Result<Vec<RememberedMark>> {
    let mut marks = Vec::new();
    for id in repo_ids {
        if let Some(record) = records.get(&mark_key(org, *id)?, now).await? {
            marks.push(RememberedMark { mark: parse(&record.body)?, revision: record.revision });
        }
    }
    Ok(marks)
}

/// Returns the marks of an organization whose collector has no order to read the repository, or had one too long ago.
///
/// # Errors
/// If the store fails.
pub async fn list_marks_without_order(
    records: &dyn RecordStore,
    org: &str,
    now: DateTime<Utc>,
) -> Result<Vec<RememberedMark>> {
    let mut marks = list_marks(records, org, now).await?;
    marks.retain(|mark| mark.mark.ordered_until.is_none_or(|until| until <= now));
    Ok(marks)
}

/// Remembers that the collector has an order to read a marked repository, which it gets when the mark is due. Call this
/// after the order was sent: an order without this note is sent again, which does no harm.
///
/// # Errors
/// If the store fails.
pub async fn note_order(
    records: &dyn RecordStore,
    org: &str,
    remembered: &RememberedMark,
    now: DateTime<Utc>,
) -> Result<()> {
    let until = remembered.mark.due_at.max(now) + ORDER_PATIENCE;
    change_mark(records, org, remembered.mark.repo.id, now, |mark| {
        // A mark that was settled meanwhile needs another order.
        if (mark.since, mark.due_at) == (remembered.mark.since, remembered.mark.due_at) {
            mark.ordered_until = Some(until);
        }
    })
    .await
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
        CommitOutcome::Conflict(_) => keep_mark(records, org, remembered, now + READ_AFTER, now).await,
    }
}

/// Keeps a mark whose repository could not be read. It is due again at `due_at`, UTC.
///
/// # Errors
/// If the store fails.
pub async fn keep_mark(
    records: &dyn RecordStore,
    org: &str,
    remembered: &RememberedMark,
    due_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<()> {
    change_mark(records, org, remembered.mark.repo.id, now, |mark| {
        (mark.due_at, mark.ordered_until) = (due_at, None);
    })
    .await
}

/// Changes a mark, if it is still there. Deliveries may change it at the same time.
async fn change_mark(
    records: &dyn RecordStore,
    org: &str,
    repo_id: i64,
    now: DateTime<Utc>,
    change: impl Fn(&mut DirtyRepo),
) -> Result<()> {
    let key = mark_key(org, repo_id)?;
    for _ in 0..MAX_CONFLICTS {
        let Some(record) = records.get(&key, now).await? else { return Ok(()) };
        let before = parse(&record.body)?;
        let mut mark = before.clone();
        change(&mut mark);
        if mark == before {
            return Ok(());
        }
        let commit = RecordCommit::new(RecordCommitId::random()).put(
            key.clone(),
            to_json(&mark),
            Expectation::Revision(record.revision),
        );
        if records.commit(&commit, now).await? == CommitOutcome::Committed {
            return Ok(());
        }
    }
    let what = format!("the mark of repository {repo_id} is changed by others all the time");
    Err(StoreError::Unavailable { what, source: None })
}

#[cfg(test)]
mod tests {
    use gam_store::MemoryStore;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap()
    }

    async fn deliver(store: &MemoryStore, seconds: i64) {
        let repo = OrderRepo { id: 7, node_id: "R_7".to_owned(), name: "site".to_owned() };
        let commit = RecordCommit::new(RecordCommitId::random());
        let commit = mark_dirty(store, commit, "acme", &repo, at(seconds)).await.unwrap();
        assert_eq!(store.commit(&commit, at(seconds)).await.unwrap(), CommitOutcome::Committed);
    }

    async fn without_order(store: &MemoryStore, seconds: i64) -> Vec<RememberedMark> {
        list_marks_without_order(store, "acme", at(seconds)).await.unwrap()
    }

    async fn find(store: &MemoryStore) -> RememberedMark {
        find_marks(store, "acme", &[6, 7], at(0)).await.unwrap().remove(0)
    }

    #[tokio::test]
    async fn a_mark_has_one_order_until_it_is_settled() {
        let store = MemoryStore::default();
        deliver(&store, 0).await;
        let marks = without_order(&store, 1).await;
        assert_eq!(marks[0].mark.due_at, at(60));
        deliver(&store, 2).await;
        note_order(&store, "acme", &marks[0], at(3)).await.unwrap();
        assert!(without_order(&store, 4).await.is_empty());
        let patience = 60 + ORDER_PATIENCE.num_seconds();
        assert!(without_order(&store, patience - 1).await.is_empty());
        assert_eq!(without_order(&store, patience).await.len(), 1, "an order that is lost is sent again");

        let read = find(&store).await;
        deliver(&store, 70).await;
        clear_mark(&store, "acme", &read, at(80)).await.unwrap();
        let marks = without_order(&store, 81).await;
        assert_eq!((marks[0].mark.count, marks[0].mark.due_at), (3, at(140)), "it was marked meanwhile");
        note_order(&store, "acme", &marks[0], at(82)).await.unwrap();
        keep_mark(&store, "acme", &find(&store).await, at(900), at(200)).await.unwrap();
        assert_eq!(without_order(&store, 201).await[0].mark.due_at, at(900), "it could not be read");
        clear_mark(&store, "acme", &find(&store).await, at(910)).await.unwrap();
        assert!(without_order(&store, 911).await.is_empty());
        note_order(&store, "acme", &marks[0], at(912)).await.unwrap();
    }

    #[tokio::test]
    async fn a_late_note_is_not_taken_for_the_order_of_a_later_mark() {
        let store = MemoryStore::default();
        deliver(&store, 0).await;
        let sent = without_order(&store, 1).await.remove(0);
        clear_mark(&store, "acme", &find(&store).await, at(70)).await.unwrap();
        deliver(&store, 71).await;
        note_order(&store, "acme", &sent, at(72)).await.unwrap();
        assert_eq!(without_order(&store, 73).await.len(), 1);
    }
}
