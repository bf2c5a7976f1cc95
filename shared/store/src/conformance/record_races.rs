//! Checks of records with lost answers, and with many callers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::records::{all, claim, commit, get, new_commit, noon, put};
use super::{ORG, run_concurrently};
use crate::error::{Error, Result};
use crate::keys::{KeyPart, RecordKey, RecordKind, RecordRange};
use crate::record::{
    CommitOutcome, Expectation, MAX_COMMIT_WRITES, RECEIPT_LIFETIME, Record, RecordCommit, RecordStore,
};

use CommitOutcome::{Committed, Conflict};
use Expectation::{Absent, Any, Revision};

/// A store that loses the answer of every second commit, beginning with the first. The commit is made.
struct LosesAnswers<S> {
    store: Arc<S>,
    commits: AtomicUsize,
}

impl<S: RecordStore> LosesAnswers<S> {
    fn new(store: Arc<S>) -> Self {
        LosesAnswers { store, commits: AtomicUsize::new(0) }
    }

    /// Makes a commit and loses its answer.
    async fn lose(&self, commit: &RecordCommit) {
        self.commits.store(0, Ordering::Relaxed);
        let error = self.commit(commit, noon()).await.expect_err("a lost answer");
        assert!(error.is_retryable(), "{error}");
    }

    /// Repeats a commit until there is an answer.
    async fn persist(&self, commit: &RecordCommit) -> CommitOutcome {
        loop {
            match self.commit(commit, noon()).await {
                Ok(outcome) => return outcome,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
    }
}

#[async_trait]
impl<S: RecordStore> RecordStore for LosesAnswers<S> {
    async fn get(&self, key: &RecordKey, now: DateTime<Utc>) -> Result<Option<Record>> {
        self.store.get(key, now).await
    }

    async fn range(
        &self,
        range: &RecordRange,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<(RecordKey, Record)>> {
        self.store.range(range, limit, now).await
    }

    async fn commit(&self, commit: &RecordCommit, now: DateTime<Utc>) -> Result<CommitOutcome> {
        let outcome = self.store.commit(commit, now).await;
        if self.commits.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            return Err(Error::Unavailable { what: "the answer was lost".to_owned(), source: None });
        }
        outcome
    }
}

pub(super) async fn check_repeats<S: RecordStore + 'static>(store: S) {
    let store = Arc::new(store);
    let lossy = LosesAnswers::new(Arc::clone(&store));
    let body = async |key: &RecordKey| get(&*store, key).await.map(|record| record.body);

    let old = put(&*store, &claim(1), "old").await;
    let first = new_commit().put(claim(1), "first", Revision(old)).put(claim(2), "first", Absent);
    lossy.lose(&first).await;
    assert_eq!(lossy.persist(&first).await, Committed, "a repeat whose records are unchanged");
    for key in [claim(1), claim(2)] {
        let revision = get(&*store, &key).await.map(|record| record.revision);
        assert_eq!(revision, Some(first.id()), "a repeat changes nothing");
    }
    let next = new_commit().put(claim(1), "next", Revision(first.id())).delete(claim(2), Any);
    assert_eq!(commit(&*store, &next).await, Committed, "the revision of a repeated commit");
    for hours in [0, 23] {
        let later = noon() + TimeDelta::hours(hours);
        let repeat = store.commit(&first, later).await.expect("commit");
        assert_eq!(repeat, Committed, "a repeat after {hours} hours whose records have changed since");
        assert_eq!(body(&claim(1)).await.as_deref(), Some("next"), "a repeat does not undo a later commit");
        assert_eq!(body(&claim(2)).await, None, "a repeat does not undo a later delete");
    }

    for (what, unguarded) in [
        ("a delete", new_commit().delete(claim(1), Any)),
        ("a put", new_commit().put(claim(1), "again", Any)),
    ] {
        lossy.lose(&unguarded).await;
        put(&*store, &claim(1), "later").await;
        assert_eq!(lossy.persist(&unguarded).await, Committed);
        assert_eq!(
            body(&claim(1)).await.as_deref(),
            Some("later"),
            "{what} is not repeated over a later one"
        );
    }

    let refused = new_commit().put(claim(3), "refused", Absent).check(claim(1), Absent);
    lossy.lose(&refused).await;
    assert_eq!(lossy.persist(&refused).await, Conflict(vec![1]), "a conflict whose answer was lost");
    commit(&*store, &new_commit().delete(claim(1), Any)).await;
    assert_eq!(lossy.persist(&refused).await, Committed, "a conflict leaves no receipt");

    let full = (0..MAX_COMMIT_WRITES as u64)
        .fold(new_commit(), |commit, n| commit.put(claim(100 + n), "full", Absent));
    lossy.lose(&full).await;
    assert_eq!(lossy.persist(&full).await, Committed, "a repeat of a full commit");
    put(&*store, &claim(100), "later").await;
    assert_eq!(
        lossy.persist(&full).await,
        Committed,
        "a repeat of a full commit, of which one record changed"
    );
    assert_eq!(body(&claim(100)).await.as_deref(), Some("later"));

    // No record is left that could show the commit, so only the receipt does.
    let deletes =
        (0..MAX_COMMIT_WRITES as u64).fold(new_commit(), |commit, n| commit.delete(claim(100 + n), Any));
    lossy.lose(&deletes).await;
    put(&*store, &claim(100), "later").await;
    assert_eq!(lossy.persist(&deletes).await, Committed, "a repeat of a full commit of deletes");
    assert_eq!(body(&claim(100)).await.as_deref(), Some("later"), "a repeat deletes no later record");

    let forgotten = noon() + RECEIPT_LIFETIME + TimeDelta::seconds(1);
    let repeat = store.commit(&next, forgotten).await.expect("commit");
    assert_eq!(repeat, Conflict(vec![0]), "a receipt expires");
}

pub(super) async fn check_concurrent_claims<S: RecordStore + 'static>(store: S) {
    const TASKS: u64 = 8;
    let lossy = Arc::new(LosesAnswers::new(Arc::new(store)));
    let outcomes = run_concurrently((0..TASKS).map(|task| {
        let lossy = Arc::clone(&lossy);
        async move {
            let attempt =
                new_commit().put(claim(1), task.to_string(), Absent).put(claim(10 + task), "", Absent);
            (task, lossy.persist(&attempt).await)
        }
    }))
    .await;
    let winners: Vec<u64> =
        outcomes.iter().filter(|(_, outcome)| *outcome == Committed).map(|(task, _)| *task).collect();
    assert_eq!(winners.len(), 1, "exactly one of many concurrent claims succeeds: {outcomes:?}");
    let held = get(&*lossy, &claim(1)).await.expect("the claim").body;
    assert_eq!(held, winners[0].to_string(), "the claim is of the caller whose commit succeeded");
    let records = lossy.range(&all(RecordKind::Claim), 100, noon()).await.expect("range");
    let keys: Vec<RecordKey> = records.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [claim(1), claim(10 + winners[0])], "only the winner's writes are applied");
}

