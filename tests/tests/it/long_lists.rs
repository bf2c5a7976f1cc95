//! Lists of pull requests and issues that are too long to be read from one end only.

use chrono::{NaiveDate, TimeDelta};
use gam_tests::answers::{check, day};
use gam_tests::github::world::{Account, Pull, Repo, Thread, Time, Turn, at};
use gam_tests::github::{Double, Fault, World};
use gam_tests::program::Place;

use gam_tests::support::settled;

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
    let step = (settled() - TimeDelta::days(10) - born) / (count as i32);
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
        1 if merge => thread.then(opened + TimeDelta::hours(30), Turn::Merged),
        _ => thread.then(opened + TimeDelta::hours(50), Turn::Closed { event: Some(1) }),
    };
    let late = settled() - TimeDelta::hours(number % 96 + 1);
    match number % 97 {
        2 | 4 | 8 if number % 5 != 1 => thread.then(late, Turn::Reopened),
        5 => thread.then(late, Turn::Edited),
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
        repo.pulls.push(Pull::new(turned(Thread::new(number, author(number), opened), true)));
    }
    for (opened, number) in opened(born, ISSUES).into_iter().zip(PULLS + 1..) {
        repo.issues.push(turned(Thread::new(number, author(number), opened), false));
    }
    world.repos.push(repo);
    world
}

fn collected(double: &Double, world: &World, since: &str) -> Place {
    let place = Place::with(double);
    place.run(&["collect", &world.org, "--since", since]).expect(0);
    place
}

fn is_right(place: &Place, world: &World, since: &str) {
    place.run(&["aggregate"]).expect(0);
    check(place.serve().address(), world, settled(), &range(since));
}

#[test]
fn a_long_list_is_read_from_both_ends_at_no_greater_cost() {
    let world = world();
    let double = Double::start(world.clone(), settled());
    let place = collected(&double, &world, SINCE);
    // One looks at the oldest. The first page of either end has 50 pull requests, the others have 100.
    assert!(double.count("PullRequests") <= 1 + 14 + 2, "{:?}", double.log());
    assert!(double.count("Issues") <= 1 + 7 + 2, "{:?}", double.log());
    is_right(&place, &world, SINCE);
    let before = double.requests();
    place.run(&["collect", &world.org]).expect(0);
    assert_eq!(double.requests() - before, 1, "nothing has changed");
}

#[test]
fn a_long_list_of_which_a_part_is_asked_for_is_read_from_the_top() {
    let (world, since) = (world(), "2022-01-01");
    let double = Double::start(world.clone(), settled());
    let place = collected(&double, &world, since);
    let asked = world.repos[0].pulls.iter().filter(|pull| pull.updated_at(settled()) >= at(since)).count();
    assert!(double.count("PullRequests") <= 1 + 1 + (asked - 50).div_ceil(100), "{:?}", double.log());
    is_right(&place, &world, since);
    // Then all of it.
    place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    is_right(&place, &world, SINCE);
}

#[test]
fn what_changes_while_it_is_read_from_both_ends_is_not_lost() {
    let world = world();
    let clean = Double::start(world.clone(), settled());
    collected(&clean, &world, SINCE);

    let begun = settled() - TimeDelta::days(4);
    let double = Double::start(world.clone(), begun);
    let place = Place::with(&double);
    let mut stops = 0;
    for (skip, hours) in [(4, 23), (3, 51), (2, 94)] {
        double.plan("PullRequests", skip, 1, Fault::RateLimited(36_000));
        place.run(&["collect", &world.org, "--since", SINCE, "--max-wait", "1s"]).expect(75);
        stops += 1;
        double.set_now(begun + TimeDelta::hours(hours));
    }
    place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    double.set_now(settled());
    place.run(&["collect", &world.org]).expect(0);
    // The refused one, perhaps one from the other end, and at the end what has changed.
    let most = clean.count("PullRequests") + 2 * stops + 3;
    assert!(double.count("PullRequests") <= most, "{} of {most}", double.count("PullRequests"));
    is_right(&place, &world, SINCE);
}

#[test]
fn a_place_that_github_has_forgotten_begins_the_walk_anew() {
    let world = world();
    let double = Double::start(world.clone(), settled());
    let place = Place::with(&double);
    double.plan("PullRequests", 6, 1, Fault::RateLimited(36_000));
    place.run(&["collect", &world.org, "--since", SINCE, "--max-wait", "1s"]).expect(75);
    double.plan("PullRequests", 0, 1, Fault::UnknownCursor);
    place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    assert_eq!(double.faults_left(), 0);
    is_right(&place, &world, SINCE);
}
