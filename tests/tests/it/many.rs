//! An organization with ten thousand repositories, most of them idle.

use std::process::Child;
use std::time::Duration;

use chrono::TimeDelta;
use gam_tests::answers::assert_matches_reference;
use gam_tests::github::world::{Account, Repo, Signature, Thread, at};
use gam_tests::github::{Double, World};
use gam_tests::program::{Sandbox, memory_kb};

use gam_tests::support::{SINCE, full_range, settled_at};

const REPOS: i64 = 10_000;

fn world() -> World {
    let ann = Account::user("Ann", 11);
    let author = Signature::new("Ann", "ann@work.example", Some(ann.clone()));
    let mut world = World::new("Many-Works");
    world.members = vec![ann.clone()];
    for number in 0..REPOS {
        let born = at("2023-12-20");
        let mut repo = Repo::new(50_000 + number, &format!("repo-{number:05}"), born);
        if number % 100 == 0 {
            let tip = repo.commit(&[], born + TimeDelta::hours(1), &author, Some([3, 1, 1]));
            repo.push(born + TimeDelta::hours(2), &tip);
            repo.issues.push(Thread::new(1, Some(ann.clone()), born + TimeDelta::hours(3)));
        }
        world.repos.push(repo);
    }
    world
}

/// Waits for the program; how it ended, and how much memory it had at most, in kB, where that is known.
fn watched(mut child: Child) -> (Option<i32>, u64) {
    let mut most = 0;
    loop {
        most = most.max(memory_kb(child.id(), "VmHWM").unwrap_or(0));
        if let Some(ended) = child.try_wait().expect("its status") {
            return (ended.code(), most);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn looking_for_changes_takes_a_request_a_hundred_repositories_and_little_memory() {
    let mut world = world();
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert!(double.request_count() < 320, "{}", double.request_count());
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());

    let before = double.request_count();
    let (status, most_kb) = watched(sandbox.spawn(&["collect", &world.org]));
    assert_eq!(status, Some(0));
    assert_eq!(double.request_count() - before, 100, "one for a hundred repositories");
    assert!(most_kb < 200_000, "{most_kb} kB");

    let repo = &mut world.repos[4_321];
    let author = Signature::new("Ann", "ann@work.example", Some(world.members[0].clone()));
    let tip = repo.commit(&[], settled_at() - TimeDelta::hours(5), &author, Some([7, 0, 1]));
    repo.push(settled_at() - TimeDelta::hours(4), &tip);
    double.set_world(world.clone());
    let before = double.request_count();
    sandbox.run(&["collect", &world.org]).expect_status(0);
    assert!(double.request_count() - before <= 103, "a handful for one commit");
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}
