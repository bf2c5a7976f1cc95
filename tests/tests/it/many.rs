//! An organization with ten thousand repositories, most of them idle.

use std::process::Child;
use std::time::Duration;

use chrono::TimeDelta;
use gam_tests::answers::assert_matches_reference;
use gam_tests::github::world::{Account, Repo, Signature, Thread, at};
use gam_tests::github::{Double, World};
use gam_tests::program::{Sandbox, memory_kb};

use gam_tests::support::{SINCE, full_range, settled_at};

const REPO_COUNT: i64 = 10_000;

fn world() -> World {
    let ann = Account::user("Ann", 11);
    let author = Signature::new("Ann", "ann@work.example", Some(ann.clone()));
    let mut world = World::new("Many-Works");
    world.members = vec![ann.clone()];
    for number in 0..REPO_COUNT {
        let created_at = at("2023-12-20");
        let mut repo = Repo::new(50_000 + number, &format!("repo-{number:05}"), created_at);
        if number % 100 == 0 {
            let tip = repo.commit(&[], created_at + TimeDelta::hours(1), &author, Some([3, 1, 1]));
            repo.push(created_at + TimeDelta::hours(2), &tip);
            repo.issues.push(Thread::new(1, Some(ann.clone()), created_at + TimeDelta::hours(3)));
        }
        world.repos.push(repo);
    }
    world
}

/// Waits for the program. Returns its exit status and peak memory in kB (0 if the system does not report it).
fn wait_and_measure(mut child: Child) -> (Option<i32>, u64) {
    let mut peak_kb = 0;
    loop {
        peak_kb = peak_kb.max(memory_kb(child.id(), "VmHWM").unwrap_or(0));
        if let Some(ended) = child.try_wait().expect("its status") {
            return (ended.code(), peak_kb);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn looking_for_changes_takes_few_requests_and_little_memory() {
    let mut world = world();
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert!(double.request_count() < 320, "{}", double.request_count());
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());

    let before = double.request_count();
    let (status, peak_kb) = wait_and_measure(sandbox.spawn(&["collect", &world.org]));
    assert_eq!(status, Some(0));
    assert_eq!(double.request_count() - before, 100, "one request for each hundred repositories");
    assert!(peak_kb < 200_000, "{peak_kb} kB");

    let repo = &mut world.repos[4_321];
    let author = Signature::new("Ann", "ann@work.example", Some(world.members[0].clone()));
    let tip = repo.commit(&[], settled_at() - TimeDelta::hours(5), &author, Some([7, 0, 1]));
    repo.push(settled_at() - TimeDelta::hours(4), &tip);
    double.set_world(world.clone());
    let before = double.request_count();
    sandbox.run(&["collect", &world.org]).expect_status(0);
    assert!(double.request_count() - before <= 103, "at most three more for one commit");
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}
