//! The tip of the default branch moves: it is pushed over, and back, and further than GitHub compares.

use chrono::TimeDelta;
use gam_tests::answers::assert_matches_reference;
use gam_tests::github::world::{Account, Repo, Signature, at};
use gam_tests::github::{Double, Fault, World};
use gam_tests::program::Sandbox;

use gam_tests::support::{SINCE, batches, collect_and_aggregate, full_range, settled_at};

/// Adds so many commits behind a tip, and gives the last.
fn grow(repo: &mut Repo, tip: Option<&str>, count: usize) -> String {
    let author = Signature::new("Ann", "ann@work.example", Some(Account::user("Ann", 11)));
    let mut tip = tip.map(str::to_owned);
    for _ in 0..count {
        let date = at("2024-01-01") + TimeDelta::hours(repo.commits.len() as i64);
        let parents: Vec<&str> = tip.as_deref().into_iter().collect();
        tip = Some(repo.commit(&parents, date, &author, Some([3, 1, 1])));
    }
    tip.expect("a commit")
}

/// One repository, collected, whose tip has so many commits that another one, never pushed yet, has not.
struct MovedTip {
    world: World,
    tip: String,
    other: String,
    double: Double,
    sandbox: Sandbox,
}

impl MovedTip {
    fn new(ahead: usize) -> Self {
        let mut world = World::new("Push-Works");
        world.members = vec![Account::user("Ann", 11)];
        let mut repo = Repo::new(61_000, "moving", at("2024-01-01"));
        let base = grow(&mut repo, None, 15);
        let tip = grow(&mut repo, Some(&base), ahead);
        let other = grow(&mut repo, Some(&base), 2);
        repo.push(settled_at() - TimeDelta::days(1), &tip);
        world.repos.push(repo);
        let double = Double::start(world.clone(), settled_at());
        let sandbox = Sandbox::with_github(&double);
        collect_and_aggregate(&sandbox, &world.org);
        MovedTip { world, tip, other, double, sandbox }
    }

    /// Pushes a tip.
    fn push(&mut self, tip: &str) {
        self.world.repos[0].push(settled_at() - TimeDelta::minutes(10), tip);
        self.double.set_world(self.world.clone());
    }

    /// Lets the next comparison of two tips fail.
    fn fail_comparison(&self, base: &str, head: &str, fault: Fault) {
        let path = format!("/api/v3/repos/Push-Works/moving/compare/{base}...{head}");
        self.double.plan_fault(path.leak(), 0, 1, fault);
    }

    /// A collection that ends with that status, for the faults that were planned.
    fn collect(&self, status: i32) {
        let args = ["collect", &self.world.org, "--since", SINCE, "--max-wait", "1s"];
        let run = self.sandbox.run(&args).expect_status(status);
        assert_eq!(self.double.pending_faults(), 0, "{run:?} {}", self.double.log().join(", "));
    }

    /// Collects, and holds the answers against the world.
    fn ends_right(&self) {
        collect_and_aggregate(&self.sandbox, &self.world.org);
        assert_matches_reference(self.sandbox.serve().address(), &self.world, settled_at(), &full_range());
    }
}

#[test]
fn what_an_abandoned_move_took_back_is_told_again() {
    let limit = Fault::RateLimited(36_000);
    for goes_on in [false, true] {
        let mut scenario = MovedTip::new(5);
        let (before, tip, other) = (scenario.world.clone(), scenario.tip.clone(), scenario.other.clone());
        // What is gone is taken back, and what is new is not read any more.
        scenario.push(&other);
        scenario.double.plan_fault("CommitsByOid", 0, 1, limit);
        scenario.collect(75);
        assert!(!batches(&scenario.sandbox).is_empty(), "something was taken back");
        scenario.sandbox.run(&["aggregate"]).expect_status(0);
        // The branch is where it was, or further on from there, and of the other tip GitHub knows nothing.
        scenario.world = before;
        let tip = if goes_on { grow(&mut scenario.world.repos[0], Some(&tip), 3) } else { tip };
        scenario.push(&tip);
        // This run is stopped too, before it has read anything.
        scenario.double.plan_fault("Commits", 0, 1, limit);
        scenario.collect(75);
        scenario.ends_right();
    }
}

#[test]
fn a_comparison_that_ends_early_is_done_without() {
    let mut scenario = MovedTip::new(5);
    let old = scenario.tip.clone();
    let tip = grow(&mut scenario.world.repos[0], Some(&old), 150);
    scenario.push(&tip);
    scenario.fail_comparison(&old, &tip, Fault::MissingNextLink);
    scenario.collect(0);
    scenario.ends_right();
}

#[test]
fn so_is_one_of_what_a_push_took_away() {
    let mut scenario = MovedTip::new(150);
    let (old, tip) = (scenario.tip.clone(), scenario.other.clone());
    scenario.push(&tip);
    scenario.fail_comparison(&tip, &old, Fault::MissingNextLink);
    scenario.collect(0);
    scenario.ends_right();
}

#[test]
fn a_repository_that_is_hidden_for_a_while_is_taken_for_no_tip_that_is_gone() {
    let mut scenario = MovedTip::new(5);
    let (old, tip) = (scenario.tip.clone(), scenario.other.clone());
    scenario.push(&tip);
    scenario.fail_comparison(&old, &tip, Fault::Status(404));
    // The new history is read, and then the old one cannot be.
    scenario.double.plan_fault("Commits", 1, 1, Fault::Status(404));
    scenario.collect(3);
    scenario.ends_right();
}
