//! A clock, a GitHub in memory, and stores whose process dies.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use gam_access::{AuditRow, Principal, Role, Scope};
use gam_model::{ActionSettings, Clock};
use gam_store::{RecordKind, RecordRange, RecordStore};
use gam_work::actions::*;
use gam_work::conformance::{CommitFault, FaultyRecords, TestClock};

pub(crate) use crate::test_store::TestStore;

pub(crate) const ORG: &str = "acme";
pub(crate) const LOGIN: &str = "service[bot]";

/// Returns a clock that shows the beginning of the tests.
fn clock() -> TestClock {
    TestClock::new("2026-03-01T10:00:00Z".parse().expect("a time"))
}

/// How a request that writes fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The answer is lost, and nothing was done.
    LostBefore,
    /// The answer is lost, and it was done.
    LostAfter,
    /// No connection.
    NotSent,
    /// The secondary limit, for this many seconds.
    Limited(u64),
    /// Refused with this status and text.
    Refused(u16, &'static str),
}

/// Something that GitHub shows in lists from a time on.
#[derive(Debug, Clone)]
pub(crate) struct Made<T> {
    pub(crate) it: T,
    pub(crate) shown_at: DateTime<Utc>,
}

type Decide = Box<dyn FnMut(usize, &WriteCall) -> Option<Fault> + Send>;

pub(crate) struct GitHubState {
    pub(crate) issues: Vec<Made<ListedText>>,
    pub(crate) comments: Vec<Made<ListedText>>,
    pub(crate) pulls: Vec<Made<PullFacts>>,
    pub(crate) reviews: Vec<Made<ReviewFacts>>,
    pub(crate) branches: Vec<BranchFacts>,
    /// Each merge: number and head.
    pub(crate) merges: Vec<(i64, String)>,
    /// When requests that write arrived.
    pub(crate) writes: Vec<DateTime<Utc>>,
    /// How long after its creation something shows in lists.
    pub(crate) lag: TimeDelta,
    /// Whether repositories cannot be read at the moment.
    pub(crate) is_unreachable: bool,
    pub(crate) has_merge_requests: bool,
    /// Whether the token may not push, so that GitHub drops labels.
    pub(crate) drops_labels: bool,
    pub(crate) needs_queue: bool,
    pub(crate) fault: Decide,
    next: i64,
}

/// A GitHub in memory. It carries out each request, also a repeated one.
#[derive(Clone)]
pub(crate) struct TestGitHub {
    state: Arc<Mutex<GitHubState>>,
    clock: TestClock,
}