/// Tasks move units between accounts, and each move writes an audit row in the same commit.
pub(super) async fn check_concurrent_commits<S: RecordStore + 'static>(store: S) {
    const TASKS: u64 = 6;
    const MOVES: u64 = 4;
    const ACCOUNTS: u64 = 3;
    let lossy = Arc::new(LosesAnswers::new(Arc::new(store)));
    for account in 0..ACCOUNTS {
        put(&*lossy.store, &claim(account), "0").await;
    }
    run_concurrently((0..TASKS).map(|task| {
        let lossy = Arc::clone(&lossy);
        async move {
            for number in 0..MOVES {
                move_unit(&lossy, task % ACCOUNTS, (task + 1 + number % 2) % ACCOUNTS, task, number).await;
            }
        }
    }))
    .await;

    let mut expected = [0_i64; ACCOUNTS as usize];
    for (task, number) in (0..TASKS).flat_map(|task| (0..MOVES).map(move |number| (task, number))) {
        expected[(task % ACCOUNTS) as usize] -= 1;
        expected[((task + 1 + number % 2) % ACCOUNTS) as usize] += 1;
    }
    for (account, expected) in expected.into_iter().enumerate() {
        let record = get(&*lossy, &claim(account as u64)).await.expect("an account");
        assert_eq!(record.body, expected.to_string(), "each move counts exactly once in account {account}");
    }
    let rows = lossy.range(&all(RecordKind::AuditRow), 1_000, noon()).await.expect("range");
    assert_eq!(rows.len() as u64, TASKS * MOVES, "each move wrote one audit row");
}

/// Moves one unit, and writes the audit row of the move.
async fn move_unit<S: RecordStore>(lossy: &LosesAnswers<S>, from: u64, to: u64, task: u64, number: u64) {
    let parts = [KeyPart::Number(number), KeyPart::Number(task)];
    let row = RecordKey::new(Some(ORG), RecordKind::AuditRow, &parts).expect("a key");
    loop {
        let mut attempt = new_commit().put(row.clone(), format!("{from} to {to}"), Absent);
        for (account, change) in [(from, -1), (to, 1)] {
            let record = get(lossy, &claim(account)).await.expect("an account");
            let balance: i64 = record.body.parse().expect("a balance");
            let body = (balance + change).to_string();
            attempt = attempt.put(claim(account), body, Revision(record.revision));
        }
        match lossy.persist(&attempt).await {
            Committed => return,
            Conflict(failed) => assert!(!failed.contains(&0), "this caller's own audit row: {failed:?}"),
        }
    }
}
