//! Issues and pull requests that are deleted or transferred. GitHub does not list that as a change.

use gam_tests::answers::assert_matches_reference;
use gam_tests::github::world::{Account, PullRequest, Repo, Thread, ThreadChange, Time, at};
use gam_tests::github::{Double, Fault, World};
use gam_tests::http::get;
use gam_tests::program::Sandbox;

use gam_tests::support::{SINCE, collect_and_aggregate, full_range};

fn ann() -> Option<Account> {
    Some(Account::user("Ann", 11))
}

fn thread(number: i64, opened: &str) -> Thread {
    Thread::new(number, ann(), at(opened))
}

/// Two repositories with two issues and one issue.
fn world() -> World {
    let mut world = World::new("acme");
    let mut site = Repo::new(7, "site", at("2024-01-01"));
    let closed = ThreadChange::Closed { event_offset_s: Some(0) };
    site.issues =
        vec![thread(1, "2024-01-02"), thread(2, "2024-01-03").with_change(at("2024-01-04"), closed)];
    let mut api = Repo::new(8, "api", at("2024-01-01"));
    api.issues = vec![thread(1, "2024-01-05")];
    world.repos = vec![site, api];
    world
}

struct Scenario {
    world: World,
    double: Double,
    sandbox: Sandbox,
}

impl Scenario {
    fn new(world: World) -> Self {
        let double = Double::start(world.clone(), at("2024-02-01"));
        let sandbox = Sandbox::with_github(&double);
        let scenario = Scenario { world, double, sandbox };
        scenario.collect(at("2024-02-01"));
        scenario
    }

    /// Collects and aggregates at a time, and compares the answers with the reference.
    fn collect(&self, now: Time) {
        self.double.set_world(self.world.clone());
        self.double.set_now(now);
        collect_and_aggregate(&self.sandbox, "acme");
        assert_matches_reference(self.sandbox.serve().address(), &self.world, now, &full_range());
    }

    fn metric(&self, metric: &str) -> serde_json::Value {
        let server = self.sandbox.serve();
        let target = format!("/api/v1/orgs/acme/metrics?since={SINCE}&until=2024-05-01");
        get(server.address(), &target).json()["metrics"][metric].clone()
    }

    /// Asserts that the next run finds nothing to do.
    fn assert_idle(&self) {
        let before = self.double.request_count();
        self.sandbox.run(&["collect", "acme"]).expect_status(0);
        assert_eq!(self.double.request_count() - before, 1, "{:?}", &self.double.log()[before..]);
    }
}

#[test]
fn an_issue_that_moves_between_repositories_counts_once() {
    let mut scenario = Scenario::new(world());
    assert_eq!(scenario.metric("issues_opened"), 3);
    scenario.assert_idle();
    // It gets a new number, and keeps the time of its opening. The move is a change in its new repository only.
    let moved = scenario.world.repos[0].issues.remove(1);
    let moved = Thread { number: 2, ..moved }.with_change(at("2024-02-02"), ThreadChange::Edited);
    scenario.world.repos[1].issues.push(moved);
    scenario.collect(at("2024-02-03"));
    assert_eq!(scenario.metric("issues_opened"), 3);
    assert_eq!(scenario.metric("issues_closed"), 1);
    scenario.assert_idle();
}

#[test]
fn a_deletion_is_found_although_another_issue_was_opened() {
    let mut scenario = Scenario::new(world());
    scenario.world.repos[0].issues.remove(0);
    scenario.world.repos[0].issues.push(thread(3, "2024-02-02"));
    scenario.collect(at("2024-02-03"));
    assert_eq!(scenario.metric("issues_opened"), 3);
    scenario.assert_idle();
    // All of them vanish, and come back: their number shows neither at once.
    let issues = std::mem::take(&mut scenario.world.repos[0].issues);
    scenario.collect(at("2024-02-04"));
    assert_eq!(scenario.metric("issues_opened"), 1);
    scenario.assert_idle();
    scenario.world.repos[0].issues = issues;
    scenario.double.set_world(scenario.world.clone());
    scenario.sandbox.run(&["collect", "acme", "--reconcile"]).expect_status(0);
    assert_eq!(scenario.metric("issues_opened"), 3);
}

#[test]
fn a_pull_request_that_vanishes_is_retracted() {
    let mut world = world();
    let pull = |number, opened: &str| PullRequest::new(thread(number, opened));
    world.repos[0].pulls = vec![pull(11, "2024-01-10"), pull(12, "2024-01-11"), pull(13, "2024-01-12")];
    let mut scenario = Scenario::new(world);
    scenario.world.repos[0].pulls.remove(1);
    scenario.collect(at("2024-02-03"));
    assert_eq!(scenario.metric("prs_opened"), 2);
    scenario.assert_idle();
}

#[test]
fn a_stopped_search_for_what_is_gone_is_finished_by_the_next_run() {
    let mut scenario = Scenario::new(world());
    scenario.world.repos[0].issues.remove(0);
    scenario.double.set_world(scenario.world.clone());
    scenario.double.plan_fault("ThreadsByNumber", 0, 1, Fault::RateLimited(36_000));
    scenario.sandbox.run(&["collect", "acme", "--max-wait", "1s"]).expect_status(75);
    assert_eq!(scenario.double.pending_faults(), 0, "{:?}", scenario.double.log());
    scenario.collect(at("2024-02-03"));
    assert_eq!(scenario.metric("issues_opened"), 2);
    scenario.assert_idle();
}