impl TestGitHub {
    pub(crate) fn new(clock: &TestClock) -> Self {
        let state = GitHubState {
            issues: Vec::new(),
            comments: Vec::new(),
            pulls: Vec::new(),
            reviews: Vec::new(),
            branches: Vec::new(),
            merges: Vec::new(),
            writes: Vec::new(),
            lag: TimeDelta::zero(),
            is_unreachable: false,
            has_merge_requests: true,
            drops_labels: false,
            needs_queue: false,
            fault: Box::new(|_, _| None),
            next: 100,
        };
        TestGitHub { state: Arc::new(Mutex::new(state)), clock: clock.clone() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, GitHubState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails the requests that write for which `decide` returns a fault. It gets the number of the request, from 0.
    pub(crate) fn fail(&self, decide: impl FnMut(usize, &WriteCall) -> Option<Fault> + Send + 'static) {
        self.lock().fault = Box::new(decide);
    }

    pub(crate) fn add_branch(&self, name: &str, sha: char, minutes: i64, has_open_pull: bool) {
        let committed_at = self.clock.now() - TimeDelta::days(1) + TimeDelta::minutes(minutes);
        let branch = BranchFacts { name: name.to_owned(), sha: sha_of(sha), committed_at, has_open_pull };
        self.lock().branches.push(branch);
    }

    pub(crate) fn add_pull(&self, number: i64, head: &str, sha: char) {
        let mut pull = pull_facts(number, head, &sha_of(sha), "main", "", "ann");
        pull.node_id = format!("PR_{number}");
        let shown_at = self.clock.now();
        self.lock().pulls.push(Made { it: pull, shown_at });
    }

    pub(crate) fn edit_pull(&self, number: i64, edit: impl FnOnce(&mut PullFacts)) {
        let mut state = self.lock();
        edit(&mut state.pulls.iter_mut().find(|pull| pull.it.number == number).expect("a pull request").it);
    }
}

pub(crate) fn sha_of(digit: char) -> String {
    digit.to_string().repeat(40)
}

fn pull_facts(number: i64, head: &str, sha: &str, base: &str, body: &str, author: &str) -> PullFacts {
    PullFacts {
        number,
        node_id: String::new(),
        url: format!("https://github.example/acme/site/pull/{number}"),
        title: format!("Change {number}"),
        body: body.to_owned(),
        author: Some(author.to_owned()),
        state: PullState::Open,
        is_draft: false,
        is_fork: false,
        head: head.to_owned(),
        head_sha: sha.to_owned(),
        base: base.to_owned(),
        merge_sha: None,
        is_queued: false,
        is_mergeable: Some(true),
    }
}

fn refused(status: u16, message: &str) -> WriteOutcome {
    WriteOutcome::Refused { status: Some(status), message: message.to_owned(), kind: RefusalKind::Final }
}

impl GitHubState {
    fn carry_out(&mut self, call: &WriteCall, now: DateTime<Utc>) -> WriteOutcome {
        self.next += 1;
        let (id, shown_at) = (self.next, now + self.lag);
        let url = format!("https://github.example/acme/site/issues/{id}");
        let text = |number, body: &String, labels: &[String]| ListedText {
            number,
            id,
            url: url.clone(),
            body: body.clone(),
            author: Some(LOGIN.to_owned()),
            labels: labels.to_vec(),
            assignees: Vec::new(),
            has_milestone: false,
        };
        let created = |number, labels: Vec<String>| {
            WriteOutcome::Done(WriteAnswer::Created {
                number,
                id,
                url: url.clone(),
                labels,
                assignees: Vec::new(),
                has_milestone: false,
            })
        };
        match call {
            WriteCall::CreateIssue { body, labels, .. } => {
                let labels = if self.drops_labels { Vec::new() } else { labels.clone() };
                self.issues.push(Made { it: text(id, body, &labels), shown_at });
                created(Some(id), labels)
            }
            WriteCall::CreateComment { body, .. } => {
                self.comments.push(Made { it: text(0, body, &[]), shown_at });
                created(None, Vec::new())
            }
            WriteCall::CreatePull { body, head, base, .. } => {
                let is_twin = |pull: &Made<PullFacts>| {
                    pull.it.head == *head && pull.it.base == *base && pull.it.state == PullState::Open
                };
                if self.pulls.iter().any(is_twin) {
                    return refused(422, "Validation Failed: A pull request already exists for acme:x.");
                }
                let sha = self.branches.iter().find(|it| it.name == *head).map(|it| it.sha.clone());
                let pull = pull_facts(id, head, &sha.unwrap_or_default(), base, body, LOGIN);
                self.pulls.push(Made { it: pull, shown_at });
                created(Some(id), Vec::new())
            }
            WriteCall::Approve { commit_id, .. } => {
                let review = ReviewFacts {
                    id,
                    url: url.clone(),
                    author: Some(LOGIN.to_owned()),
                    is_approval: true,
                    commit_id: commit_id.clone(),
                };
                self.reviews.push(Made { it: review, shown_at });
                created(None, Vec::new())
            }
            WriteCall::Merge { number, sha, is_repeatable: true, .. } if self.has_merge_requests => {
                let status = match self.merge(*number, sha) {
                    _ if self.needs_queue => {
                        self.queue(*number);
                        MergeStatus::Queued
                    }
                    Ok(sha) => MergeStatus::Merged { sha: Some(sha) },
                    Err((_, message)) if message.contains("already") => MergeStatus::Merged { sha: None },
                    Err((_, message)) => MergeStatus::Failed { message: message.to_owned() },
                };
                WriteOutcome::Done(WriteAnswer::Merge(status))
            }
            WriteCall::Merge { is_repeatable: true, .. } => refused(404, "Not Found"),
            WriteCall::Merge { number, sha, .. } => match self.merge(*number, sha) {
                _ if self.needs_queue => refused(405, "Changes must be made through the merge queue"),
                Ok(sha) => WriteOutcome::Done(WriteAnswer::Merge(MergeStatus::Merged { sha: Some(sha) })),
                Err((status, message)) => refused(status, message),
            },
            WriteCall::Enqueue { node_id, .. } => {
                let number =
                    self.pulls.iter().find(|pull| pull.it.node_id == *node_id).map(|it| it.it.number);
                self.queue(number.expect("a pull request"));
                WriteOutcome::Done(WriteAnswer::Merge(MergeStatus::Queued))
            }
        }
    }

    fn queue(&mut self, number: i64) {
        for pull in self.pulls.iter_mut().filter(|pull| pull.it.number == number) {
            pull.it.is_queued = true;
        }
    }

    fn merge(&mut self, number: i64, sha: &str) -> std::result::Result<String, (u16, &'static str)> {
        if self.needs_queue {
            return Err((405, "queue"));
        }
        let pull = self.pulls.iter_mut().find(|pull| pull.it.number == number).expect("a pull request");
        let pull = &mut pull.it;
        if pull.state == PullState::Merged {
            return Err((405, "Pull request is already merged"));
        }
        if pull.head_sha != sha {
            return Err((409, "Head branch was modified. Review and try the merge again."));
        }
        (pull.state, pull.merge_sha) = (PullState::Merged, Some(sha_of('f')));
        self.merges.push((number, sha.to_owned()));
        Ok(sha_of('f'))
    }
}

#[async_trait(?Send)]
impl GitHubActions for TestGitHub {
    fn account(&self, _: &str) -> String {
        "token".to_owned()
    }

    async fn login(&self, _: &str) -> Result<String, ReadError> {
        Ok(LOGIN.to_owned())
    }

    async fn write(&self, _: &RepositoryName, call: &WriteCall) -> WriteOutcome {
        let now = self.clock.now();
        let mut state = self.lock();
        let number = state.writes.len();
        state.writes.push(now);
        let fault = (state.fault)(number, call);
        let lost = || WriteOutcome::Unknown { message: "GitHub answered with status 502".to_owned() };
        match fault {
            None => state.carry_out(call, now),
            Some(Fault::LostBefore) => lost(),
            Some(Fault::LostAfter) => {
                state.carry_out(call, now);
                lost()
            }
            Some(Fault::NotSent) => WriteOutcome::Refused {
                status: None,
                message: "connection refused".to_owned(),
                kind: RefusalKind::NotSent,
            },
            Some(Fault::Limited(seconds)) => WriteOutcome::Refused {
                status: Some(403),
                message: "You have exceeded a secondary rate limit".to_owned(),
                kind: RefusalKind::Limited(Duration::from_secs(seconds)),
            },
            Some(Fault::Refused(status, message)) => refused(status, message),
        }
    }

    async fn repository(&self, repo: &RepositoryName) -> Result<RepositoryFacts, ReadError> {
        if self.lock().is_unreachable {
            let kind = ReadErrorKind::Temporary;
            return Err(ReadError { message: "GitHub is away".to_owned(), kind });
        }
        let missing = ReadError { message: "no repository".to_owned(), kind: ReadErrorKind::NotFound };
        match repo.name.as_str() {
            "missing" => Err(missing),
            name => Ok(RepositoryFacts {
                name: repo.clone(),
                default_branch: "main".to_owned(),
                is_archived: name == "archived",
                has_issues: name != "no-issues",
            }),
        }
    }

    async fn branches(&self, _: &RepositoryName) -> Result<Vec<BranchFacts>, ReadError> {
        Ok(self.lock().branches.clone())
    }

    async fn branch(&self, _: &RepositoryName, branch: &str) -> Result<Option<String>, ReadError> {
        Ok(self.lock().branches.iter().find(|it| it.name == branch).map(|it| it.sha.clone()))
    }

    async fn commits_ahead(&self, _: &RepositoryName, _: &str, head: &str) -> Result<u64, ReadError> {
        Ok(u64::from(head != "behind"))
    }

    async fn pull(&self, _: &RepositoryName, number: i64) -> Result<Option<PullFacts>, ReadError> {
        Ok(self.lock().pulls.iter().find(|pull| pull.it.number == number).map(|pull| pull.it.clone()))
    }

    async fn open_pulls(&self, _: &RepositoryName) -> Result<Vec<PullFacts>, ReadError> {
        let mut pulls: Vec<PullFacts> = shown(&self.lock().pulls, self.clock.now());
        pulls.retain(|pull| pull.state == PullState::Open);
        pulls.sort_by_key(|pull| -pull.number);
        Ok(pulls)
    }

    async fn pulls_of(
        &self,
        _: &RepositoryName,
        head: &str,
        base: &str,
    ) -> Result<Vec<PullFacts>, ReadError> {
        let mut pulls: Vec<PullFacts> = shown(&self.lock().pulls, self.clock.now());
        pulls.retain(|pull| pull.head == head && pull.base == base);
        Ok(pulls)
    }

    async fn issues_since(&self, _: &RepositoryName, _: DateTime<Utc>) -> Result<Vec<ListedText>, ReadError> {
        Ok(shown(&self.lock().issues, self.clock.now()))
    }

    async fn comments_since(
        &self,
        _: &RepositoryName,
        _: i64,
        _: DateTime<Utc>,
    ) -> Result<Vec<ListedText>, ReadError> {
        Ok(shown(&self.lock().comments, self.clock.now()))
    }

    async fn reviews(&self, _: &RepositoryName, _: i64) -> Result<Vec<ReviewFacts>, ReadError> {
        Ok(shown(&self.lock().reviews, self.clock.now()))
    }

    async fn merge_status(
        &self,
        _: &RepositoryName,
        _: i64,
        _: &str,
    ) -> Result<Option<MergeStatus>, ReadError> {
        Ok(None)
    }
}

fn shown<T: Clone>(list: &[Made<T>], now: DateTime<Utc>) -> Vec<T> {
    list.iter().filter(|made| made.shown_at <= now).map(|made| made.it.clone()).collect()
}

/// The policies of tests.
pub(crate) struct TestSettings(pub(crate) ActionSettings);

#[async_trait]
impl ActionSettingsSource for TestSettings {
    async fn settings(
        &self,
        _: &str,
    ) -> Result<(u32, ActionSettings), Box<dyn std::error::Error + Send + Sync>> {
        Ok((1, self.0.clone()))
    }
}

/// A service with its store and its GitHub.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) records: Arc<dyn RecordStore>,
    pub(crate) clock: TestClock,
    pub(crate) github: TestGitHub,
    pub(crate) actions: Actions,
    settings: ActionSettings,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(TestStore::memory().records, "")
    }

