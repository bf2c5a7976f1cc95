//! What GitHub does not tell as a change is found by comparing, and repaired.

use chrono::TimeDelta;
use gam_tests::answers::assert_matches_reference;
use gam_tests::github::world::Repo;
use gam_tests::github::{Double, Fault, World, generated};
use gam_tests::program::Sandbox;

use gam_tests::support::{
    SINCE, batches, detach_commit, first_commit, full_range, settled_at, silently_changed,
};

fn collected(world: &World) -> (Double, Sandbox) {
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    (double, sandbox)
}

#[test]
fn what_agrees_is_left_alone_and_costs_little() {
    let world = generated::world(70);
    let (double, sandbox) = collected(&world);
    let before = double.request_count();
    let run = sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
    assert!(run.text().contains("nothing differs") || run.stderr.contains("nothing differs"), "{run:?}");
    assert!(batches(&sandbox).is_empty(), "nothing was written");
    // Twice the probe, what may still succeed, drafts, two counts of all repositories.
    assert!(double.request_count() - before <= 8, "{}", double.log()[before..].join(", "));
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn what_github_shows_otherwise_is_repaired() {
    for seed in [71, 72] {
        let world = generated::world(seed);
        let (double, sandbox) = collected(&world);
        let other = silently_changed(&world);
        double.set_world(other.clone());
        sandbox.run(&["collect", &world.org]).expect_status(0);
        sandbox.run(&["aggregate"]).expect_status(0);
        assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
        let run = sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
        assert!(run.text().contains("differed from GitHub"), "{run:?}");
        assert_matches_reference(sandbox.serve().address(), &other, settled_at(), &full_range());
        // And what is as it was again is followed, though nothing says that it has changed.
        let mut back = other.clone();
        back.repos[0].issues = world.repos[0].issues.clone();
        back.repos[0].pulls = world.repos[0].pulls.clone();
        for at in [0, 3] {
            back.repos[at].commits = world.repos[at].commits.clone();
        }
        double.set_world(back.clone());
        sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
        assert_matches_reference(sandbox.serve().address(), &back, settled_at(), &full_range());
        // What is back is told once.
        let run = sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
        for what in ["site: issues repaired", "site: pull requests repaired"] {
            assert!(!run.stderr.contains(what), "{run:?}");
        }
    }
}

#[test]
fn what_cannot_be_asked_for_is_not_taken_back() {
    let world = generated::world(74);
    let (double, sandbox) = collected(&world);
    let mut other = world.clone();
    other.repos[0].issues.remove(3);
    double.set_world(other.clone());
    // The repository is hidden at the moment at which the issue is looked for.
    double.plan_fault("IssueRest", 0, 1, Fault::Status(404));
    let run = sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(3);
    assert_eq!(double.pending_faults(), 0, "{}", double.log().join(", "));
    assert!(run.stderr.contains("could not be compared"), "{run:?}");
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
    sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &other, settled_at(), &full_range());
}

/// Makes GitHub refuse to count a commit's lines for some more hours.
fn refuse_to_count(repo: &mut Repo, sha: &str) {
    let commit = repo.commits.get_mut(sha).expect("a commit");
    (commit.lines, commit.uncounted_until) = (Some([9, 4, 2]), Some(settled_at() + TimeDelta::hours(30)));
}

#[test]
fn what_is_gone_is_not_counted_later() {
    let mut world = generated::world(75);
    let gone = first_commit(&world.repos[3]);
    refuse_to_count(&mut world.repos[3], &gone);
    let (double, sandbox) = collected(&world);
    // GitHub still shows the commit to who asks for it by its id.
    let mut other = world.clone();
    detach_commit(&mut other.repos[3], &gone);
    double.set_world(other.clone());
    sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &other, settled_at(), &full_range());
    let later = settled_at() + TimeDelta::hours(31);
    double.set_now(later);
    sandbox.run(&["collect", &world.org]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &other, later, &full_range());
}

#[test]
fn a_commit_that_is_not_shown_keeps_no_other_from_being_counted() {
    let mut world = generated::world(76);
    let repo = &mut world.repos[3];
    let gone = first_commit(repo);
    let counted = repo.commits.values().rev().find(|commit| commit.parents.len() == 1);
    let counted = counted.expect("one that is no merge").sha.clone();
    refuse_to_count(repo, &gone);
    refuse_to_count(repo, &counted);
    let (double, sandbox) = collected(&world);
    let mut other = world.clone();
    detach_commit(&mut other.repos[3], &gone);
    other.repos[3].tips.retain(|(_, tip)| *tip != gone);
    double.set_world(other.clone());
    let later = settled_at() + TimeDelta::hours(31);
    double.set_now(later);
    sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &other, later, &full_range());
}

#[test]
fn where_only_some_months_were_read_only_those_are_compared() {
    let world = generated::world(73);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    sandbox.run(&["collect", &world.org, "--since", "2024-02-01"]).expect_status(0);
    let run = sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
    assert!(run.text().contains("nothing differs"), "{run:?}");
    assert!(batches(&sandbox).is_empty());
}
