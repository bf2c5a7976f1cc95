//! A repository with a history that is long enough to be read in windows.

use std::ops::Range;

use chrono::{NaiveDate, TimeDelta};
use gam_tests::answers::{assert_matches_reference, day};
use gam_tests::github::world::{Account, Repo, Signature, Time, at};
use gam_tests::github::{Double, Fault, World};
use gam_tests::http::get;
use gam_tests::program::Sandbox;

use gam_tests::support::settled_at;

const SINCE: &str = "2010-01-01";
/// Requests of an undisturbed walk in addition to the full pages: the rest of the first page, one that counts,
/// and one page for each window that is not full.
const EXTRA_REQUESTS: usize = 8;

fn range() -> [(NaiveDate, NaiveDate); 1] {
    [(day(SINCE), day("2024-05-01"))]
}

/// One repository with 4,000 commits over ten years, half of them within a month and some hundred within
/// one second. `wrong` is the position and the date of a commit with a wrong date.
fn world(wrong: Option<(usize, Time)>) -> World {
    world_with(300..700, wrong)
}

/// The same, with the positions of the commits within one second.
fn world_with(same_second: Range<usize>, wrong: Option<(usize, Time)>) -> World {
    let ann = Account::user("Ann", 11);
    let author = Signature::new("Ann", "ann@work.example", Some(ann.clone()));
    let mut world = World::new("Long-Works");
    world.members = vec![ann];
    let created_at = at("2014-01-01");
    let mut repo = Repo::new(60_000, "old", created_at);
    let mut tip: Option<String> = None;
    let mut date = created_at;
    for number in 0..4_000 {
        date += match number {
            _ if same_second.contains(&number) => TimeDelta::zero(),
            2_000.. => TimeDelta::minutes(21),
            _ => TimeDelta::hours(51),
        };
        let date = wrong.filter(|(position, _)| *position == number).map_or(date, |(_, date)| date);
        let parents: Vec<&str> = tip.as_deref().into_iter().collect();
        tip = Some(repo.commit(&parents, date, &author, Some([3, 1, 1])));
    }
    assert!(date < settled_at(), "{date}");
    repo.push(settled_at() - TimeDelta::days(1), &tip.expect("a tip"));
    world.repos.push(repo);
    world
}

fn collect(double: &Double, world: &World) -> Sandbox {
    let sandbox = Sandbox::with_github(double);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox
}

fn assert_correct(sandbox: &Sandbox, world: &World) {
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), world, settled_at(), &range());
}

#[test]
fn a_long_history_is_read_in_windows() {
    let world = world(None);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = collect(&double, &world);
    assert!(double.count_of("HistoryCounts") > 0, "{:?}", double.log());
    assert!(double.count_of("Commits") <= 40 + EXTRA_REQUESTS, "{:?}", double.log());
    assert_correct(&sandbox, &world);
}

#[test]
fn one_second_can_have_more_commits_than_a_window() {
    let world = world_with(300..1_900, None);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = collect(&double, &world);
    assert!(double.count_of("Commits") <= 40 + EXTRA_REQUESTS, "{:?}", double.log());
    assert_correct(&sandbox, &world);
}

#[test]
fn a_history_with_a_wrong_date_is_read_page_by_page() {
    // Every window that begins after 2014 ends at this commit, and the older commits lie behind it.
    let world = world(Some((3_000, at("2014-06-01"))));
    let double = Double::start(world.clone(), settled_at());
    let sandbox = collect(&double, &world);
    assert_eq!(double.count_of("HistoryCounts"), 1, "windows were tried");
    assert_eq!(double.count_of("Commits"), 40, "{:?}", double.log());
    assert_correct(&sandbox, &world);
}

#[test]
fn commits_behind_one_with_an_early_date_are_found() {
    // The list of commits since May ends at this commit, and most of them lie behind it.
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
    // The earlier span has no such commit. It is not read twice.
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert_correct(&sandbox, &world);
}

#[test]
fn commits_that_cannot_be_looked_for_are_reported_as_missing() {
    let world = world(Some((3_990, at("2012-06-01"))));
    let broken = Double::start(world.clone(), settled_at());
    broken.plan_fault("HistoryLight", 0, 1_000, Fault::Status(502));
    let sandbox = Sandbox::with_github(&broken);
    let args = ["collect", &world.org, "--since", "2023-05-01"];
    let run = sandbox.run(&args).expect_status(3);
    assert!(run.stderr.contains("old"), "the repository is named: {}", run.stderr);
    sandbox.run(&["aggregate"]).expect_status(0);
    let target = format!("/api/v1/orgs/{}/metrics?since=2023-05-01&until=2024-05-01", world.org);
    let answer = get(sandbox.serve().address(), &target).json();
    assert!(answer["complete_until"].is_null(), "{answer}");
    // The search goes on once GitHub answers.
    let double = Double::start(world.clone(), settled_at());
    let sandbox = sandbox.with_variable("GITHUB_API_URL", &double.api_url());
    sandbox.run(&args).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    let range = [(day("2023-05-01"), day("2024-05-01"))];
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &range);
}

