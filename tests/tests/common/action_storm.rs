//! A storm: a service that is stopped at any moment and started again, with the real client, against a GitHub that fails
//! before and after the effect of any request, whose lists lag, whose heads move, and that refuses bursts. The clock of the
//! service and of GitHub is the test's, so hours pass in seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use fastrand::Rng;
use gam_access::{AuditRow, Principal, Role};
use gam_github::{Client, ClientSettings, Credentials};
use gam_model::{ActionSettings, Clock};
use gam_store::{RecordKind, RecordRange, RecordStore};
use gam_tests::github::writes::{WRITE_TOKEN, WriteDouble, WriteFault};
use gam_work::actions::{
    Action, ActionFilter, ActionId, ActionRequest, ActionSettingsSource, Actions, Decision, NewAction, Phase,
    RepositoryName, Step,
};
use gam_work::conformance::TestClock;
use gam_work_ports::GitHubWriter;

/// The storage key of the organization.
const ORG: &str = "acme";
/// Number of moments at which something is requested, decided or stopped.
const STEPS: usize = 320;
/// Number of different keys of clients.
const KEYS: usize = 24;
/// How many pull requests there are to merge, and branches to make some of.
const PULLS: i64 = 6;

/// How long the service may take for what is due.
const PATIENCE: Duration = Duration::from_secs(2);

/// Drops a future after it was polled this often. `None` if it had not ended by then.
async fn stop_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// What a storm did.
#[derive(Debug, Default)]
pub(crate) struct StormReport {
    /// Number of times that the service was stopped while it worked.
    pub(crate) stops: usize,
    /// Number of requests that write.
    pub(crate) writes: usize,
    /// Number of actions by how they ended.
    pub(crate) ends: BTreeMap<&'static str, usize>,
}

struct StormSettings(ActionSettings);

#[async_trait]
impl ActionSettingsSource for StormSettings {
    async fn settings(
        &self,
        _: &str,
    ) -> Result<(u32, ActionSettings), Box<dyn std::error::Error + Send + Sync>> {
        Ok((1, self.0.clone()))
    }
}

struct Storm {
    records: Arc<dyn RecordStore>,
    clock: TestClock,
    github: WriteDouble,
    policy: ActionSettings,
    rng: Rng,
    /// The head commits that were approved, by pull request.
    approved: BTreeSet<(i64, String)>,
    report: StormReport,
}

/// Checks that each action is done at most once and ends: succeeded, failed with a reason, or unknown and in the log.
/// `records` is an empty store. If `needs_approval`, merges need one.
pub(crate) async fn check(records: Arc<dyn RecordStore>, seed: u64, needs_approval: bool) -> StormReport {
    let clock = TestClock::new("2026-03-01T10:00:00Z".parse().expect("a time"));
    let github_clock = clock.clone();
    let github = WriteDouble::start_with(("acme", "site"), Arc::new(move || github_clock.now()));
    let policy = match needs_approval {
        true => "[[policy]]\nactions = [\"approve-merge-pr\"]\napprovals = 1\n",
        false => "",
    };
    let policy: ActionSettings = toml::from_str(policy).expect("a policy");
    let rng = Rng::with_seed(seed);
    let report = StormReport::default();
    let mut storm = Storm { records, clock, github, policy, rng, approved: BTreeSet::new(), report };
    storm.prepare();
    storm.rage().await;
    storm.calm_down().await;
    storm.check_ends(needs_approval).await;
    storm.report
}

impl Storm {
    fn prepare(&mut self) {
        for number in 1..=PULLS {
            self.github.add_pull(number, &format!("change-{number}"), 'b');
            self.github.add_branch(&format!("branch-{number}"), 'c', "2026-02-01T00:00:00Z");
        }
        self.github.lag_lists(TimeDelta::minutes(10));
        if self.rng.bool() {
            self.github.remove_merge_requests();
        }
        let rng = Mutex::new(self.rng.fork());
        self.github.fail_by(Box::new(move |_| {
            let mut rng = rng.lock().expect("no thread panics while it holds the lock");
            Some(match rng.u8(..100) {
                0..6 => WriteFault::StatusBefore,
                6..14 => WriteFault::StatusAfter,
                14..20 => WriteFault::CutBefore,
                20..28 => WriteFault::CutAfter,
                28..30 => WriteFault::SilenceBefore,
                30..32 => WriteFault::SilenceAfter,
                32..40 => WriteFault::Secondary(1),
                _ => return None,
            })
        }));
    }