    /// `policy` is the content of `[actions]`.
    pub(crate) fn with_policy(policy: &str) -> Self {
        Self::with(TestStore::memory().records, policy)
    }

    pub(crate) fn with(records: Arc<dyn RecordStore>, policy: &str) -> Self {
        let clock = clock();
        let github = TestGitHub::new(&clock);
        let settings: ActionSettings = toml::from_str(policy).expect("a policy");
        settings.validate().expect("a valid policy");
        let actions = actions(records.clone(), &clock, &settings, &github);
        World { records, clock, github, actions, settings }
    }

    /// Returns the same world with another process, over another view of the same store.
    pub(crate) fn restarted(&self, records: Arc<dyn RecordStore>) -> Self {
        let actions = actions(records.clone(), &self.clock, &self.settings, &self.github);
        World { records, actions, ..self.clone() }
    }

    pub(crate) async fn submit(&self, request: ActionRequest) -> Action {
        self.try_submit("ann", request, None).await.expect("the request is valid")
    }

    pub(crate) async fn try_submit(
        &self,
        who: &str,
        request: ActionRequest,
        key: Option<&str>,
    ) -> Result<Action, ActionError> {
        let repo = RepositoryName { owner: "Acme".to_owned(), name: "site".to_owned() };
        let new = NewAction { org: ORG.to_owned(), repo, request, key: key.map(str::to_owned) };
        let submitted = self.actions.submit(&principal(who), &new).await?;
        // Audit rows are in order of time.
        self.clock.advance(TimeDelta::milliseconds(1));
        Ok(submitted.action)
    }

