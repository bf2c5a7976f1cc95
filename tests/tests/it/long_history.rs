//! A repository with a history that is too long to be read page after page.

use std::ops::Range;

use chrono::{NaiveDate, TimeDelta};
use gam_tests::answers::{check, day};
use gam_tests::github::world::{Account, Repo, Signature, Time, at};
use gam_tests::github::{Double, Fault, World};
use gam_tests::program::Place;

use gam_tests::support::settled;

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
    assert!(date < settled(), "{date}");
    repo.push(settled() - TimeDelta::days(1), &tip.expect("a tip"));
    world.repos.push(repo);
    world
}

fn collected(double: &Double, world: &World) -> Place {
    let place = Place::with(double);
    place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    place
}

fn is_right(place: &Place, world: &World) {
    place.run(&["aggregate"]).expect(0);
    check(place.serve().address(), world, settled(), &range());
}

#[test]
fn a_long_history_is_cut_into_windows_and_nothing_is_lost() {
    let world = world(None);
    let double = Double::start(world.clone(), settled());
    let place = collected(&double, &world);
    assert!(double.count("HistoryCounts") > 0, "{:?}", double.log());
    assert!(double.count("Commits") <= 40 + CUT, "{:?}", double.log());
    is_right(&place, &world);
}

#[test]
fn a_second_may_hold_more_than_a_window() {
    let world = world_with(300..1_900, None);
    let double = Double::start(world.clone(), settled());
    let place = collected(&double, &world);
    assert!(double.count("Commits") <= 40 + CUT, "{:?}", double.log());
    is_right(&place, &world);
}

#[test]
fn a_history_with_a_wrong_clock_is_read_page_after_page() {
    // Every window that begins after 2014 ends at this commit, and the older half lies behind it.
    let world = world(Some((3_000, at("2014-06-01"))));
    let double = Double::start(world.clone(), settled());
    let place = collected(&double, &world);
    assert_eq!(double.count("HistoryCounts"), 1, "it was tried");
    assert_eq!(double.count("Commits"), 40, "{:?}", double.log());
    is_right(&place, &world);
}

#[test]
fn commits_behind_one_from_before_the_first_day_are_found() {
    // The list of what is new since May ends at this commit, and most of it lies behind.
    let world = world(Some((3_990, at("2012-06-01"))));
    let double = Double::start(world.clone(), settled());
    let place = Place::with(&double);
    place.run(&["collect", &world.org, "--since", "2023-05-01"]).expect(0);
    place.run(&["aggregate"]).expect(0);
    check(place.serve().address(), &world, settled(), &[(day("2023-05-01"), day("2024-05-01"))]);
    // The span before it has no such commit, and what it holds is not read twice.
    place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    is_right(&place, &world);
}

#[test]
fn tips_that_cannot_be_compared_are_read_whole() {
    let mut world = world(None);
    let double = Double::start(world.clone(), settled());
    let place = collected(&double, &world);
    let repo = &mut world.repos[0];
    let old = repo.tip(settled()).expect("a tip").to_owned();
    let author = repo.commits[&old].author.clone();
    let parent = repo.commits[&old].parents[0].clone();
    let tip = repo.commit(&[&parent], settled() - TimeDelta::hours(2), &author, Some([5, 0, 1]));
    repo.push(settled() - TimeDelta::hours(1), &tip);
    double.set_world(world.clone());
    let path: &'static str = format!("/api/v3/repos/Long-Works/old/compare/{old}...{tip}").leak();
    double.plan(path, 0, 1, Fault::Status(404));
    place.run(&["collect", &world.org]).expect(0);
    assert_eq!(double.faults_left(), 0);
    is_right(&place, &world);
}

#[test]
fn a_history_that_github_cannot_count_is_read_page_after_page() {
    let world = world(None);
    let double = Double::start(world.clone(), settled());
    double.plan("HistoryCounts", 0, 1_000, Fault::Status(502));
    let place = collected(&double, &world);
    assert_eq!(double.count("Commits"), 40);
    is_right(&place, &world);
}

#[test]
fn a_run_that_is_stopped_amid_its_windows_goes_on_with_each() {
    let world = world(None);
    let clean = Double::start(world.clone(), settled());
    collected(&clean, &world);

    let double = Double::start(world.clone(), settled());
    let place = Place::with(&double);
    let mut runs = 0;
    for skip in [5, 2, 2] {
        double.plan("Commits", skip, 1, Fault::RateLimited(36_000));
        place.run(&["collect", &world.org, "--since", SINCE, "--max-wait", "1s"]).expect(75);
        runs += 1;
    }
    place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    let most = clean.count("Commits") + runs;
    assert!(double.count("Commits") <= most, "{} of {most}", double.count("Commits"));
    is_right(&place, &world);
}
