//! Reading of issues: nothing is missing from lists that change between two pages, and what is idle costs one request.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use gam_github::{Client, ClientSettings, Credentials, IssueQuery};
use gam_model::{Identity, SystemClock, TaskRules};
use gam_store::MemoryStore;
use gam_tests::github::world::{Account, Repo, Thread, ThreadChange, Time, at};
use gam_tests::github::{Double, TOKEN, World};
use gam_work::{OrgScope, OrgScopes, Processor, WorkError};
use gam_work_ports::GitHubSource;

const ORG: &str = "acme";
const ISSUES: i64 = 250;

/// Returns when the list begins to move: after the last change of before.
fn start() -> Time {
    at("2024-03-01")
}

/// Creates a repository whose issues were opened `spacing` apart. After the start, in each second one of the oldest issues
/// is closed, and another one changes.
fn world(spacing: TimeDelta) -> World {
    let mut world = World::new(ORG);
    let mut repo = Repo::new(1, "app", at("2024-01-01"));
    let author = Some(Account::user("ann", 7));
    for number in 1..=ISSUES {
        let opened_at = at("2024-02-01") + spacing * i32::try_from(number).expect("a small number");
        let issue = Thread::new(number, author.clone(), opened_at);
        let second = start() + TimeDelta::seconds(number.div_euclid(10));
        repo.issues.push(match number % 10 {
            0 => issue.with_change(second, ThreadChange::Closed { event_offset_s: Some(0) }),
            5 => issue.with_change(second, ThreadChange::Edited),
            _ => issue,
        });
    }
    world.repos.push(repo);
    world
}

fn client(double: &Double) -> Client {
    // Another test of this process may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = ClientSettings {
        api_url: double.api_url(),
        credentials: Credentials::Tokens(vec![TOKEN.to_owned()]),
        max_wait: Duration::ZERO,
        parallelism: 1,
        forks: false,
        budget: None,
    };
    Client::new(settings).expect("a client")
}

/// Lists issues to the end while the list moves. Returns their numbers, and the number of pages.
async fn list(world: &World, query: IssueQuery) -> (BTreeSet<i64>, usize) {
    let double = Double::start(world.clone(), start());
    double.move_clock_between_pages(TimeDelta::seconds(2));
    let client = client(&double);
    let (mut numbers, mut pages, mut position) = (BTreeSet::new(), 0, None);
    loop {
        let page = client.list_issue_details((ORG, "app"), query, position).await.expect("a page");
        numbers.extend(page.issues.iter().map(|issue| issue.details.number));
        pages += 1;
        position = page.next;
        if position.is_none() {
            return (numbers, pages);
        }
    }
}

/// Returns the numbers of the issues that are open all the time.
fn open_all_the_time() -> BTreeSet<i64> {
    (1..=ISSUES).filter(|number| number % 10 != 0).collect()
}

#[tokio::test]
async fn no_issue_is_missing_from_a_list_that_changes_between_pages() {
    let world = world(TimeDelta::minutes(1));
    let (open, pages) = list(&world, IssueQuery::Open).await;
    assert!(pages > 2, "{pages}");
    let missing: Vec<_> = open_all_the_time().difference(&open).copied().collect();
    assert!(missing.is_empty(), "{missing:?}");
    let (all, _) = list(&world, IssueQuery::ChangedSince(at("2024-01-15"))).await;
    assert_eq!(all, (1..=ISSUES).collect());
}

#[tokio::test]
async fn no_issue_is_missing_if_more_than_a_page_changed_in_one_second() {
    let world = world(TimeDelta::zero());
    let (open, pages) = list(&world, IssueQuery::Open).await;
    assert!(pages > 3, "a page is read again: {pages}");
    let missing: Vec<_> = open_all_the_time().difference(&open).copied().collect();
    assert!(missing.is_empty(), "{missing:?}");
    let (all, _) = list(&world, IssueQuery::ChangedSince(at("2024-01-15"))).await;
    assert_eq!(all, (1..=ISSUES).collect());
}

struct OneOrg;

#[async_trait]
impl OrgScopes for OneOrg {
    async fn find(&self, login: &str) -> Result<Option<OrgScope>, WorkError> {
        Ok((login == ORG).then(|| OrgScope {
            key: ORG.to_owned(),
            identity: Arc::new(Identity::default()),
            task_rules: TaskRules::default(),
            revision: 0,
        }))
    }
}

#[tokio::test]
async fn reconciling_a_hundred_idle_repositories_costs_one_request() {
    let mut world = World::new(ORG);
    for id in 1..=100 {
        let mut repo = Repo::new(id, &format!("repo-{id}"), at("2024-01-01"));
        repo.issues.push(Thread::new(1, None, at("2024-02-01")));
        world.repos.push(repo);
    }
    let double = Double::start(world.clone(), start());
    let processor = Processor {
        wakes_actions: false,
        records: Arc::new(MemoryStore::default()),
        clock: Arc::new(SystemClock),
        scopes: Arc::new(OneOrg),
        source: Some(Arc::new(GitHubSource::new(client(&double)))),
        followers: Vec::new(),
    };
    let reconcile = async || {
        let before = double.request_count();
        let report = processor.reconcile(ORG).await.expect("GitHub answers");
        assert!(report.failed.is_empty(), "{report:?}");
        (report.read, report.repaired, double.request_count() - before)
    };
    let first = reconcile().await;
    assert_eq!((first.0, first.1), (100, 100));
    writeln!(std::io::stdout(), "requests for 100 repositories: {} at first", first.2)
        .expect("stdout is open");
    assert_eq!(reconcile().await, (0, 0, 1), "all are idle");
    // An issue is opened in one of them.
    world.repos[6].issues.push(Thread::new(2, None, start() + TimeDelta::seconds(30)));
    double.set_world(world);
    double.set_now(start() + TimeDelta::minutes(1));
    let (read, repaired, requests) = reconcile().await;
    assert_eq!((read, repaired), (1, 1));
    assert!(requests <= 3, "{requests}");
}