    /// Starts the service.
    fn service(&self) -> Actions {
        // The first call of the process installs it.
        _ = rustls::crypto::ring::default_provider().install_default();
        let settings = ClientSettings {
            api_url: self.github.api_url(),
            credentials: Credentials::Tokens(vec![WRITE_TOKEN.to_owned()]),
            max_wait: Duration::ZERO,
            parallelism: 4,
            forks: true,
            budget: None,
        };
        let client = Client::new(settings).expect("valid settings");
        let settings = Arc::new(StormSettings(self.policy.clone()));
        let github = Some(Arc::new(GitHubWriter::new(client)) as _);
        Actions::new(self.records.clone(), Arc::new(self.clock.clone()), settings, github)
    }

    /// Returns the request that a key stands for.
    fn request(key: usize) -> NewAction {
        let number = key as i64 / 4 % PULLS + 1;
        let request = match key % 4 {
            0 => ActionRequest::CreateIssue {
                title: format!("Broken {key}"),
                body: String::new(),
                labels: Vec::new(),
                assignees: Vec::new(),
                milestone: None,
                comment: Some("Look.".to_owned()),
            },
            1 => ActionRequest::CreateComment { number: 500 + number, body: format!("Done {key}.") },
            2 => ActionRequest::CreatePr {
                branch: Some(format!("branch-{number}")),
                base: None,
                title: None,
                body: String::new(),
                is_draft: false,
            },
            _ => ActionRequest::merge_of(number),
        };
        let repo = RepositoryName { owner: "acme".to_owned(), name: "site".to_owned() };
        NewAction { org: ORG.to_owned(), repo, request, key: Some(format!("key-{key}")) }
    }

    async fn rage(&mut self) {
        let ann = Principal::trusted("ann", Role::Operator);
        let mut service = self.service();
        for _ in 0..STEPS {
            match self.rng.u8(..8) {
                0..3 => {
                    let new = Self::request(self.rng.usize(..KEYS));
                    // A client that goes away does not know whether its request was stored. How many polls that takes depends on
                    // the machine, so every other client stays.
                    let polls = if self.rng.bool() { usize::MAX } else { self.rng.usize(1..8) };
                    _ = stop_after(polls, service.submit(&ann, &new)).await;
                }
                3 => self.approve_all(&service).await,
                4 => {
                    let digit = self.rng.choice(['b', 'd', 'e']).expect("a digit");
                    self.github.move_head(self.rng.i64(1..=PULLS), digit);
                }
                _ => {}
            }
            // Counted in polls, so that a busy machine makes no difference.
            let polls = match self.rng.u8(..4) {
                0 => self.rng.usize(1..6),
                1 => self.rng.usize(6..60),
                _ => usize::MAX,
            };
            // What is stopped here has no time to do anything more, as after SIGKILL. A request without an answer lasts longer
            // than anybody waits.
            match tokio::time::timeout(PATIENCE, stop_after(polls, service.run_due())).await {
                Ok(Some(report)) => _ = report.expect("the store works"),
                Ok(None) | Err(_) => {
                    self.report.stops += 1;
                    service = self.service();
                }
            }
            let seconds = if self.rng.u8(..10) == 0 { 70 } else { self.rng.i64(0..8) };
            self.clock.advance(TimeDelta::seconds(seconds));
        }
        self.report.writes = self.github.writes().len();
    }

    /// Lets GitHub work again, and time pass until nothing is left to do.
    async fn calm_down(&mut self) {
        self.github.fail_by(Box::new(|_| None));
        let ann = Principal::trusted("ann", Role::Operator);
        let service = self.service();
        let mut ids = BTreeSet::new();
        for key in 0..KEYS {
            let submitted = service.submit(&ann, &Self::request(key)).await.expect("the store works");
            ids.insert(submitted.action.id);
        }
        assert_eq!(ids.len(), KEYS, "a key is one action");
        for _ in 0..3_000 {
            self.clock.advance(TimeDelta::seconds(3));
            service.run_due().await.expect("the store works");
            self.approve_all(&service).await;
            if self.list(&service).await.iter().all(Action::is_settled) {
                return;
            }
        }
        let left: Vec<Phase> = self.list(&service).await.into_iter().map(|it| it.phase).collect();
        panic!("some actions never end: {left:?}");
    }

