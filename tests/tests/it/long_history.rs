//! A repository with a history that is too long to be read page after page.

use std::ops::Range;

use chrono::{NaiveDate, TimeDelta};
use gam_tests::answers::{assert_matches_reference, day};
use gam_tests::github::world::{Account, Repo, Signature, Time, at};
use gam_tests::github::{Double, Fault, World};
use gam_tests::program::Sandbox;

use gam_tests::support::settled_at;

const SINCE: &str = "2010-01-01";
/// What a clean walk asks for besides pages that are full: the first page's rest, one that counts, and one
/// page for each window that is not full.
const CUT: usize = 8;

fn range() -> [(NaiveDate, NaiveDate); 1] {
    [(day(SINCE), day("2024-05-01"))]
}

/// One repository with 4,000 commits of ten years, half of them within a month and some hundred within
/// one second. `wrong` is a commit with the wrong date.
fn world(wrong: Option<(usize, Time)>) -> World {
    world_with(300..700, wrong)
}

/// The same with so many commits within one second.
fn world_with(second: Range<usize>, wrong: Option<(usize, Time)>) -> World {
    let ann = Account::user("Ann", 11);
    let author = Signature::new("Ann", "ann@work.example", Some(ann.clone()));
    let mut world = World::new("Long-Works");
    world.members = vec![ann];
    let born = at("2014-01-01");
    let mut repo = Repo::new(60_000, "old", born);
    let mut tip: Option<String> = None;
    let mut date = born;
    for number in 0..4_000 {
        date += match number {
            _ if second.contains(&number) => TimeDelta::zero(),
            2_000.. => TimeDelta::minutes(21),
            _ => TimeDelta::hours(51),
        };
        let date = wrong.filter(|(which, _)| *which == number).map_or(date, |(_, date)| date);
        let parents: Vec<&str> = tip.as_deref().into_iter().collect();
        tip = Some(repo.commit(&parents, date, &author, Some([3, 1, 1])));
    }
    assert!(date < settled_at(), "{date}");
    repo.push(settled_at() - TimeDelta::days(1), &tip.expect("a tip"));
    world.repos.push(repo);
    world
}

fn collected(double: &Double, world: &World) -> Sandbox {
    let sandbox = Sandbox::with_github(double);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox
}

fn is_right(sandbox: &Sandbox, world: &World) {
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), world, settled_at(), &range());
}

#[test]
fn a_long_history_is_cut_into_windows_and_nothing_is_lost() {
    let world = world(None);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = collected(&double, &world);
    assert!(double.count_of("HistoryCounts") > 0, "{:?}", double.log());
    assert!(double.count_of("Commits") <= 40 + CUT, "{:?}", double.log());
    is_right(&sandbox, &world);
}

#[test]
fn a_second_may_hold_more_than_a_window() {
    let world = world_with(300..1_900, None);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = collected(&double, &world);
    assert!(double.count_of("Commits") <= 40 + CUT, "{:?}", double.log());
    is_right(&sandbox, &world);
}

#[test]
fn a_history_with_a_wrong_clock_is_read_page_after_page() {
    // Every window that begins after 2014 ends at this commit, and the older half lies behind it.
    let world = world(Some((3_000, at("2014-06-01"))));
    let double = Double::start(world.clone(), settled_at());
    let sandbox = collected(&double, &world);
    assert_eq!(double.count_of("HistoryCounts"), 1, "it was tried");
    assert_eq!(double.count_of("Commits"), 40, "{:?}", double.log());
    is_right(&sandbox, &world);
}

#[test]
fn commits_behind_one_from_before_the_first_day_are_found() {
    // The list of what is new since May ends at this commit, and most of it lies behind.
    let world = world(Some((3_990, at("2012-06-01"))));
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    sandbox.run(&["collect", &world.org, "--since", "2023-05-01"]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(
        sandbox.serve().address(),
        &world,
        settled_at(),
        &[(day("2023-05-01"), day("2024-05-01"))],
    );
    // The span before it has no such commit, and what it holds is not read twice.
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    is_right(&sandbox, &world);
}

#[test]
fn tips_that_cannot_be_compared_are_read_whole() {
    let mut world = world(None);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = collected(&double, &world);
    let repo = &mut world.repos[0];
    let old = repo.tip(settled_at()).expect("a tip").to_owned();
    let author = repo.commits[&old].author.clone();
    let parent = repo.commits[&old].parents[0].clone();
    let tip = repo.commit(&[&parent], settled_at() - TimeDelta::hours(2), &author, Some([5, 0, 1]));
    repo.push(settled_at() - TimeDelta::hours(1), &tip);
    double.set_world(world.clone());
    let path: &'static str = format!("/api/v3/repos/Long-Works/old/compare/{old}...{tip}").leak();
    double.plan_fault(path, 0, 1, Fault::Status(404));
    sandbox.run(&["collect", &world.org]).expect_status(0);
    assert_eq!(double.pending_faults(), 0);
    is_right(&sandbox, &world);
}

#[test]
fn a_history_that_github_cannot_count_is_read_page_after_page() {
    let world = world(None);
    let double = Double::start(world.clone(), settled_at());
    double.plan_fault("HistoryCounts", 0, 1_000, Fault::Status(502));
    let sandbox = collected(&double, &world);
    assert_eq!(double.count_of("Commits"), 40);
    is_right(&sandbox, &world);
}

#[test]
fn a_run_that_is_stopped_amid_its_windows_goes_on_with_each() {
    let world = world(None);
    let clean = Double::start(world.clone(), settled_at());
    collected(&clean, &world);

    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let mut runs = 0;
    for skip in [5, 2, 2] {
        double.plan_fault("Commits", skip, 1, Fault::RateLimited(36_000));
        sandbox.run(&["collect", &world.org, "--since", SINCE, "--max-wait", "1s"]).expect_status(75);
        runs += 1;
    }
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    let most = clean.count_of("Commits") + runs;
    assert!(double.count_of("Commits") <= most, "{} of {most}", double.count_of("Commits"));
    is_right(&sandbox, &world);
}