#[test]
fn commits_behind_a_wrong_date_are_found_in_a_very_long_history() {
    let ann = Account::user("Ann", 11);
    let author = Signature::new("Ann", "ann@work.example", Some(ann));
    let mut world = World::new("Long-Works");
    let mut repo = Repo::new(60_000, "older", at("2000-01-01"));
    let (mut tip, mut date) = (None::<String>, at("2001-01-01"));
    let commit = |repo: &mut Repo, tip: &mut Option<String>, date: Time| {
        let parents: Vec<&str> = tip.as_deref().into_iter().collect();
        *tip = Some(repo.commit(&parents, date, &author, Some([3, 1, 1])));
    };
    for _ in 0..20_500 {
        date += TimeDelta::hours(7);
        commit(&mut repo, &mut tip, date);
    }
    assert!(date < at("2023-01-01"), "{date}");
    // Nine commits of 2024. The clock of the one in the middle, the tenth, was wrong.
    for day in ["01", "02", "03", "04", "05"] {
        commit(&mut repo, &mut tip, at(&format!("2024-04-{day}")));
    }
    commit(&mut repo, &mut tip, at("2019-04-05"));
    for day in ["06", "07", "08", "09"] {
        commit(&mut repo, &mut tip, at(&format!("2024-04-{day}")));
    }
    repo.push(settled_at() - TimeDelta::days(1), &tip.expect("a tip"));
    world.repos.push(repo);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    sandbox.run(&["collect", &world.org, "--since", "2024-01-01"]).expect_status(0);
    // The search ends as soon as all nine are found.
    assert!(double.count_of("HistoryLight") <= 2, "{:?}", double.log());
    sandbox.run(&["aggregate"]).expect_status(0);
    let range = [(day("2024-01-01"), day("2024-05-01"))];
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &range);
    let shown = sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
    assert!(shown.text().contains("nothing differs"), "{shown:?}");
}

#[test]
fn tips_that_cannot_be_compared_are_read_completely() {
    let mut world = world(None);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = collect(&double, &world);
    let repo = &mut world.repos[0];
    let old_tip = repo.tip(settled_at()).expect("a tip").to_owned();
    let author = repo.commits[&old_tip].author.clone();
    let parent = repo.commits[&old_tip].parents[0].clone();
    let tip = repo.commit(&[&parent], settled_at() - TimeDelta::hours(2), &author, Some([5, 0, 1]));
    repo.push(settled_at() - TimeDelta::hours(1), &tip);
    double.set_world(world.clone());
    let path: &'static str = format!("/api/v3/repos/Long-Works/old/compare/{old_tip}...{tip}").leak();
    double.plan_fault(path, 0, 1, Fault::Status(404));
    sandbox.run(&["collect", &world.org]).expect_status(0);
    assert_eq!(double.pending_faults(), 0);
    assert_correct(&sandbox, &world);
}

#[test]
fn a_history_that_cannot_be_counted_is_read_page_by_page() {
    let world = world(None);
    let double = Double::start(world.clone(), settled_at());
    double.plan_fault("HistoryCounts", 0, 1_000, Fault::Status(502));
    let sandbox = collect(&double, &world);
    assert_eq!(double.count_of("Commits"), 40);
    assert_correct(&sandbox, &world);
}

#[test]
fn a_stopped_run_resumes_every_window() {
    let world = world(None);
    let undisturbed = Double::start(world.clone(), settled_at());
    collect(&undisturbed, &world);

    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let mut stops = 0;
    for skip in [5, 2, 2] {
        double.plan_fault("Commits", skip, 1, Fault::RateLimited(36_000));
        sandbox.run(&["collect", &world.org, "--since", SINCE, "--max-wait", "1s"]).expect_status(75);
        stops += 1;
    }
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    let limit = undisturbed.count_of("Commits") + stops;
    assert!(double.count_of("Commits") <= limit, "{} of {limit}", double.count_of("Commits"));
    assert_correct(&sandbox, &world);
}
