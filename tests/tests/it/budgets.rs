//! How many requests GitHub is sent: by an idle run, on an ordinary day, and by a first backfill.

use chrono::TimeDelta;
use gam_tests::github::world::{
    Account, PullRequest, Repo, Review, Signature, Thread, ThreadChange, Time, at,
};
use gam_tests::github::{Double, World};
use gam_tests::program::Sandbox;

/// The time of the backfill.
const NOW: &str = "2024-06-30T12:00:00Z";
/// 90 days before.
const SINCE: &str = "2024-04-01";
const REPOS: i64 = 30;
const DAYS: i64 = 200;

fn account(id: i64) -> Account {
    Account::user(&format!("member-{id}"), id)
}

/// Thirty repositories with a commit, an issue and a merged pull request with a review every other day, for 200
/// days up to `until`.
fn world(until: Time) -> World {
    let mut world = World::new("acme");
    for id in 1..=REPOS {
        let start = at(NOW) - TimeDelta::days(DAYS);
        let mut repo = Repo::new(id, &format!("repo-{id:02}"), start);
        let author = account(id % 5 + 1);
        let signature =
            Signature::new(&author.login, &format!("{}@work.example", author.login), Some(author.clone()));
        let mut tip: Option<String> = None;
        for step in 0..(until - start).num_days() / 2 {
            let when = start + TimeDelta::days(2 * step) + TimeDelta::hours(9);
            let parents: Vec<&str> = tip.as_deref().into_iter().collect();
            let commit = repo.commit(&parents, when, &signature, Some([3, 1, 1]));
            repo.push(when, &commit);
            tip = Some(commit);
            let thread = |number, at| Thread::new(number, Some(author.clone()), at);
            repo.issues.push(thread(2 * step + 1, when));
            let merged = when + TimeDelta::hours(2);
            let pull = thread(2 * step + 2, when).with_change(merged, ThreadChange::Merged);
            let mut pull = PullRequest::new(pull);
            pull.reviews = vec![Review::new(1_000 * id + step, Some(account(9)), when + TimeDelta::hours(1))];
            repo.pulls.push(pull);
        }
        world.repos.push(repo);
    }
    world
}

fn requests(double: &Double, run: impl FnOnce()) -> (usize, Vec<String>) {
    let before = double.request_count();
    run();
    (double.request_count() - before, double.log()[before..].to_vec())
}

#[test]
fn requests_stay_within_the_budget() {
    let double = Double::start(world(at(NOW)), at(NOW));
    let sandbox = Sandbox::with_github(&double);
    let collect = || {
        sandbox.run(&["collect", "acme", "--since", SINCE]).expect_status(0);
    };
    // A page of commits, issues and pull requests of each repository, and the probe.
    let (backfill, log) = requests(&double, collect);
    assert!(backfill <= 1 + 3 * REPOS as usize, "{backfill}: {log:?}");
    // A repository that has not changed costs nothing. One request is enough for a hundred.
    let (idle, log) = requests(&double, collect);
    assert_eq!(idle, 1, "{log:?}");
    // A comparison of everything: two probes, two times two counts for each twenty repositories, and a page of
    // the pull requests of each.
    sandbox.run(&["aggregate"]).expect_status(0);
    let (reconcile, log) = requests(&double, || {
        let run = sandbox.run(&["collect", "acme", "--reconcile"]).expect_status(0);
        assert!(run.text().contains("nothing differs"), "{run:?}");
    });
    assert!(reconcile <= 2 + 2 * 2 + REPOS as usize, "{reconcile}: {log:?}");
    // An ordinary day: half of the repositories change each day, here all of them within two days. The new
    // commits take a comparison and a page.
    let later = at(NOW) + TimeDelta::days(2);
    double.set_world(world(later));
    double.set_now(later);
    let (day, log) = requests(&double, collect);
    assert!(day <= 1 + 4 * REPOS as usize, "{day}: {log:?}");
    let (idle, log) = requests(&double, collect);
    assert_eq!(idle, 1, "{log:?}");
}
