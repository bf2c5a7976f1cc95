//! Tip moves of the default branch: force-pushes, there and back, and further than GitHub compares.

use chrono::TimeDelta;
use gam_tests::answers::assert_matches_reference;
use gam_tests::github::world::{Account, Repo, Signature, at};
use gam_tests::github::{Double, Fault, World};
use gam_tests::program::Sandbox;

use gam_tests::support::{SINCE, batches, collect_and_aggregate, full_range, settled_at};

/// Adds `count` commits on top of a tip, and returns the last.
fn add_commits(repo: &mut Repo, tip: Option<&str>, count: usize) -> String {
    let author = Signature::new("Ann", "ann@work.example", Some(Account::user("Ann", 11)));
    let mut tip = tip.map(str::to_owned);
    for _ in 0..count {
        let date = at("2024-01-01") + TimeDelta::hours(repo.commits.len() as i64);
        let parents: Vec<&str> = tip.as_deref().into_iter().collect();
        tip = Some(repo.commit(&parents, date, &author, Some([3, 1, 1])));
    }
    tip.expect("a commit")
}

/// One collected repository, and another tip that has not been pushed yet.
struct MovedTip {
    world: World,
    tip: String,
    other: String,
    double: Double,
    sandbox: Sandbox,
}

impl MovedTip {
    /// Creates and collects a repository whose tip has `ahead` commits that the other tip has not.
    fn new(ahead: usize) -> Self {
        let mut world = World::new("Push-Works");
        world.members = vec![Account::user("Ann", 11)];
        let mut repo = Repo::new(61_000, "moving", at("2024-01-01"));
        let base = add_commits(&mut repo, None, 15);
        let tip = add_commits(&mut repo, Some(&base), ahead);
        let other = add_commits(&mut repo, Some(&base), 2);
        repo.push(settled_at() - TimeDelta::days(1), &tip);
        world.repos.push(repo);
        let double = Double::start(world.clone(), settled_at());
        let sandbox = Sandbox::with_github(&double);
        collect_and_aggregate(&sandbox, &world.org);
        MovedTip { world, tip, other, double, sandbox }
    }

    /// Moves the default branch to a tip.
    fn push(&mut self, tip: &str) {
        self.world.repos[0].push(settled_at() - TimeDelta::minutes(10), tip);
        self.double.set_world(self.world.clone());
    }

    /// Makes the next comparison of two tips fail.
    fn fail_comparison(&self, base: &str, head: &str, fault: Fault) {
        let path = format!("/api/v3/repos/Push-Works/moving/compare/{base}...{head}");
        self.double.plan_fault(path.leak(), 0, 1, fault);
    }

    /// Collects. The run must meet all planned faults and exit with this status.
    fn collect(&self, status: i32) {
        let args = ["collect", &self.world.org, "--since", SINCE, "--max-wait", "1s"];
        let run = self.sandbox.run(&args).expect_status(status);
        assert_eq!(self.double.pending_faults(), 0, "{run:?} {}", self.double.log().join(", "));
    }

    /// Collects and aggregates without faults, and compares the answers with the reference.
    fn assert_recovers(&self) {
        collect_and_aggregate(&self.sandbox, &self.world.org);
        assert_matches_reference(self.sandbox.serve().address(), &self.world, settled_at(), &full_range());
    }
}

#[test]
fn events_that_an_abandoned_move_retracted_are_restored() {
    let limit = Fault::RateLimited(36_000);
    for continues in [false, true] {
        let mut scenario = MovedTip::new(5);
        let (before, tip, other) = (scenario.world.clone(), scenario.tip.clone(), scenario.other.clone());
        // The run retracts the unreachable commits and stops before it reads the new ones.
        scenario.push(&other);
        scenario.double.plan_fault("CommitsByOid", 0, 1, limit);
        scenario.collect(75);
        assert!(!batches(&scenario.sandbox).is_empty(), "the run wrote retractions");
        scenario.sandbox.run(&["aggregate"]).expect_status(0);
        // The branch is back at its old tip or ahead of it, and GitHub no longer knows the other tip.
        scenario.world = before;
        let tip = if continues { add_commits(&mut scenario.world.repos[0], Some(&tip), 3) } else { tip };
        scenario.push(&tip);
        // This run is stopped too, before it reads anything.
        scenario.double.plan_fault("Commits", 0, 1, limit);
        scenario.collect(75);
        scenario.assert_recovers();
    }
}

#[test]
fn an_incomplete_comparison_of_added_commits_is_not_used() {
    let mut scenario = MovedTip::new(5);
    let old_tip = scenario.tip.clone();
    let tip = add_commits(&mut scenario.world.repos[0], Some(&old_tip), 150);
    scenario.push(&tip);
    scenario.fail_comparison(&old_tip, &tip, Fault::MissingNextLink);
    scenario.collect(0);
    scenario.assert_recovers();
}

#[test]
fn an_incomplete_comparison_of_removed_commits_is_not_used() {
    let mut scenario = MovedTip::new(150);
    let (old_tip, tip) = (scenario.tip.clone(), scenario.other.clone());
    scenario.push(&tip);
    scenario.fail_comparison(&tip, &old_tip, Fault::MissingNextLink);
    scenario.collect(0);
    scenario.assert_recovers();
}

#[test]
fn a_temporarily_hidden_repository_retracts_nothing() {
    let mut scenario = MovedTip::new(5);
    let (old_tip, tip) = (scenario.tip.clone(), scenario.other.clone());
    scenario.push(&tip);
    scenario.fail_comparison(&old_tip, &tip, Fault::Status(404));
    // The new history is read, and reading the old one fails.
    scenario.double.plan_fault("Commits", 1, 1, Fault::NotFound);
    scenario.collect(3);
    scenario.assert_recovers();
}