    async fn list(&self, service: &Actions) -> Vec<Action> {
        let page = service.list(ORG, &ActionFilter::default(), |_| true, 1_000, None).await;
        page.expect("the store works").actions
    }

    async fn approve_all(&mut self, service: &Actions) {
        let bob = Principal::trusted("bob", Role::Approver);
        for action in self.list(service).await {
            if !matches!(action.phase, Phase::Waiting { .. }) {
                continue;
            }
            let choice = action.choice.clone().expect("what waits is prepared");
            let decided = service.decide(&bob, &action.id, &action.content_hash(), &Decision::Approve).await;
            if decided.is_ok() {
                let head = choice.head_sha.unwrap_or_default();
                self.approved.insert((choice.number.unwrap_or_default(), head));
            }
        }
    }

    async fn check_ends(&mut self, needs_approval: bool) {
        let service = self.service();
        let made = self.count_by_action();
        let rows = self.audit_rows().await;
        let actions = self.list(&service).await;
        assert_eq!(actions.len(), KEYS);
        for action in &actions {
            let counts = made.get(&action.id).copied().unwrap_or_default();
            assert!(counts.iter().all(|count| *count <= 1), "{counts:?}: {action:?}");
            let rows: &[String] = rows.get(&action.id).map_or(&[], Vec::as_slice);
            assert_eq!(rows.iter().filter(|row| *row == "action_requested").count(), 1, "{rows:?}");
            let (end, row) = match &action.phase {
                Phase::Succeeded => ("succeeded", "action_succeeded"),
                Phase::Failed { reason, .. } => {
                    assert!(!reason.is_empty(), "{action:?}");
                    ("failed", "action_failed")
                }
                Phase::Unknown { why, .. } => {
                    assert!(!why.is_empty(), "{action:?}");
                    ("unknown", "action_unknown")
                }
                phase => panic!("{phase:?} is no end"),
            };
            assert!(rows.iter().any(|it| it == row), "{rows:?}: {action:?}");
            *self.report.ends.entry(end).or_insert(0) += 1;
            let is_made = |step: Step| action.done.contains(&step);
            if action.phase == Phase::Succeeded {
                let (issue, comment) = (is_made(Step::Issue), is_made(Step::Comment));
                assert_eq!((counts[0], counts[1]), (usize::from(issue), usize::from(comment)), "{action:?}");
            }
        }
        let merges = self.github.merges();
        let merged: BTreeSet<String> = merges.iter().map(|merge| merge["number"].to_string()).collect();
        assert_eq!(merged.len(), merges.len(), "{merges:?}");
        for merge in merges.iter().filter(|_| needs_approval) {
            let head = merge["head"].as_str().unwrap_or_default().to_owned();
            let number = merge["number"].as_i64().unwrap_or_default();
            assert!(self.approved.contains(&(number, head)), "nobody approved {merge}");
        }
        let [_, _, pulls, _, _] = self.github.effects();
        assert!(pulls <= PULLS as usize, "{pulls} pull requests of {PULLS} branches");
    }

    /// Counts issues, comments, pull requests and reviews by the action whose marker they have.
    fn count_by_action(&self) -> BTreeMap<ActionId, [usize; 4]> {
        let mut counts: BTreeMap<ActionId, [usize; 4]> = BTreeMap::new();
        for (index, texts) in self.github.own_texts().into_iter().enumerate() {
            for text in texts {
                let marker = text.rsplit("<!-- github-metrics:action:").next();
                let id = marker.and_then(|it| ActionId::parse(it.trim_end_matches(" -->")));
                counts.entry(id.unwrap_or_else(|| panic!("no marker: {text}"))).or_default()[index] += 1;
            }
        }
        counts
    }

    /// Returns the kinds of the audit rows of each action.
    async fn audit_rows(&self) -> BTreeMap<ActionId, Vec<String>> {
        let range = RecordRange::new(Some(ORG), RecordKind::AuditRow, &[]).expect("a range");
        let records = self.records.range(&range, 100_000, self.clock.now()).await.expect("the store works");
        let mut rows: BTreeMap<ActionId, Vec<String>> = BTreeMap::new();
        for (_, record) in records {
            let row: AuditRow = serde_json::from_str(&record.body).expect("a row");
            let id = row.detail["action_id"].as_str().and_then(ActionId::parse).expect("an id");
            let kind = serde_json::to_value(row.kind).expect("a name");
            rows.entry(id).or_default().push(kind.as_str().unwrap_or_default().to_owned());
        }
        rows
    }
}
