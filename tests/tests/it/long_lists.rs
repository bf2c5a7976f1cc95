//! Lists of pull requests and issues that are long enough to be read from both ends.

use chrono::{NaiveDate, TimeDelta};
use gam_tests::answers::{assert_matches_reference, day};
use gam_tests::github::world::{Account, PullRequest, Repo, Thread, ThreadChange, Time, at};
use gam_tests::github::{Double, Fault, World};
use gam_tests::program::Sandbox;

use gam_tests::support::settled_at;

const SINCE: &str = "2013-06-01";
const PULL_COUNT: i64 = 1_300;
const ISSUE_COUNT: i64 = 700;
/// Positions of the threads that are opened within one second, in the middle of the list.
const SAME_SECOND: std::ops::Range<i64> = 580..740;

fn range(since: &str) -> [(NaiveDate, NaiveDate); 1] {
    [(day(since), day("2024-05-01"))]
}

/// Returns when the threads of a list are opened: evenly over ten years.
fn opening_times(created_at: Time, count: i64) -> Vec<Time> {
    let step = (settled_at() - TimeDelta::days(10) - created_at) / (count as i32);
    let mut when = created_at;
    let mut next = |number: i64| {
        when += if SAME_SECOND.contains(&number) { TimeDelta::zero() } else { step };
        when
    };
    (0..count).map(&mut next).collect()
}

/// Adds the changes of a thread: most are closed soon, some are reopened in the last days.
fn with_changes(thread: Thread, is_pull: bool) -> Thread {
    let (number, opened) = (thread.number, thread.created_at);
    let thread = match number % 5 {
        0 => return thread,
        1 if is_pull => thread.with_change(opened + TimeDelta::hours(30), ThreadChange::Merged),
        _ => thread
            .with_change(opened + TimeDelta::hours(50), ThreadChange::Closed { event_offset_s: Some(1) }),
    };
    let late = settled_at() - TimeDelta::hours(number % 96 + 1);
    match number % 97 {
        2 | 4 | 8 if number % 5 != 1 => thread.with_change(late, ThreadChange::Reopened),
        5 => thread.with_change(late, ThreadChange::Edited),
        _ => thread,
    }
}

fn world() -> World {
    let people = [Account::user("Ann", 11), Account::user("Ben", 12)];
    let mut world = World::new("Long-Works");
    world.members = people.to_vec();
    let created_at = at("2014-01-01");
    let mut repo = Repo::new(60_000, "busy", created_at);
    let author = |number: i64| Some(people[number as usize % 2].clone());
    for (opened, number) in opening_times(created_at, PULL_COUNT).into_iter().zip(1..) {
        repo.pulls.push(PullRequest::new(with_changes(Thread::new(number, author(number), opened), true)));
    }
    for (opened, number) in opening_times(created_at, ISSUE_COUNT).into_iter().zip(PULL_COUNT + 1..) {
        repo.issues.push(with_changes(Thread::new(number, author(number), opened), false));
    }
    world.repos.push(repo);
    world
}

fn collect(double: &Double, world: &World, since: &str) -> Sandbox {
    let sandbox = Sandbox::with_github(double);
    sandbox.run(&["collect", &world.org, "--since", since]).expect_status(0);
    sandbox
}

fn assert_correct(sandbox: &Sandbox, world: &World, since: &str) {
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), world, settled_at(), &range(since));
}

#[test]
fn reading_from_both_ends_takes_few_extra_requests() {
    let world = world();
    let double = Double::start(world.clone(), settled_at());
    let sandbox = collect(&double, &world, SINCE);
    // One request reads the oldest entry. The first page of each end has 50 entries, the others have 100.
    assert!(double.count_of("PullRequests") <= 1 + 14 + 2, "{:?}", double.log());
    assert!(double.count_of("Issues") <= 1 + 7 + 2, "{:?}", double.log());
    assert_correct(&sandbox, &world, SINCE);
    let before = double.request_count();
    sandbox.run(&["collect", &world.org]).expect_status(0);
    assert_eq!(double.request_count() - before, 1, "nothing has changed");
}

#[test]
fn a_part_of_a_long_list_is_read_from_the_newest_change() {
    let (world, since) = (world(), "2022-01-01");
    let double = Double::start(world.clone(), settled_at());
    let sandbox = collect(&double, &world, since);
    let in_range =
        world.repos[0].pulls.iter().filter(|pull| pull.updated_at(settled_at()) >= at(since)).count();
    assert!(double.count_of("PullRequests") <= 1 + 1 + (in_range - 50).div_ceil(100), "{:?}", double.log());
    assert_correct(&sandbox, &world, since);
    // The rest follows.
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert_correct(&sandbox, &world, SINCE);
}

#[test]
fn changes_during_a_walk_from_both_ends_are_not_lost() {
    let world = world();
    let undisturbed = Double::start(world.clone(), settled_at());
    collect(&undisturbed, &world, SINCE);

    let start = settled_at() - TimeDelta::days(4);
    let double = Double::start(world.clone(), start);
    let sandbox = Sandbox::with_github(&double);
    let mut stops = 0;
    for (skip, hours) in [(4, 23), (3, 51), (2, 94)] {
        double.plan_fault("PullRequests", skip, 1, Fault::RateLimited(36_000));
        sandbox.run(&["collect", &world.org, "--since", SINCE, "--max-wait", "1s"]).expect_status(75);
        stops += 1;
        double.set_now(start + TimeDelta::hours(hours));
    }
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    double.set_now(settled_at());
    sandbox.run(&["collect", &world.org]).expect_status(0);
    // Each stop costs the rejected request and perhaps one of the other end. Three more read what has changed.
    let limit = undisturbed.count_of("PullRequests") + 2 * stops + 3;
    assert!(double.count_of("PullRequests") <= limit, "{} of {limit}", double.count_of("PullRequests"));
    assert_correct(&sandbox, &world, SINCE);
}

#[test]
fn an_unknown_cursor_restarts_the_walk() {
    let world = world();
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    double.plan_fault("PullRequests", 6, 1, Fault::RateLimited(36_000));
    sandbox.run(&["collect", &world.org, "--since", SINCE, "--max-wait", "1s"]).expect_status(75);
    double.plan_fault("PullRequests", 0, 1, Fault::UnknownCursor);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert_eq!(double.pending_faults(), 0);
    assert_correct(&sandbox, &world, SINCE);
}
