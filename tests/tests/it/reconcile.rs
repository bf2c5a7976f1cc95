//! `--reconcile` finds and repairs changes that GitHub does not report.

use chrono::TimeDelta;
use gam_tests::answers::assert_matches_reference;
use gam_tests::github::world::Repo;
use gam_tests::github::{Double, Fault, World, generated};
use gam_tests::program::Sandbox;

use gam_tests::support::{
    SINCE, batches, detach_commit, first_commit, full_range, settled_at, silently_changed,
};

fn collect(world: &World) -> (Double, Sandbox) {
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    (double, sandbox)
}

#[test]
fn reconcile_without_differences_writes_nothing_and_is_cheap() {
    let world = generated::world(70);
    let (double, sandbox) = collect(&world);
    let before = double.request_count();
    let run = sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
    assert!(run.text().contains("nothing differs") || run.stderr.contains("nothing differs"), "{run:?}");
    assert!(batches(&sandbox).is_empty(), "nothing was written");
    // Two probes, unsettled deployments, drafts, two counts of all repositories, and one page of the pull
    // requests and of the deployments of each of the four that have some.
    // Deployments with many statuses cost one more each.
    let log = double.log()[before..].to_vec();
    let requests = log.iter().filter(|kind| *kind != "DeploymentRest").count();
    assert!(requests <= 8 + 4 * 2, "{}", log.join(", "));
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn a_collection_and_its_comparison_are_one_json_document() {
    let world = generated::world(79);
    let (_double, sandbox) = collect(&world);
    let args = ["collect", &world.org, "--reconcile", "--format", "json"];
    let document = sandbox.run(&args).expect_status(0).json();
    assert_eq!(document["org"], world.org.as_str());
    assert_eq!(document["reconciliation"]["compared"], document["repos"]);
    assert_eq!(document["reconciliation"]["failed"], serde_json::json!([]));
    let without = sandbox.run(&["collect", &world.org, "--format", "json"]).expect_status(0).json();
    assert!(without.get("reconciliation").is_none(), "{without}");
}

#[test]
fn differences_from_github_are_repaired() {
    for seed in [71, 72] {
        let world = generated::world(seed);
        let (double, sandbox) = collect(&world);
        let changed = silently_changed(&world);
        double.set_world(changed.clone());
        sandbox.run(&["collect", &world.org]).expect_status(0);
        sandbox.run(&["aggregate"]).expect_status(0);
        // A collection finds what is gone from a list, by its length.
        let mut found = world.clone();
        found.repos[0].issues = changed.repos[0].issues.clone();
        found.repos[0].pulls = changed.repos[0].pulls.clone();
        assert_matches_reference(sandbox.serve().address(), &found, settled_at(), &full_range());
        let run = sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
        assert!(run.text().contains("differed from GitHub"), "{run:?}");
        assert_matches_reference(sandbox.serve().address(), &changed, settled_at(), &full_range());
        // Changing back is found too, although GitHub reports no change.
        let mut restored = changed.clone();
        restored.repos[0].issues = world.repos[0].issues.clone();
        restored.repos[0].pulls = world.repos[0].pulls.clone();
        for at in [0, 3] {
            restored.repos[at].commits = world.repos[at].commits.clone();
        }
        double.set_world(restored.clone());
        sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
        assert_matches_reference(sandbox.serve().address(), &restored, settled_at(), &full_range());
        // A repair is reported once.
        let run = sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
        for what in ["site: issues repaired", "site: pull requests repaired"] {
            assert!(!run.stderr.contains(what), "{run:?}");
        }
    }
}

#[test]
fn entries_that_cannot_be_requested_are_not_retracted() {
    let world = generated::world(74);
    let (double, sandbox) = collect(&world);
    let mut changed = world.clone();
    changed.repos[0].issues.remove(3);
    double.set_world(changed.clone());
    // The repository is hidden when the issue is looked up: by the collection, and by the comparison after it.
    double.plan_fault("ThreadsByNumber", 0, 2, Fault::NotFound);
    let run = sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(3);
    assert_eq!(double.pending_faults(), 0, "{}", double.log().join(", "));
    assert!(run.stderr.contains("cannot compare"), "{run:?}");
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
    sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &changed, settled_at(), &full_range());
}

/// Makes GitHub refuse to count a commit's lines for 30 hours.
fn hide_line_counts(repo: &mut Repo, sha: &str) {
    let commit = repo.commits.get_mut(sha).expect("a commit");
    (commit.lines, commit.uncounted_until) = (Some([9, 4, 2]), Some(settled_at() + TimeDelta::hours(30)));
}

#[test]
fn a_retracted_commit_gets_no_line_counts_later() {
    let mut world = generated::world(75);
    let detached = first_commit(&world.repos[3]);
    hide_line_counts(&mut world.repos[3], &detached);
    let (double, sandbox) = collect(&world);
    // GitHub still returns the commit by its id.
    let mut changed = world.clone();
    detach_commit(&mut changed.repos[3], &detached);
    double.set_world(changed.clone());
    sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &changed, settled_at(), &full_range());
    let later = settled_at() + TimeDelta::hours(31);
    double.set_now(later);
    sandbox.run(&["collect", &world.org]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &changed, later, &full_range());
}

#[test]
fn a_missing_commit_does_not_block_line_counts_of_others() {
    let mut world = generated::world(76);
    let repo = &mut world.repos[3];
    let detached = first_commit(repo);
    let counted = repo.commits.values().rev().find(|commit| commit.parents.len() == 1);
    let counted = counted.expect("a commit with one parent").sha.clone();
    hide_line_counts(repo, &detached);
    hide_line_counts(repo, &counted);
    let (double, sandbox) = collect(&world);
    let mut changed = world.clone();
    detach_commit(&mut changed.repos[3], &detached);
    changed.repos[3].tips.retain(|(_, tip)| *tip != detached);
    double.set_world(changed.clone());
    let later = settled_at() + TimeDelta::hours(31);
    double.set_now(later);
    sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &changed, later, &full_range());
}

#[test]
fn only_collected_months_are_compared() {
    let world = generated::world(73);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    sandbox.run(&["collect", &world.org, "--since", "2024-02-01"]).expect_status(0);
    let run = sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
    assert!(run.text().contains("nothing differs"), "{run:?}");
    assert!(batches(&sandbox).is_empty());
}