    pub(crate) async fn get(&self, id: &ActionId) -> Action {
        self.actions.get(id).await.expect("it is read").expect("it is stored")
    }

    /// Lets time pass until the action is settled or waits for approvals.
    pub(crate) async fn drive(&self, id: &ActionId) -> Action {
        for _ in 0..20_000 {
            self.clock.advance(TimeDelta::milliseconds(1));
            self.actions.run_due().await.expect("the store works");
            let action = self.get(id).await;
            if action.is_settled() || matches!(action.phase, Phase::Waiting { .. }) {
                return action;
            }
            self.clock.advance(TimeDelta::seconds(1));
        }
        panic!("the action is never settled: {:?}", self.get(id).await.phase);
    }

    /// Returns what would be done.
    pub(crate) async fn preview(&self, new: &NewAction) -> Action {
        let ann = principal("ann");
        let (preview, run) = tokio::join!(self.actions.preview(&ann, new), self.actions.run_due());
        run.expect("the store works");
        preview.expect("GitHub is read")
    }

    pub(crate) async fn run(&self, request: ActionRequest) -> Action {
        let action = self.submit(request).await;
        self.drive(&action.id).await
    }

    /// Returns the kinds and outcomes of all audit rows of the organization.
    pub(crate) async fn audit(&self, org: Option<&str>) -> Vec<String> {
        let range = RecordRange::new(org, RecordKind::AuditRow, &[]).expect("a range");
        let rows = self.records.range(&range, 10_000, self.clock.now()).await.expect("they are read");
        rows.into_iter()
            .map(|(_, record)| {
                let row: AuditRow = serde_json::from_str(&record.body).expect("a row");
                let kind = serde_json::to_value(row.kind).expect("a name");
                format!("{} {}", kind.as_str().expect("a name"), row.outcome)
            })
            .collect()
    }

