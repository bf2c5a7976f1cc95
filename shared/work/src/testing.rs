//! Issues for tests and benches: as the cache of issues holds them, with the tasks that follow from them.

use chrono::{DateTime, Utc};
use gam_model::issue::{IssueDetails, IssueLabel, IssueState, IssueUser};
use gam_store::{CommitOutcome, Expectation, RecordCommit, RecordCommitId, RecordStore};

use crate::actions::testing_action;
use crate::issue::{CachedIssue, IssueChange, IssueFollower as _, LabelVoucher, load_issue};
use crate::tasks::Tasks;

/// GitHub's id of the label `agent-ready`.
pub const TASK_LABEL_ID: i64 = 1;

/// Returns an open issue with the label `agent-ready`, which vouches for its content.
pub fn task_issue((repo_id, repo): (i64, &str), number: i64, created_at: DateTime<Utc>) -> CachedIssue {
    let details = IssueDetails {
        number,
        node_id: format!("I_{number}"),
        title: format!("Fix problem {number}"),
        body: "It does \"not\" work.\nReally.".to_owned(),
        state: IssueState::Open,
        state_reason: None,
        is_locked: false,
        labels: vec![IssueLabel { id: TASK_LABEL_ID, name: "agent-ready".to_owned() }],
        assignees: Vec::new(),
        author: Some(IssueUser { id: 12, login: "bob".to_owned() }),
        milestone: None,
        created_at,
        updated_at: created_at,
        closed_at: None,
        blocked_by_open: Some(0),
        sub_issues_open: Some(0),
    };
    let mut issue = CachedIssue::new(repo_id, repo, details, created_at);
    issue.closing_pull_requests = Some(Vec::new());
    issue.add_voucher(voucher(&issue, created_at));
    issue
}

/// Returns what vouches for the present content of an issue: somebody set the label `agent-ready` at that time.
pub fn voucher(issue: &CachedIssue, at: DateTime<Utc>) -> LabelVoucher {
    LabelVoucher { label_id: TASK_LABEL_ID, content_hash: issue.content_hash.clone(), by: None, at }
}

/// Stores an issue as the cache does, with what follows from it, in one commit. `org` is a storage key.
///
/// # Panics
/// If the store fails, or somebody else changes the issue again and again.
pub async fn store_issue(
    records: &dyn RecordStore,
    tasks: &Tasks,
    org: &str,
    issue: &CachedIssue,
    now: DateTime<Utc>,
) {
    for _ in 0..20 {
        let before = load_issue(records, org, issue.repo_id, issue.details.number, now).await;
        let before = before.expect("the issue is read");
        let expectation =
            before.as_ref().map_or(Expectation::Absent, |(_, revision)| Expectation::Revision(*revision));
        let change = IssueChange { org, before: before.as_ref().map(|(issue, _)| issue), after: issue };
        let commit = issue.put(org, RecordCommit::new(RecordCommitId::random()), expectation);
        let commit = tasks.follower().follow(change, commit.expect("a valid key"), now).await;
        let outcome = records.commit(&commit.expect("the task is read"), now).await;
        if outcome.expect("the commit is decided") == CommitOutcome::Committed {
            return;
        }
    }
    panic!("issue {} is never stored", issue.details.number);
}

/// Stores a comment in `acme/api` as an action that is done, under an id.
///
/// # Panics
/// If the id is invalid, or the store fails.
pub async fn store_action(records: &dyn RecordStore, id: &str, now: DateTime<Utc>) {
    let commit = testing_action(id, now, RecordCommit::new(RecordCommitId::random()));
    let outcome = records.commit(&commit, now).await.expect("the commit is decided");
    assert_eq!(outcome, CommitOutcome::Committed);
}
