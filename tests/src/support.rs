//! Helpers that several tests share: worlds, ranges, collected sandboxes and files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::answers::{day, fetch_all};
use crate::github::world::{PullRequest, Repo, Signature, ThreadChange, Time, at};
use crate::github::{Double, World, generated};
use crate::program::Sandbox;
use chrono::{NaiveDate, TimeDelta};

/// A day before the first event of the generated world.
pub const SINCE: &str = "2023-11-01";

/// A time after the last change of the generated world.
pub fn settled_at() -> Time {
    at("2024-04-27T12:00:00Z")
}

/// Ranges to query: everything, a range that cuts weeks and months, and two days.
pub fn ranges() -> [(NaiveDate, NaiveDate); 3] {
    [
        (day(SINCE), day("2024-05-01")),
        (day("2023-12-20"), day("2024-02-29")),
        (day("2024-02-28"), day("2024-03-01")),
    ]
}

/// The range that holds everything.
pub fn full_range() -> [(NaiveDate, NaiveDate); 1] {
    [(day(SINCE), day("2024-05-01"))]
}

/// Collects everything from the double, and aggregates it.
pub fn collect_and_aggregate(sandbox: &Sandbox, org: &str) {
    sandbox.run(&["collect", org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
}

/// Collects and aggregates the generated world of a seed in one backfill.
pub fn backfilled(seed: u64) -> (World, Double, Sandbox) {
    let world = generated::world(seed);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    collect_and_aggregate(&sandbox, &world.org);
    (world, double, sandbox)
}

/// Fetches what the sandbox's API answers to the sample requests.
pub fn fetch_answers(sandbox: &Sandbox, world: &World, now: Time) -> BTreeMap<String, String> {
    let server = sandbox.serve();
    fetch_all(server.address(), world, now, &ranges())
}

/// How often [`wait_for`] looks.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Polls until `poll` returns a value. `what` says what is waited for.
///
/// # Panics
/// If that takes longer than `limit`.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut poll: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(started.elapsed() < limit, "waited too long for {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Kills the program when `is_time` returns true. Returns false if it ended by itself before.
///
/// # Panics
/// If the process cannot be watched or killed.
pub fn kill_when(mut child: Child, is_time: impl Fn() -> bool) -> bool {
    while child.try_wait().expect("its status").is_none() {
        if is_time() {
            child.kill().expect("it can be killed");
            return child.wait().expect("its status").code().is_none();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// Kills the program after a time. Returns false if it ended by itself before.
pub fn kill_after(child: Child, delay: Duration) -> bool {
    let started = Instant::now();
    kill_when(child, || started.elapsed() >= delay)
}

/// Returns every file below a directory, sorted.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            paths.extend(files(&path));
        } else {
            paths.push(path);
        }
    }
    paths.sort();
    paths
}

/// Returns the files of the batches in the inbox.
pub fn batches(sandbox: &Sandbox) -> Vec<PathBuf> {
    files(&sandbox.lake_dir().join("inbox"))
}

/// Creates a runtime for asynchronous code.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Returns the world with changes that a normal collection does not notice. Only reconcile finds them.
pub fn silently_changed(world: &World) -> World {
    let mut changed = world.clone();
    // An issue was deleted or transferred.
    changed.repos[0].issues.remove(3);
    // A pull request is hidden because its author's account was flagged.
    let pulls = &mut changed.repos[0].pulls;
    let is_reviewed = |pull: &PullRequest| {
        let mut reviews = pull.reviews.iter();
        reviews.any(|review| review.submitted_at.is_some() && review.author != pull.thread.author)
    };
    let reviewed = pulls.iter().position(is_reviewed).expect("a pull request with reviews");
    pulls.remove(reviewed);
    // An issue and a pull request were closed long ago.
    let soon_after = |created| created + TimeDelta::seconds(7);
    let issue = changed.repos[1]
        .issues
        .iter_mut()
        .find(|issue| issue.changes.is_empty())
        .expect("a thread without changes");
    issue.changes.insert(0, (soon_after(issue.created_at), ThreadChange::Closed { event_offset_s: Some(0) }));
    let pulls = changed.repos[1].pulls.iter_mut();
    let pull = pulls
        .map(|pull| &mut pull.thread)
        .find(|pull| pull.changes.is_empty())
        .expect("a thread without changes");
    pull.changes.insert(0, (soon_after(pull.created_at), ThreadChange::Closed { event_offset_s: None }));
    // One history gains an ancestor, another loses one.
    let author = Signature::new("Late", "late@elsewhere.example", None);
    let repo = &mut changed.repos[0];
    let late = repo.commit(&[], at("2023-12-12T01:00:00Z"), &author, Some([5, 1, 1]));
    let root = repo.commits.values_mut().find(|commit| commit.parents.is_empty() && commit.sha != late);
    root.expect("a first commit").parents.push(late);
    let first = first_commit(&changed.repos[3]);
    detach_commit(&mut changed.repos[3], &first);
    changed
}

/// Returns the id of a repository's root commit.
pub fn first_commit(repo: &Repo) -> String {
    let mut commits = repo.commits.values();
    commits.find(|commit| commit.parents.is_empty()).expect("a first commit").sha.clone()
}

/// Removes a commit from the ancestors of all others.
pub fn detach_commit(repo: &mut Repo, sha: &str) {
    repo.commits.values_mut().for_each(|commit| commit.parents.retain(|parent| parent != sha));
}
