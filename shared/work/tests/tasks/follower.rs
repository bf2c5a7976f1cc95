//! The tasks follow the cache of issues in the same commit.

use gam_model::Clock as _;
use gam_model::issue::IssueState;
use gam_store::{CommitOutcome, Expectation, RecordCommit, RecordCommitId, RecordKind, RecordRange};
use gam_work::IssueChange;
use gam_work::issue::{IssueFollower as _, load_issue};
use gam_work::tasks::{ReportKind, TaskFilter};

use crate::support::{ORG, REPO_ID, TestStore, World, issue};

/// Returns the number of records of a kind.
async fn count(world: &World, org: Option<&str>, kind: RecordKind) -> usize {
    let range = RecordRange::new(org, kind, &[]).expect("a range");
    world.records.range(&range, 1_000, world.clock.now()).await.expect("it is read").len()
}

#[tokio::test]
async fn a_change_that_races_with_a_claim_is_a_conflict() {
    for store in TestStore::all().await {
        let world = World::new(&store);
        world.store(&issue(1)).await;
        let now = world.clock.now();
        let (before, revision) = load_issue(&*world.records, ORG, REPO_ID, 1, now)
            .await
            .expect("it is read")
            .expect("it is stored");
        let mut closed = before.clone();
        closed.details.state = IssueState::Closed;
        let change = IssueChange { org: ORG, before: Some(&before), after: &closed };
        let commit = RecordCommit::new(RecordCommitId::random());
        let commit = closed.put(ORG, commit, Expectation::Revision(revision)).expect("a valid key");
        let commit = world.tasks.follower().follow(change, commit, now).await.expect("it is read");

        let claim = world.request("ann").await.expect("a task");
        let outcome = world.records.commit(&commit, now).await.expect("it is decided");
        assert!(matches!(outcome, CommitOutcome::Conflict(_)), "the claim would not be cancelled");
        world.store(&closed).await;
        let answer = world.report(&claim.claim_id, ReportKind::Heartbeat).await.expect("the holder");
        assert!(answer.cancel.is_some());
        store.close().await;
    }
}

#[tokio::test]
async fn a_claim_that_races_with_a_change_gets_nothing() {
    let store = TestStore::memory();
    let world = World::new(&store);
    world.store(&issue(1)).await;
    world.edit(1, |issue| issue.details.state = IssueState::Closed).await;
    assert!(world.request("ann").await.is_none());
    assert_eq!(count(&world, Some(ORG), RecordKind::ReadyIssue).await, 0);
}

#[tokio::test]
async fn issues_without_a_task_label_leave_no_records() {
    let store = TestStore::memory();
    let world = World::new(&store);
    for number in 1..=3 {
        let mut other = issue(number);
        other.details.labels.clear();
        world.store(&other).await;
    }
    for kind in [RecordKind::Claim, RecordKind::ReadyIssue, RecordKind::AuditRow] {
        assert_eq!(count(&world, Some(ORG), kind).await, 0, "{kind:?}");
    }
}

#[tokio::test]
async fn an_unchanged_issue_changes_no_task() {
    let store = TestStore::memory();
    let world = World::new(&store);
    for _ in 0..3 {
        world.store(&issue(1)).await;
    }
    assert_eq!(world.audit().await, ["task_queued ok"]);
}

#[tokio::test]
async fn finished_tasks_leave_no_entries_and_expire() {
    for store in TestStore::all().await {
        let world = World::new(&store);
        world.store(&issue(1)).await;
        let claim = world.request("ann").await.expect("a task").claim_id;
        assert_eq!(count(&world, Some(ORG), RecordKind::Lease).await, 1);
        assert_eq!(count(&world, None, RecordKind::WorkerClaim).await, 1);
        world.edit(1, |issue| issue.details.state = IssueState::Closed).await;
        world.report(&claim, ReportKind::Complete).await.expect("it counts");
        for (org, kind) in [
            (Some(ORG), RecordKind::Lease),
            (None, RecordKind::WorkerClaim),
            (Some(ORG), RecordKind::ReadyIssue),
        ] {
            assert_eq!(count(&world, org, kind).await, 0, "{kind:?}");
        }
        world.clock.advance(chrono::TimeDelta::days(91));
        let page = world.tasks.list(ORG, &TaskFilter::default(), |_| true, 10, None).await.expect("a page");
        assert!(page.tasks.is_empty(), "{page:?}");
        let mut again = issue(1);
        again.details.updated_at = world.clock.now();
        world.store(&again).await;
        let second = world.request("ann").await.expect("it was reopened").claim_id;
        assert_eq!(second.fence, 1);
        assert_ne!(second, claim, "the fence is used again, the id is not");
        store.close().await;
    }
}

#[tokio::test]
async fn every_change_of_a_task_has_an_audit_row() {
    let store = TestStore::memory();
    let world = World::new(&store);
    world.store(&issue(1)).await;
    world.edit(1, |issue| issue.details.is_locked = true).await;
    world.edit(1, |issue| issue.details.title = "Another title".to_owned()).await;
    world.edit(1, |issue| issue.repo = "renamed".to_owned()).await;
    // Nothing that a task shows.
    world.edit(1, |issue| issue.details.milestone = None).await;
    world.edit(1, |issue| issue.details.labels.clear()).await;
    let mut rows = world.audit().await;
    rows.sort();
    let expected = [
        "task_changed locked",
        "task_changed locked",
        "task_changed unlabelled",
        "task_queued ok",
        "task_withdrawn locked",
    ];
    assert_eq!(rows, expected);
}
