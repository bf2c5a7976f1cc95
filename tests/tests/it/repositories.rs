//! Repositories as they are: archived, blocked, hidden or forked ones never stop the others.

use gam_tests::answers::check;
use gam_tests::github::world::{Thread, at};
use gam_tests::github::{Double, generated};
use gam_tests::program::Place;

use gam_tests::support::{SINCE, collect_and_aggregate, settled, whole};

#[test]
fn what_was_collected_of_repositories_stays_whatever_becomes_of_them() {
    let world = generated::world(80);
    let double = Double::start(world.clone(), settled());
    let place = Place::with(&double);
    collect_and_aggregate(&place, &world.org);
    let mut later = world.clone();
    later.repos[0].archived = true;
    later.repos[1].blocked = true;
    later.repos[1].issues.push(Thread::new(900, None, at("2024-04-26")));
    let hidden = later.repos.remove(2);
    double.set_world(later);
    let run = place.run(&["collect", &world.org]).expect(0);
    let blocked = format!("{}/api-server is blocked", world.org);
    let gone = format!("{}/{} is no longer visible", world.org, hidden.name(settled()));
    assert!(run.stderr.contains(&blocked) && run.stderr.contains(&gone), "{}", run.stderr);
    place.run(&["aggregate"]).expect(0);
    check(place.serve().address(), &world, settled(), &whole());
    // It is told once, and when it is back it is read on.
    let run = place.run(&["collect", &world.org]).expect(0);
    assert!(!run.stderr.contains("is no longer visible"), "{}", run.stderr);
    double.set_world(world.clone());
    collect_and_aggregate(&place, &world.org);
    check(place.serve().address(), &world, settled(), &whole());
}

#[test]
fn forks_are_read_only_where_they_are_asked_for() {
    let mut world = generated::world(81);
    world.repos[3].fork = true;
    let double = Double::start(world.clone(), settled());
    let place = Place::with(&double);
    collect_and_aggregate(&place, &world.org);
    let mut without = world.clone();
    without.repos.remove(3);
    check(place.serve().address(), &without, settled(), &whole());
    place.run(&["collect", &world.org, "--since", SINCE, "--forks"]).expect(0);
    place.run(&["aggregate"]).expect(0);
    check(place.serve().address(), &world, settled(), &whole());
}

#[test]
fn a_dry_run_writes_nothing_and_says_about_what_it_takes() {
    let world = generated::world(82);
    let double = Double::start(world.clone(), settled());
    let place = Place::with(&double);
    let args = ["collect", &world.org, "--since", SINCE, "--format", "json"];
    let plan = place.run(&[&args[..], &["--dry-run"]].concat()).expect(0).json();
    assert!(!place.data().exists(), "nothing is left behind");
    assert_eq!(plan["planned"].as_array().map(Vec::len), Some(5), "{plan}");
    let before = double.requests();
    let report = place.run(&args).expect(0).json();
    let requests = (double.requests() - before) as u64;
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
    let place = Place::with(&double);
    let text = place.run(&["collect", &world.org, "--dry-run"]).expect(0).text();
    assert!(
        text.contains("Nothing was written") && text.contains("up to") && text.contains("site: commits"),
        "{text}"
    );
}

#[test]
fn what_is_not_counted_and_what_is_not_whole_is_told() {
    let world = generated::world(82);
    let double = Double::start(world.clone(), settled());
    let place = Place::with(&double);
    let show = ["show", &world.org, "--since", SINCE, "--until", "2024-05-01"];
    place.run(&["collect", &world.org, "--since", "2024-02-01"]).expect(0);
    let early = place.run(&show).expect(0).stderr;
    assert!(early.contains("not counted yet: run `github-metrics aggregate`"), "{early}");
    place.run(&["aggregate"]).expect(0);
    let shown = place.run(&show).expect(0);
    assert!(shown.text().contains("Data is complete from 2024-02-01 to 2024-04-27"), "{}", shown.text());
    let told = "numbers before 2024-02-01 are incomplete";
    assert!(shown.stderr.contains(told) && !shown.stderr.contains("not counted"), "{}", shown.stderr);
    let rows = place.run(&["export", &world.org, "--format", "json"]).expect(0).json();
    let starts = rows.as_array().expect("rows").iter().filter_map(|row| row["start"].as_str());
    assert!(starts.min().is_some_and(|first| first >= "2024-02-01"));

    collect_and_aggregate(&place, &world.org);
    let shown = place.run(&show).expect(0);
    assert!(!shown.stderr.contains("incomplete"), "{}", shown.stderr);
}
