//! What GitHub cannot return is named, and stops nothing else.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use gam_tests::answers::assert_matches_reference;
use gam_tests::github::world::{
    Account, Deployment, Poison, PullRequest, Release, ReleaseChange, Repo, Signature, Thread, ThreadChange,
    World, at,
};
use gam_tests::github::{Double, Fault};
use gam_tests::http::get;
use gam_tests::program::{RunResult, Sandbox};
use serde_json::{Value, json};

use gam_tests::support::{SINCE, full_range, settled_at};

const ORG: &str = "acme";
const REPO_ID: i64 = 7;

fn ann() -> Account {
    Account::user("Ann", 11)
}

/// A repository with 120 pull requests, of which every third is merged, 20 issues, and 3 commits.
fn world() -> World {
    let mut world = World::new(ORG);
    world.members = vec![ann()];
    let mut repo = Repo::new(REPO_ID, "site", at("2024-01-01"));
    for number in 1..=120 {
        let opened = at("2024-01-02") + TimeDelta::hours(number * 12);
        let thread = Thread::new(number, Some(ann()), opened);
        let merged = thread.clone().with_change(opened + TimeDelta::hours(5), ThreadChange::Merged);
        repo.pulls.push(PullRequest::new(if number % 3 == 0 { merged } else { thread }));
    }
    for number in 121..=140 {
        let opened = at("2024-01-02") + TimeDelta::hours(number);
        repo.issues.push(Thread::new(number, Some(ann()), opened));
    }
    let author = Signature::new("Ann", "ann@work.example", Some(ann()));
    let mut tip = None::<String>;
    for day in 2..5 {
        let parents: Vec<&str> = tip.as_deref().into_iter().collect();
        tip = Some(repo.commit(&parents, at(&format!("2024-01-0{day}")), &author, Some([3, 1, 1])));
    }
    repo.push(at("2024-01-06"), tip.as_deref().expect("a commit"));
    world.repos.push(repo);
    world
}

fn collect(sandbox: &Sandbox, status: i32) -> RunResult {
    let run = sandbox.run(&["collect", ORG, "--since", SINCE]).expect_status(status);
    sandbox.run(&["aggregate"]).expect_status(0);
    run
}

/// The organization's metrics over the complete history.
fn metrics(sandbox: &Sandbox) -> Value {
    let server = sandbox.serve();
    let target = format!("/api/v1/orgs/{ORG}/metrics?since={SINCE}&until=2024-05-01&bots=include");
    get(server.address(), &target).json()
}

fn gap_kinds(answer: &Value) -> Vec<&str> {
    let gaps = answer["gaps"].as_array().expect("gaps");
    let mut kinds: Vec<&str> = gaps.iter().filter_map(|gap| gap["kind"].as_str()).collect();
    kinds.sort_unstable();
    kinds
}

#[test]
fn an_unanswerable_pull_request_is_counted_named_and_requested_another_day() {
    for poison in [Poison::BadGateway, Poison::NullEntry] {
        let mut world = world();
        let undisturbed = Double::start(world.clone(), settled_at());
        collect(&Sandbox::with_github(&undisturbed), 0);
        world.poison = poison;
        world.poison_thread("PR", REPO_ID, 60);
        let double = Double::start(world.clone(), settled_at());
        let sandbox = Sandbox::with_github(&double);

        let started_at = Instant::now();
        let run = collect(&sandbox, 3);
        assert!(started_at.elapsed() < Duration::from_secs(60), "{:?}", started_at.elapsed());
        let extra = double.request_count() - undisturbed.request_count();
        assert!(extra <= 30, "{extra} more requests: {}", double.log().join(", "));
        assert!(run.stderr.contains("site, pull request #60"), "{}", run.stderr);
        assert!(run.stderr.contains("Something went wrong"), "{}", run.stderr);
        assert!(!run.stderr.contains("network"), "{}", run.stderr);
        assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
        let answer = metrics(&sandbox);
        assert_eq!(answer["gap_count"], 1);
        assert_eq!(answer["gaps"][0]["number"], 60, "{answer}");
        assert_eq!(answer["gaps"][0]["repo"], "site");
        assert!(answer["complete_until"].as_str().is_some_and(|until| until.starts_with("2024-04-27")));

        // What is opened later is read too. A known gap is no failure.
        let later = settled_at() + TimeDelta::hours(2);
        world.repos[0].pulls.push(PullRequest::new(Thread::new(
            141,
            Some(ann()),
            later - TimeDelta::hours(1),
        )));
        double.set_world(world.clone());
        double.set_now(later);
        let before = double.request_count();
        let run = collect(&sandbox, 0);
        assert!(double.request_count() - before <= 2, "{}", double.log().join(", "));
        assert!(run.stderr.contains("site, pull request #60"), "{}", run.stderr);
        let answer = metrics(&sandbox);
        assert_eq!((&answer["metrics"]["prs_opened"], &answer["gap_count"]), (&json!(121), &json!(1)));
        assert!(answer["complete_until"].as_str().is_some_and(|until| until.starts_with("2024-04-27T14")));

        for args in [vec!["show", ORG], vec!["export", ORG], vec!["doctor"]] {
            let run = sandbox.run(&args);
            let text = format!("{}{}", run.text(), run.stderr);
            assert!(text.contains("site, pull request #60"), "{args:?}: {text}");
        }

        // Nothing changes, so it is requested again only after a day.
        let before = double.request_count();
        collect(&sandbox, 0);
        assert_eq!(double.request_count() - before, 1, "an idle run");
        double.set_now(settled_at() + TimeDelta::hours(25));
        collect(&sandbox, 0);
        assert_eq!(metrics(&sandbox)["gap_count"], 1);
        world.poisoned.clear();
        double.set_world(world.clone());
        double.set_now(settled_at() + TimeDelta::hours(50));
        let run = collect(&sandbox, 0);
        assert!(!run.stderr.contains("missing"), "{}", run.stderr);
        assert_eq!(metrics(&sandbox)["gap_count"], 0);
    }
}

