//! Runs of GitHub Actions workflows that count as deployments.

use chrono::TimeDelta;
use gam_tests::github::world::{Account, Repo, Signature, Time, WorkflowRun, at};
use gam_tests::github::{Double, World};
use gam_tests::http::get;
use gam_tests::program::Sandbox;

use gam_tests::support::SINCE;

fn run(id: i64, created: &str, attempts: Vec<(&str, Option<&'static str>)>) -> WorkflowRun {
    let attempt = |(start, conclusion): (&str, Option<&'static str>)| {
        (at(start), conclusion.map(|conclusion| (at(start) + TimeDelta::minutes(9), conclusion)))
    };
    assert_eq!(attempts[0].0, created);
    WorkflowRun {
        id,
        workflow: "deploy.yml".to_owned(),
        branch: "main".to_owned(),
        event: "push",
        head_repo: 7,
        actor: Some(Account::user("Ann", 11)),
        attempts: attempts.into_iter().map(attempt).collect(),
    }
}

/// Three repositories, of which the first has the runs.
fn world(runs: Vec<WorkflowRun>) -> World {
    let mut world = World::new("acme");
    for (id, name) in [(7, "site"), (8, "api"), (9, "docs")] {
        let mut repo = Repo::new(id, name, at("2024-01-01"));
        let author = Signature::new("Ann", "ann@work.example", Some(Account::user("Ann", 11)));
        let commit = repo.commit(&[], at("2024-01-01"), &author, Some([1, 0, 1]));
        repo.push(at("2024-01-01"), &commit);
        world.repos.push(repo);
    }
    world.repos[0].workflow_runs = runs;
    world
}

/// Collects with the workflow `deploy.yml` configured, step by step.
struct Scenario {
    double: Double,
    sandbox: Sandbox,
}

impl Scenario {
    fn new(world: World) -> Self {
        let double = Double::start(world, at(SINCE));
        let sandbox = Sandbox::with_github(&double);
        let file = sandbox.dir().join("deploys.toml");
        std::fs::write(file, "[deploys]\nworkflows = [\"deploy.yml\"]\n").expect("the file is written");
        sandbox.run(&["config", "set", "deploys.toml", "acme"]).expect_status(0);
        Scenario { double, sandbox }
    }

    /// Collects at a time. Returns the number of requests.
    fn collect(&self, now: Time) -> usize {
        self.double.set_now(now);
        let before = self.double.request_count();
        self.sandbox.run(&["collect", "acme", "--since", SINCE]).expect_status(0);
        self.double.request_count() - before
    }

    /// Returns the deployments and failures of a range of days.
    fn counts(&self, since: &str, until: &str) -> [u64; 2] {
        self.sandbox.run(&["aggregate"]).expect_status(0);
        let server = self.sandbox.serve();
        let target = format!("/api/v1/orgs/acme/metrics?since={since}&until={until}");
        let metrics = get(server.address(), &target).json()["metrics"].clone();
        ["deploys", "deploy_failures"].map(|metric| metrics[metric].as_u64().expect("a count"))
    }

    fn all_counts(&self) -> [u64; 2] {
        self.counts(SINCE, "2024-12-31")
    }
}

/// Runs that count: 1, from its second attempt on, 2 and 4; 3 failed.
fn runs() -> Vec<WorkflowRun> {
    let mut runs = vec![
        run(1, "2024-01-10", vec![("2024-01-10", Some("failure")), ("2024-01-20", Some("success"))]),
        run(2, "2024-01-11", vec![("2024-01-11", Some("success")), ("2024-01-21", Some("failure"))]),
        run(3, "2024-01-12", vec![("2024-01-12", Some("timed_out"))]),
        run(4, "2024-01-13", vec![("2024-01-13", Some("cancelled")), ("2024-02-10", Some("success"))]),
        run(5, "2024-01-14", vec![("2024-01-14", Some("skipped"))]),
        run(6, "2024-01-15", vec![("2024-01-15", None)]),
    ];
    let other = |id, change: fn(&mut WorkflowRun)| {
        let mut run = run(id, "2024-01-16", vec![("2024-01-16", Some("success"))]);
        change(&mut run);
        run
    };
    runs.push(other(7, |run| run.workflow = "test.yml".to_owned()));
    runs.push(other(8, |run| run.branch = "feature".to_owned()));
    // A fork's branch has the same name.
    runs.push(other(9, |run| (run.event, run.head_repo) = ("pull_request", 77)));
    runs
}

#[test]
fn runs_of_the_configured_workflow_count_as_deployments() {
    let scenario = Scenario::new(world(runs()));
    let mut expected = Vec::new();
    for (now, counts) in [
        ("2024-01-17", [1, 2]),
        ("2024-01-22", [2, 1]),
        ("2024-02-09", [2, 1]),
        ("2024-02-12", [3, 1]),
        ("2024-04-30", [3, 1]),
    ] {
        scenario.collect(at(now));
        expected = counts.to_vec();
        assert_eq!(scenario.all_counts(), counts, "at {now}");
    }
    // The first success counts, at the start of its attempt.
    assert_eq!(scenario.counts("2024-01-20", "2024-01-21"), [1, 0]);
    assert_eq!(scenario.counts("2024-01-11", "2024-01-12"), [1, 0]);
    let backfill = Scenario::new(world(runs()));
    backfill.collect(at("2024-04-30"));
    assert_eq!(backfill.all_counts().to_vec(), expected);
}

#[test]
fn an_idle_run_requests_the_newest_runs_where_the_workflow_exists() {
    let scenario = Scenario::new(world(runs()));
    scenario.collect(at("2024-03-01"));
    // The other repositories have no such workflow. Their tips have not moved, so they are not asked again.
    assert_eq!(scenario.collect(at("2024-03-02")), 2, "{:?}", scenario.double.log());
    // Once all runs are settled, it stays at that.
    scenario.collect(at("2024-04-30"));
    assert_eq!(scenario.collect(at("2024-05-01")), 2);
}

#[test]
fn more_runs_are_read_than_github_lists_at_once() {
    let many = |number: i64| {
        let created = at("2024-02-01") + TimeDelta::minutes(11 * number);
        let mut run = run(1_000 + number, "2024-02-01", vec![("2024-02-01", None)]);
        let conclusion = if number % 10 == 3 { "failure" } else { "success" };
        run.attempts = vec![(created, Some((created + TimeDelta::minutes(2), conclusion)))];
        run
    };
    let scenario = Scenario::new(world((0..2_300).map(many).collect()));
    scenario.collect(at("2024-03-01"));
    assert_eq!(scenario.all_counts(), [2_070, 230]);
    // The oldest failure may still succeed, so the list is read again down to it.
    let requests = scenario.collect(at("2024-03-02"));
    assert!(requests <= 2 + 24, "{requests}");
    assert_eq!(scenario.all_counts(), [2_070, 230]);
}

#[test]
fn a_dry_run_counts_a_request_for_each_workflow_that_is_due() {
    let scenario = Scenario::new(world(runs()));
    let repos_with_runs = || {
        let args = ["collect", "acme", "--since", SINCE, "--dry-run", "--format", "json"];
        let plan = scenario.sandbox.run(&args).expect_status(0).json();
        let planned = plan["planned"].as_array().cloned().unwrap_or_default();
        let reads_runs = |repo: &&serde_json::Value| {
            let mut readings = repo["readings"].as_array().expect("readings").iter();
            readings.any(|reading| reading["what"] == "workflow_runs" && reading["requests"] == 1)
        };
        planned.iter().filter(reads_runs).map(|repo| repo["repo"].to_string()).collect::<Vec<_>>()
    };
    scenario.double.set_now(at("2024-03-01"));
    assert_eq!(repos_with_runs(), ["\"api\"", "\"docs\"", "\"site\""]);
    scenario.collect(at("2024-03-01"));
    assert_eq!(repos_with_runs(), ["\"site\""], "the others have no such workflow");
}
