//! The configured rules about tasks, from the configuration to what workers get.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::TimeDelta;
use gam_model::{Clock as _, Identity, TaskRules};
use gam_store::{Expectation, RecordCommit, RecordCommitId};
use gam_work::repo::{IssueOrg, load_org, put_org};
use gam_work::tasks::{Cancellation, ReportKind, Unassignable};
use gam_work::{OrgScope, OrgScopes, Processor, RulesReport, WorkError};

use crate::support::{ORG, TestStore, World, issue, label};

/// A configuration that a test changes.
#[derive(Clone, Default)]
struct Configured(Arc<Mutex<(u32, TaskRules)>>);

#[async_trait]
impl OrgScopes for Configured {
    async fn find(&self, login: &str) -> Result<Option<OrgScope>, WorkError> {
        let (revision, task_rules) = self.0.lock().unwrap().clone();
        let identity = Arc::new(Identity::default());
        let scope = OrgScope { key: ORG.to_owned(), identity, task_rules, revision };
        Ok((login == "Acme").then_some(scope))
    }
}

struct Server {
    world: World,
    configured: Configured,
    processor: Processor,
}

impl Server {
    fn new(store: &TestStore) -> Self {
        let (world, configured) = (World::new(store), Configured::default());
        let processor = Processor {
            records: world.records.clone(),
            clock: Arc::new(world.clock.clone()),
            scopes: Arc::new(configured.clone()),
            source: None,
            followers: vec![Arc::new(world.tasks.follower())],
            wakes_actions: true,
        };
        Server { world, configured, processor }
    }

    async fn configure(&self, change: impl FnOnce(&mut TaskRules)) -> RulesReport {
        {
            let mut configured = self.configured.0.lock().unwrap();
            configured.0 += 1;
            change(&mut configured.1);
        }
        self.apply().await
    }

    async fn apply(&self) -> RulesReport {
        self.processor.apply_task_rules("Acme").await.expect("the rules are applied")
    }

    /// Returns the numbers of the issues that a worker gets, in order, and why the others wait.
    async fn queue(&self) -> (Vec<i64>, Vec<(i64, Unassignable)>) {
        let world = &self.world;
        let (mut assigned, mut ids) = (Vec::new(), Vec::new());
        while let Some(assignment) = world.request(&format!("worker-{}", assigned.len())).await {
            assigned.push(assignment.issue.details.number);
            ids.push(assignment.claim_id);
        }
        for id in ids {
            world.report(&id, ReportKind::Release).await.expect("it is released");
        }
        let page = world.tasks.list(ORG, &Default::default(), |_| true, 100, None).await.expect("a page");
        let waits = page.tasks.iter().filter_map(|it| Some((it.task.number, it.task.waits_for?)));
        (assigned, waits.collect())
    }
}

#[tokio::test]
async fn a_change_of_labels_reaches_the_index_and_claims() {
    for store in TestStore::all().await {
        let server = Server::new(&store);
        let world = &server.world;
        assert_eq!(server.apply().await, RulesReport::default(), "the default rules need no record");
        world.store(&issue(1)).await;
        let mut wanted = issue(2);
        wanted.details.labels = vec![label(1, "Help Wanted")];
        world.store(&wanted).await;
        // The revision 1 has the rules of the other tests.
        server.configure(|_| {}).await;
        assert!(server.configure(|rules| *rules = TaskRules::default()).await.is_changed);
        assert_eq!(server.queue().await, (vec![1], vec![]));

        let claim = world.request("ann").await.expect("issue 1").claim_id;
        let report = server.configure(|rules| rules.labels_any = vec!["help wanted".to_owned()]).await;
        assert_eq!(report, RulesReport { is_changed: true, tasks: 2 });
        let answer = world.report(&claim, ReportKind::Heartbeat).await.expect("an answer");
        assert_eq!(answer.cancel, Some(Cancellation::Unlabelled));
        world.report(&claim, ReportKind::Release).await.expect("it ends");
        assert_eq!(server.queue().await, (vec![2], vec![(1, Unassignable::Unlabelled)]));

        server.configure(|rules| rules.labels_none = vec!["help wanted".to_owned()]).await;
        server.configure(|rules| rules.labels_any = vec!["agent-ready".to_owned()]).await;
        let expected = (vec![1], vec![(2, Unassignable::Unlabelled)]);
        assert_eq!(server.queue().await, expected);
        // A server that still knows an older revision changes nothing.
        *server.configured.0.lock().unwrap() =
            (2, TaskRules { labels_none: vec!["agent-ready".to_owned()], ..TaskRules::default() });
        assert_eq!((server.apply().await.is_changed, server.queue().await), (false, expected));
        store.close().await;
    }
}

