//! Archived, blocked, hidden and forked repositories. None of them stops the others.

use gam_tests::answers::assert_matches_reference;
use gam_tests::github::world::{Thread, at};
use gam_tests::github::{Double, generated};
use gam_tests::program::Sandbox;

use gam_tests::support::{SINCE, collect_and_aggregate, full_range, settled_at};

#[test]
fn data_of_archived_blocked_and_hidden_repositories_stays() {
    let world = generated::world(80);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    collect_and_aggregate(&sandbox, &world.org);
    let mut later = world.clone();
    later.repos[0].is_archived = true;
    later.repos[1].is_blocked = true;
    later.repos[1].issues.push(Thread::new(900, None, at("2024-04-26")));
    let hidden = later.repos.remove(2);
    double.set_world(later);
    let run = sandbox.run(&["collect", &world.org]).expect_status(0);
    let blocked = format!("{}/api-server is blocked", world.org);
    let missing = format!("{}/{} is no longer visible", world.org, hidden.name(settled_at()));
    assert!(run.stderr.contains(&blocked) && run.stderr.contains(&missing), "{}", run.stderr);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
    // The run reports it once. Once it is visible again, it is collected.
    let run = sandbox.run(&["collect", &world.org]).expect_status(0);
    assert!(!run.stderr.contains("is no longer visible"), "{}", run.stderr);
    double.set_world(world.clone());
    collect_and_aggregate(&sandbox, &world.org);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn forks_are_collected_only_with_the_option() {
    let mut world = generated::world(81);
    world.repos[3].is_fork = true;
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    collect_and_aggregate(&sandbox, &world.org);
    let mut without_fork = world.clone();
    without_fork.repos.remove(3);
    assert_matches_reference(sandbox.serve().address(), &without_fork, settled_at(), &full_range());
    sandbox.run(&["collect", &world.org, "--since", SINCE, "--forks"]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn a_dry_run_estimates_the_cost_and_writes_nothing() {
    let world = generated::world(82);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let args = ["collect", &world.org, "--since", SINCE, "--format", "json"];
    let plan = sandbox.run(&[&args[..], &["--dry-run"]].concat()).expect_status(0).json();
    assert!(!sandbox.data_dir().exists(), "nothing is left behind");
    assert_eq!(plan["planned"].as_array().map(Vec::len), Some(5), "{plan}");
    let before = double.request_count();
    let report = sandbox.run(&args).expect_status(0).json();
    let requests = (double.request_count() - before) as u64;
    assert_eq!(report["requests"], requests, "the report counts the requests that were sent");
    // Threads that are too long for a page and commits without line counts cost more.
    let lists = ["Probe", "Commits", "PullRequests", "Issues", "Releases", "Deployments"];
    let pages = double.log()[before..].iter().filter(|kind| lists.contains(&kind.as_str())).count();
    assert!(plan["requests"].as_u64().is_some_and(|planned| planned >= pages as u64), "{plan} {pages}");
    let repository_requests: u64 = report["repositories"]
        .as_array()
        .expect("repositories")
        .iter()
        .map(|repo| repo["requests"].as_u64().expect("a number"))
        .sum();
    assert_eq!(repository_requests + 1, requests, "the probe belongs to no repository");
    let sandbox = Sandbox::with_github(&double);
    let text = sandbox.run(&["collect", &world.org, "--dry-run"]).expect_status(0).text();
    assert!(
        text.contains("Nothing was written") && text.contains("up to") && text.contains("site: commits"),
        "{text}"
    );
}

#[test]
fn show_warns_of_unaggregated_and_incomplete_data() {
    let world = generated::world(82);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let show = ["show", &world.org, "--since", SINCE, "--until", "2024-05-01"];
    sandbox.run(&["collect", &world.org, "--since", "2024-02-01"]).expect_status(0);
    let error = sandbox.run(&show).expect_error(1);
    assert!(error.contains("being computed") && error.contains("run `github-metrics aggregate "), "{error}");
    sandbox.run(&["aggregate"]).expect_status(0);
    sandbox.run(&["collect", &world.org, "--again", "--since", "2024-02-01"]).expect_status(0);
    let warning = sandbox.run(&show).expect_status(0).stderr;
    assert!(warning.contains("not counted yet: run `github-metrics aggregate --data-dir "), "{warning}");
    sandbox.run(&["aggregate"]).expect_status(0);
    let shown = sandbox.run(&[&show[..], &["--format", "table"]].concat()).expect_status(0);
    assert!(shown.text().contains("Data is complete from 2024-02-01 to 2024-04-27"), "{}", shown.text());
    let expected = "numbers before 2024-02-01 are incomplete";
    assert!(shown.stderr.contains(expected) && !shown.stderr.contains("not counted"), "{}", shown.stderr);
    let rows = sandbox.run(&["export", &world.org, "--format", "json"]).expect_status(0).json();
    let starts = rows.as_array().expect("rows").iter().filter_map(|row| row["start"].as_str());
    assert!(starts.min().is_some_and(|first| first >= "2024-02-01"));

    collect_and_aggregate(&sandbox, &world.org);
    let shown = sandbox.run(&show).expect_status(0);
    assert!(!shown.stderr.contains("incomplete"), "{}", shown.stderr);
}
