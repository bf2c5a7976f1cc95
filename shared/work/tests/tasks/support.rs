//! A clock, issues, and a store that loses answers and crashes.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use gam_access::{AuditRow, Principal, Role, Scope};
use gam_model::issue::{IssueLabel, IssueState, IssueUser, ThreadRef};
use gam_model::{Clock, TaskRules};
use gam_store::{Expectation, RecordCommit, RecordCommitId, RecordKind, RecordRange, RecordStore};
pub(crate) use gam_work::conformance::{CommitFault, FaultyRecords, TestClock};
use gam_work::issue::load_issue;
use gam_work::repo::{IssueOrg, StoredTaskRules, load_org, put_org};
use gam_work::tasks::{
    Assignment, ClaimId, ReportKind, ReportOutcome, RequestOutcome, TaskError, TaskReport, Tasks, WorkRequest,
};
pub(crate) use gam_work::testing::voucher;
use gam_work::testing::{store_issue, task_issue};
use gam_work::{CachedIssue, Tombstone};

pub(crate) use crate::test_store::TestStore;

pub(crate) const ORG: &str = "acme";
pub(crate) const REPO_ID: i64 = 7;
/// The lease of the default rules.
pub(crate) const LEASE: TimeDelta = TimeDelta::seconds(600);

/// Returns a clock that shows the beginning of the tests.
pub(crate) fn clock() -> TestClock {
    TestClock::new("2026-03-01T10:00:00Z".parse().expect("a time"))
}

impl TestStore {
    /// Returns the stores of one machine, empty.
    pub(crate) async fn all() -> Vec<TestStore> {
        vec![Self::memory(), Self::sqlite().await]
    }
}

/// An organization with issues, and its tasks.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) records: Arc<dyn RecordStore>,
    pub(crate) clock: TestClock,
    pub(crate) tasks: Tasks,
}

impl World {
    pub(crate) fn new(store: &TestStore) -> Self {
        Self::with(store.records.clone(), clock())
    }

    /// Picks the first candidate.
    pub(crate) fn with(records: Arc<dyn RecordStore>, clock: TestClock) -> Self {
        let pick = Arc::new(|_| 0);
        let tasks = Tasks::new(records.clone(), Arc::new(clock.clone()), pick);
        World { records, clock, tasks }
    }

    /// Stores an issue as the cache of issues does, with what follows from it. Without rules, those of [`rules`] apply
    /// from then on.
    pub(crate) async fn store(&self, issue: &CachedIssue) {
        self.store_rules().await;
        store_issue(&*self.records, &self.tasks, ORG, issue, self.clock.now()).await;
    }

    async fn store_rules(&self) {
        let now = self.clock.now();
        let (state, expectation) = load_org(&*self.records, ORG, now).await.expect("it is read");
        if expectation == Expectation::Absent {
            let tasks = Some(StoredTaskRules { rules: rules(), revision: 1, since: now, is_applied: true });
            let commit = RecordCommit::new(RecordCommitId::random());
            let commit = put_org(commit, ORG, &IssueOrg { tasks, ..state }, expectation).expect("a commit");
            // Another test of the same world may have stored them meanwhile.
            self.records.commit(&commit, now).await.expect("it is decided");
        }
    }

    /// Changes a stored issue.
    pub(crate) async fn edit(&self, number: i64, edit: impl FnOnce(&mut CachedIssue)) {
        let issue = load_issue(&*self.records, ORG, REPO_ID, number, self.clock.now()).await;
        let (mut issue, _) = issue.expect("it is read").expect("it is stored");
        edit(&mut issue);
        self.store(&issue).await;
    }

    pub(crate) async fn request(&self, worker: &str) -> Option<Assignment> {
        self.request_with(&work_request(worker)).await
    }

    pub(crate) async fn request_with(&self, request: &WorkRequest) -> Option<Assignment> {
        let outcome = self.tasks.request(&principal(), request, &[ORG.to_owned()]).await;
        match outcome.expect("the request is valid") {
            RequestOutcome::Assigned(assignment) => Some(*assignment),
            RequestOutcome::Nothing { .. } => None,
        }
    }

    pub(crate) async fn report(
        &self,
        claim_id: &ClaimId,
        kind: ReportKind,
    ) -> std::result::Result<ReportOutcome, TaskError> {
        self.tasks.report(&principal(), claim_id, &report(claim_id, kind)).await
    }

    /// Returns all audit rows of the organization as `kind outcome`.
    pub(crate) async fn audit(&self) -> Vec<String> {
        let range = RecordRange::new(Some(ORG), RecordKind::AuditRow, &[]).expect("a range");
        let rows = self.records.range(&range, 10_000, self.clock.now()).await.expect("they are read");
        rows.into_iter()
            .map(|(_, record)| {
                let row: AuditRow = serde_json::from_str(&record.body).expect("a row");
                let kind = serde_json::to_value(row.kind).expect("a name");
                format!("{} {}", kind.as_str().expect("a name"), row.outcome)
            })
            .collect()
    }
}

pub(crate) fn rules() -> TaskRules {
    TaskRules { labels_none: vec!["on-hold".to_owned()], ..TaskRules::default() }
}

pub(crate) fn principal() -> Principal {
    Principal {
        id: "token:1".to_owned(),
        role: Role::Worker,
        scope: Scope::All,
        has_token: true,
        member: None,
        origin: None,
    }
}

pub(crate) fn work_request(worker: &str) -> WorkRequest {
    WorkRequest { worker: worker.to_owned(), skills: Vec::new(), repos: Vec::new() }
}

pub(crate) fn report(claim_id: &ClaimId, kind: ReportKind) -> TaskReport {
    TaskReport { kind, fence: claim_id.fence, note: None, result: None }
}

/// Returns an open issue with the task label, which vouches for its content. Issues with smaller numbers are older.
pub(crate) fn issue(number: i64) -> CachedIssue {
    let created_at: DateTime<Utc> = "2026-02-01T00:00:00Z".parse().expect("a time");
    task_issue((REPO_ID, "Site"), number, created_at + TimeDelta::minutes(number))
}

pub(crate) fn label(id: i64, name: &str) -> IssueLabel {
    IssueLabel { id, name: name.to_owned() }
}

pub(crate) fn user(id: i64, login: &str) -> IssueUser {
    IssueUser { id, login: login.to_owned() }
}

/// A change of an issue, and its name.
type Obstacle = (&'static str, fn(&mut CachedIssue));

/// What can happen to an issue on GitHub so that no worker gets it.
pub(crate) const OBSTACLES: [Obstacle; 10] = [
    ("closed", |issue| issue.details.state = IssueState::Closed),
    ("unlabelled", |issue| issue.details.labels.clear()),
    ("excluded", |issue| issue.details.labels.push(label(9, "On-Hold"))),
    ("edited", |issue| issue.content_hash = "another".to_owned()),
    ("locked", |issue| issue.details.is_locked = true),
    ("blocked", |issue| issue.details.blocked_by_open = Some(1)),
    ("blocked by sub-issues", |issue| issue.details.sub_issues_open = Some(2)),
    ("unfetched", |issue| issue.closing_pull_requests = None),
    ("has_pull_request", |issue| {
        issue.closing_pull_requests = Some(vec![ThreadRef { repo_id: REPO_ID, number: 99 }]);
    }),
    ("gone", |issue| issue.tombstone = Some(Tombstone::Deleted)),
];