#[tokio::test]
async fn priorities_attempts_and_leases_are_configured() {
    for store in TestStore::all().await {
        let server = Server::new(&store);
        let world = &server.world;
        for (number, name) in [(1, "later"), (2, "p0"), (3, "URGENT")] {
            let mut issue = issue(number);
            issue.details.labels.push(label(5 + number, name));
            world.store(&issue).await;
        }
        assert_eq!(server.queue().await.0, [2, 1, 3]);
        server.configure(|_| {}).await;
        server
            .configure(|rules| {
                rules.priorities = vec!["urgent".to_owned(), "soon".to_owned(), "later".to_owned()];
                rules.max_attempts = 1;
                rules.lease_seconds = 120;
            })
            .await;
        assert_eq!(server.queue().await.0, [3, 2, 1]);

        let first = world.request("ann").await.expect("issue 3");
        assert_eq!(first.lease, TimeDelta::seconds(120));
        world.clock.advance(TimeDelta::seconds(60));
        let alive = world.report(&first.claim_id, ReportKind::Heartbeat).await.expect("it goes on");
        assert_eq!(alive.lease, TimeDelta::seconds(120));
        world.report(&first.claim_id, ReportKind::Fail).await.expect("it ends");
        assert_eq!(server.queue().await, (vec![2, 1], vec![(3, Unassignable::TooManyAttempts)]));
        server.configure(|rules| rules.max_attempts = 2).await;
        assert_eq!(server.queue().await.0, [3, 2, 1], "an attempt is left");
        store.close().await;
    }
}

/// A commit that was computed under the rules before can end after the walk that applies the new ones.
#[tokio::test]
async fn a_late_commit_under_the_old_rules_is_found() {
    let store = TestStore::memory();
    let server = Server::new(&store);
    let world = &server.world;
    world.store(&issue(1)).await;
    server.configure(|_| {}).await;
    server.configure(|rules| rules.labels_any = vec!["new".to_owned()]).await;
    assert_eq!(server.queue().await.0, Vec::<i64>::new());
    // What that commit would leave behind: the state before.
    let (state, _) = load_org(&*world.records, ORG, world.clock.now()).await.unwrap();
    let new_rules = state.tasks.clone();
    let put = |tasks| {
        let state = IssueOrg { tasks, ..state.clone() };
        let commit = RecordCommit::new(RecordCommitId::random());
        put_org(commit, ORG, &state, Expectation::Any).unwrap()
    };
    world.records.commit(&put(None), world.clock.now()).await.unwrap();
    world.edit(1, |issue| issue.details.title.push('!')).await;
    world.records.commit(&put(new_rules), world.clock.now()).await.unwrap();
    let task = |world: World| async move {
        let page = world.tasks.list(ORG, &Default::default(), |_| true, 1, None).await.unwrap();
        page.tasks[0].task.is_assignable()
    };
    assert!(task(world.clone()).await);
    world.clock.advance(TimeDelta::minutes(3));
    assert_eq!(server.apply().await, RulesReport { is_changed: false, tasks: 1 });
    assert!(!task(world.clone()).await);
    let (state, _) = load_org(&*world.records, ORG, world.clock.now()).await.unwrap();
    assert!(state.tasks.unwrap().is_applied, "the next calls read one record");
    assert_eq!(server.apply().await, RulesReport::default());
}