#[test]
fn an_unanswerable_entry_of_any_kind_stops_nothing_else() {
    let mut world = world();
    let repo = &mut world.repos[0];
    for id in 1..=5 {
        let created_at = at("2024-02-01") + TimeDelta::days(id);
        let changes = vec![(created_at, ReleaseChange::Published)];
        let tag = format!("v{id}");
        repo.releases.push(Release { id: 100 + id, tag, author: Some(ann()), created_at, changes });
        repo.deployments.push(Deployment {
            id: 200 + id,
            environment: "production".to_owned(),
            creator: Some(ann()),
            created_at,
            statuses: vec![(created_at + TimeDelta::hours(1), "SUCCESS")],
        });
    }
    let sha = repo.commits.keys().nth(1).expect("a commit").clone();
    world.poisoned.extend([sha.clone(), "RE_103".to_owned(), "DE_203".to_owned()]);
    world.poison_thread("PR", REPO_ID, 60);
    world.poison_thread("I", REPO_ID, 130);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let run = collect(&sandbox, 3);
    let answer = metrics(&sandbox);
    let expected = ["commits", "deployments", "issues", "pull_requests", "releases"];
    assert_eq!(gap_kinds(&answer), expected, "{answer}");
    assert!(run.stderr.contains(&sha), "{}", run.stderr);
    let count = |metric: &str| answer["metrics"][metric].clone();
    let counts = ["prs_opened", "issues_opened", "commits", "additions", "releases", "deploys"].map(count);
    assert_eq!(counts, [120, 20, 3, 6, 5, 4].map(Value::from), "{answer}");

    world.poisoned.clear();
    double.set_world(world);
    double.set_now(settled_at() + TimeDelta::hours(25));
    collect(&sandbox, 0);
    let answer = metrics(&sandbox);
    assert_eq!((&answer["gap_count"], &answer["metrics"]["additions"]), (&json!(0), &json!(9)), "{answer}");
    assert_eq!(answer["metrics"]["deploys"], 5);
}

/// A repository with 150 releases, of which 60 were published since April.
fn many_releases() -> World {
    let mut world = world();
    for id in 1..=150 {
        let created_at = at("2024-04-01") + TimeDelta::hours((id - 91) * 10);
        let changes = vec![(created_at, ReleaseChange::Published)];
        let (tag, author) = (format!("nightly-{id}"), Some(ann()));
        world.repos[0].releases.push(Release { id, tag, author, created_at, changes });
    }
    world.release_limit = Some(100);
    world
}

