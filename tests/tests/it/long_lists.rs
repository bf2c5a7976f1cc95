//! Lists of pull requests and issues that are too long to be read from one end only.

use chrono::{NaiveDate, TimeDelta};
use gam_tests::answers::{assert_matches_reference, day};
use gam_tests::github::world::{Account, PullRequest, Repo, Thread, ThreadChange, Time, at};
use gam_tests::github::{Double, Fault, World};
use gam_tests::program::Sandbox;

use gam_tests::support::settled_at;

const SINCE: &str = "2013-06-01";
const PULLS: i64 = 1_300;
const ISSUES: i64 = 700;
/// So many of either are opened within one second, in the middle of the list.
const AT_ONCE: std::ops::Range<i64> = 580..740;

fn range(since: &str) -> [(NaiveDate, NaiveDate); 1] {
    [(day(since), day("2024-05-01"))]
}

/// When the threads of a list were opened: over ten years, from its beginning on.
fn opened(born: Time, count: i64) -> Vec<Time> {
    let step = (settled_at() - TimeDelta::days(10) - born) / (count as i32);
    let mut when = born;
    let mut next = |number: i64| {
        when += if AT_ONCE.contains(&number) { TimeDelta::zero() } else { step };
        when
    };
    (0..count).map(&mut next).collect()
}

/// What becomes of a thread: most are closed soon, some are opened again in the last days.
fn turned(thread: Thread, merge: bool) -> Thread {
    let (number, opened) = (thread.number, thread.created_at);
    let thread = match number % 5 {
        0 => return thread,
        1 if merge => thread.with_change(opened + TimeDelta::hours(30), ThreadChange::Merged),
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
    let born = at("2014-01-01");
    let mut repo = Repo::new(60_000, "busy", born);
    let author = |number: i64| Some(people[number as usize % 2].clone());
    for (opened, number) in opened(born, PULLS).into_iter().zip(1..) {
        repo.pulls.push(PullRequest::new(turned(Thread::new(number, author(number), opened), true)));
    }
    for (opened, number) in opened(born, ISSUES).into_iter().zip(PULLS + 1..) {
        repo.issues.push(turned(Thread::new(number, author(number), opened), false));
    }
    world.repos.push(repo);
    world
}

fn collected(double: &Double, world: &World, since: &str) -> Sandbox {
    let sandbox = Sandbox::with_github(double);
    sandbox.run(&["collect", &world.org, "--since", since]).expect_status(0);
    sandbox
}

fn is_right(sandbox: &Sandbox, world: &World, since: &str) {
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), world, settled_at(), &range(since));
}

#[test]
fn a_long_list_is_read_from_both_ends_at_no_greater_cost() {
    let world = world();
    let double = Double::start(world.clone(), settled_at());
    let sandbox = collected(&double, &world, SINCE);
    // One looks at the oldest. The first page of either end has 50 pull requests, the others have 100.
    assert!(double.count_of("PullRequests") <= 1 + 14 + 2, "{:?}", double.log());
    assert!(double.count_of("Issues") <= 1 + 7 + 2, "{:?}", double.log());
    is_right(&sandbox, &world, SINCE);
    let before = double.request_count();
    sandbox.run(&["collect", &world.org]).expect_status(0);
    assert_eq!(double.request_count() - before, 1, "nothing has changed");
}

#[test]
fn a_long_list_of_which_a_part_is_asked_for_is_read_from_the_top() {
    let (world, since) = (world(), "2022-01-01");
    let double = Double::start(world.clone(), settled_at());
    let sandbox = collected(&double, &world, since);
    let asked = world.repos[0].pulls.iter().filter(|pull| pull.updated_at(settled_at()) >= at(since)).count();
    assert!(double.count_of("PullRequests") <= 1 + 1 + (asked - 50).div_ceil(100), "{:?}", double.log());
    is_right(&sandbox, &world, since);
    // Then all of it.
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    is_right(&sandbox, &world, SINCE);
}

#[test]
fn what_changes_while_it_is_read_from_both_ends_is_not_lost() {
    let world = world();
    let clean = Double::start(world.clone(), settled_at());
    collected(&clean, &world, SINCE);

    let begun = settled_at() - TimeDelta::days(4);
    let double = Double::start(world.clone(), begun);
    let sandbox = Sandbox::with_github(&double);
    let mut stops = 0;
    for (skip, hours) in [(4, 23), (3, 51), (2, 94)] {
        double.plan_fault("PullRequests", skip, 1, Fault::RateLimited(36_000));
        sandbox.run(&["collect", &world.org, "--since", SINCE, "--max-wait", "1s"]).expect_status(75);
        stops += 1;
        double.set_now(begun + TimeDelta::hours(hours));
    }
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    double.set_now(settled_at());
    sandbox.run(&["collect", &world.org]).expect_status(0);
    // The refused one, perhaps one from the other end, and at the end what has changed.
    let most = clean.count_of("PullRequests") + 2 * stops + 3;
    assert!(double.count_of("PullRequests") <= most, "{} of {most}", double.count_of("PullRequests"));
    is_right(&sandbox, &world, SINCE);
}

#[test]
fn a_place_that_github_has_forgotten_begins_the_walk_anew() {
    let world = world();
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    double.plan_fault("PullRequests", 6, 1, Fault::RateLimited(36_000));
    sandbox.run(&["collect", &world.org, "--since", SINCE, "--max-wait", "1s"]).expect_status(75);
    double.plan_fault("PullRequests", 0, 1, Fault::UnknownCursor);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert_eq!(double.pending_faults(), 0);
    is_right(&sandbox, &world, SINCE);
}
