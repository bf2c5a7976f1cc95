//! Repositories as they are: archived, blocked, hidden or forked ones never stop the others.

use gam_tests::answers::assert_matches_reference;
use gam_tests::github::world::{Thread, at};
use gam_tests::github::{Double, generated};
use gam_tests::program::Sandbox;

use gam_tests::support::{SINCE, collect_and_aggregate, full_range, settled_at};

#[test]
fn what_was_collected_of_repositories_stays_whatever_becomes_of_them() {
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
    let gone = format!("{}/{} is not shown", world.org, hidden.name(settled_at()));
    assert!(run.stderr.contains(&blocked) && run.stderr.contains(&gone), "{}", run.stderr);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
    // It is told once, and when it is back it is read on.
    let run = sandbox.run(&["collect", &world.org]).expect_status(0);
    assert!(!run.stderr.contains("is not shown"), "{}", run.stderr);
    double.set_world(world.clone());
    collect_and_aggregate(&sandbox, &world.org);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn forks_are_read_only_where_they_are_asked_for() {
    let mut world = generated::world(81);
    world.repos[3].is_fork = true;
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    collect_and_aggregate(&sandbox, &world.org);
    let mut without = world.clone();
    without.repos.remove(3);
    assert_matches_reference(sandbox.serve().address(), &without, settled_at(), &full_range());
    sandbox.run(&["collect", &world.org, "--since", SINCE, "--forks"]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn a_dry_run_writes_nothing_and_says_about_what_it_takes() {
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
    assert_eq!(report["requests"], requests, "what is told is what was asked");
    // Threads that are too long for a page, and commits that are not counted, take more.
    let lists = ["Probe", "Commits", "PullRequests", "Issues", "Releases", "Deployments"];
    let pages = double.log()[before..].iter().filter(|kind| lists.contains(&kind.as_str())).count();
    assert!(plan["requests"].as_u64().is_some_and(|told| told >= pages as u64), "{plan} {pages}");
    let told: u64 = report["repositories"]
        .as_array()
        .expect("repositories")
        .iter()
        .map(|repo| repo["requests"].as_u64().expect("a number"))
        .sum();
    assert_eq!(told + 1, requests, "the probe belongs to no repository");
    let sandbox = Sandbox::with_github(&double);
    let text = sandbox.run(&["collect", &world.org, "--dry-run"]).expect_status(0).text();
    assert!(
        text.contains("nothing was written") && text.contains("at most") && text.contains("site: commits"),
        "{text}"
    );
}

#[test]
fn what_is_not_counted_and_what_is_not_whole_is_told() {
    let world = generated::world(82);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let show = ["show", &world.org, "--since", SINCE, "--until", "2024-05-01"];
    sandbox.run(&["collect", &world.org, "--since", "2024-02-01"]).expect_status(0);
    let early = sandbox.run(&show).expect_status(0).stderr;
    assert!(early.contains("not counted yet: run `github-metrics aggregate`"), "{early}");
    sandbox.run(&["aggregate"]).expect_status(0);
    let shown = sandbox.run(&show).expect_status(0);
    assert!(shown.text().contains("GitHub was read from 2024-02-01 up to 2024-04-27"), "{}", shown.text());
    let told = "numbers before 2024-02-01 are not whole";
    assert!(shown.stderr.contains(told) && !shown.stderr.contains("not counted"), "{}", shown.stderr);
    let rows = sandbox.run(&["export", &world.org, "--format", "json"]).expect_status(0).json();
    let starts = rows.as_array().expect("rows").iter().filter_map(|row| row["start"].as_str());
    assert!(starts.min().is_some_and(|first| first >= "2024-02-01"));

    collect_and_aggregate(&sandbox, &world.org);
    let shown = sandbox.run(&show).expect_status(0);
    assert!(!shown.stderr.contains("not whole"), "{}", shown.stderr);
}