#[test]
fn reading_releases_stops_at_the_window_before_the_list_ends() {
    let double = Double::start(many_releases(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    sandbox.run(&["collect", ORG, "--since", "2024-04-01"]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    let server = sandbox.serve();
    let target = format!("/api/v1/orgs/{ORG}/metrics?since=2024-04-01&until=2024-05-01");
    let answer = get(server.address(), &target).json();
    assert_eq!((&answer["metrics"]["releases"], &answer["gap_count"]), (&json!(60), &json!(0)));
    assert_eq!(answer["complete_since"], "2024-04-01T00:00:00Z");
}

#[test]
fn a_list_of_releases_that_ends_in_an_error_keeps_what_was_read() {
    let mut world = many_releases();
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let started_at = Instant::now();
    let run = collect(&sandbox, 3);
    assert!(started_at.elapsed() < Duration::from_secs(60), "{:?}", started_at.elapsed());
    let named = "site, releases from 2023-11-01 to 2024-03-";
    assert!(run.stderr.contains(named) && run.stderr.contains("status 500"), "{}", run.stderr);
    assert!(run.stderr.contains("after the newest 100"), "{}", run.stderr);
    let answer = metrics(&sandbox);
    assert_eq!(answer["metrics"]["releases"], 100);
    assert_eq!((&answer["metrics"]["prs_opened"], &answer["gap_count"]), (&json!(120), &json!(1)));
    let oldest = at("2024-04-01") + TimeDelta::hours((51 - 91) * 10);
    assert_eq!(
        answer["complete_since"],
        oldest.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "{answer}"
    );

    // The rest is requested once more, in case it was a disturbance, and then only after a day.
    collect(&sandbox, 0);
    let newest = world.repos[0].releases.last().expect("a release").clone();
    let changes = vec![(settled_at(), ReleaseChange::Published)];
    world.repos[0].releases.push(Release { id: 151, created_at: settled_at(), changes, ..newest });
    double.set_world(world);
    double.set_now(settled_at() + TimeDelta::minutes(10));
    let before = double.count_of("Releases");
    collect(&sandbox, 0);
    assert_eq!(double.count_of("Releases") - before, 1);
    let answer = metrics(&sandbox);
    assert_eq!((&answer["metrics"]["releases"], &answer["gap_count"]), (&json!(101), &json!(1)));
}

#[test]
fn deleted_releases_stay_counted() {
    let mut world = world();
    let release = |id: i64| {
        let created_at = at("2024-02-01") + TimeDelta::days(id);
        let changes = vec![
            (created_at, ReleaseChange::Published),
            (created_at + TimeDelta::hours(30), ReleaseChange::Deleted),
        ];
        Release { id, tag: "nightly".to_owned(), author: Some(ann()), created_at, changes }
    };
    world.repos[0].releases = (1..=20).map(release).collect();
    let double = Double::start(world, at("2024-02-01"));
    let sandbox = Sandbox::with_github(&double);
    for day in 1..=23 {
        double.set_now(at("2024-02-01T01:00:00Z") + TimeDelta::days(day));
        sandbox.run(&["collect", ORG, "--since", SINCE]).expect_status(0);
    }
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_eq!(metrics(&sandbox)["metrics"]["releases"], 20);
}

#[test]
fn a_failing_list_is_named_and_costs_at_most_a_minute() {
    let double = Double::start(world(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    for query in ["Issues", "IssuesBasic", "IssuesById"] {
        double.plan_fault(query, 0, 10_000, Fault::Status(502));
    }
    let started_at = Instant::now();
    let error = collect(&sandbox, 3).expect_error(3);
    assert!(started_at.elapsed() < Duration::from_secs(60), "{:?}", started_at.elapsed());
    for part in ["acme/site", "the first issues, by last change", "status 502"] {
        assert!(error.contains(part), "{part} is missing: {error}");
    }
    assert!(!error.contains("network"), "{error}");
    let answer = metrics(&sandbox);
    let counts = ["prs_opened", "commits"].map(|metric| answer["metrics"][metric].clone());
    assert_eq!(counts, [120, 3].map(Value::from));
    assert_eq!(gap_kinds(&answer), ["issues"]);
}

#[test]
fn a_repository_without_permission_is_a_gap() {
    let mut world = world();
    world.forbidden_fields = vec!["issues"];
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let run = sandbox.run(&["collect", ORG, "--since", SINCE, "--format", "json"]).expect_status(3);
    let report = run.json();
    assert_eq!(report["gaps"][0]["kind"], "repository", "{report}");
    assert_eq!((&report["gaps"][0]["repo"], &report["gaps"][0]["new"]), (&json!("site"), &json!(true)));
}

#[test]
fn all_members_of_a_large_organization_are_known() {
    let mut world = world();
    world.members = (1..=250).map(|id| Account::user(&format!("member-{id}"), id)).collect();
    let double = Double::start(world, settled_at());
    let sandbox = Sandbox::with_github(&double);
    collect(&sandbox, 0);
    assert_eq!(double.count_of("Members"), 2, "{}", double.log().join(", "));
    let server = sandbox.serve();
    let target = format!("/api/v1/orgs/{ORG}/members/member-240/metrics");
    assert_eq!(get(server.address(), &target).status, 200);
    let before = double.request_count();
    collect(&sandbox, 0);
    assert_eq!(double.request_count() - before, 1, "an idle run");
    double.set_now(settled_at() + TimeDelta::hours(25));
    collect(&sandbox, 0);
    assert_eq!(double.count_of("Members"), 4);
}

#[test]
fn a_forgotten_tip_reaches_the_person() {
    let mut world = world();
    let author = Signature::new("Ann", "ann@work.example", Some(ann()));
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    collect(&sandbox, 0);
    // A force-push replaces the complete history, and GitHub has forgotten the old one.
    let repo = &mut world.repos[0];
    repo.tips.clear();
    let tip = repo.commit(&[], at("2024-01-09"), &author, Some([1, 1, 1]));
    repo.push(settled_at() - TimeDelta::hours(1), &tip);
    double.set_world(world);
    let args = ["collect", ORG, "--since", SINCE, "--format", "json", "--quiet"];
    let run = sandbox.run(&args).expect_status(0);
    let warning = run.json()["warnings"][0].clone();
    assert_eq!(warning["repo"], "site", "{run:?}");
    assert!(warning["text"].as_str().is_some_and(|text| text.contains("forgotten the tip")), "{warning}");
    assert!(run.stderr.contains("warning: acme/site: "), "{}", run.stderr);
}