    /// Returns how many issues, comments, pull requests, reviews and merges there are of the service.
    pub(crate) fn effects(&self) -> [usize; 5] {
        let state = self.github.lock();
        let own = state.pulls.iter().filter(|pull| pull.it.author.as_deref() == Some(LOGIN)).count();
        [state.issues.len(), state.comments.len(), own, state.reviews.len(), state.merges.len()]
    }
}

fn actions(
    records: Arc<dyn RecordStore>,
    clock: &TestClock,
    settings: &ActionSettings,
    github: &TestGitHub,
) -> Actions {
    let settings = Arc::new(TestSettings(settings.clone()));
    Actions::new(records, Arc::new(clock.clone()), settings, Some(Arc::new(github.clone())))
}

pub(crate) fn principal(id: &str) -> Principal {
    Principal {
        id: id.to_owned(),
        role: Role::Admin,
        scope: Scope::All,
        has_token: true,
        member: None,
        origin: None,
    }
}

pub(crate) fn issue() -> ActionRequest {
    ActionRequest::CreateIssue {
        title: "Broken".to_owned(),
        body: "It is broken.".to_owned(),
        labels: vec!["Bug".to_owned()],
        assignees: Vec::new(),
        milestone: None,
        comment: Some("Please look.".to_owned()),
    }
}

pub(crate) fn comment() -> ActionRequest {
    ActionRequest::CreateComment { number: 7, body: "Done.".to_owned() }
}

pub(crate) fn pull(branch: Option<&str>) -> ActionRequest {
    ActionRequest::CreatePr {
        branch: branch.map(str::to_owned),
        base: None,
        title: None,
        body: String::new(),
        is_draft: false,
    }
}

pub(crate) fn merge(number: Option<i64>) -> ActionRequest {
    ActionRequest::ApproveMergePr {
        number,
        expected_sha: None,
        review_comment: None,
        method: None,
        commit_title: None,
        commit_message: None,
        allow_fork: false,
    }
}

/// When the process of a store dies, counted in commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    Before(i64),
    After(i64),
    /// The answer of this commit is lost, and the process lives.
    LostAnswer(i64),
}

impl Death {
    /// Returns a store whose process dies so.
    pub(crate) fn of_process_on(self, inner: Arc<dyn RecordStore>) -> FaultyRecords {
        let commits = AtomicI64::new(0);
        let fault = move || {
            let number = commits.fetch_add(1, Ordering::Relaxed);
            match self {
                Death::Before(at) if number >= at => CommitFault::CrashBefore,
                Death::After(at) if number == at => CommitFault::CrashAfter,
                Death::After(at) if number > at => CommitFault::CrashBefore,
                Death::LostAnswer(at) if number == at => CommitFault::AnswerLost,
                _ => CommitFault::None,
            }
        };
        FaultyRecords { inner, fault: Box::new(fault) }
    }
}
