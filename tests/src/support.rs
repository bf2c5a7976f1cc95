//! What several tests need: the generated world, ranges to ask for, files to look at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::answers::{day, fetch_all};
use crate::github::world::{PullRequest, Repo, Signature, ThreadChange, Time, at};
use crate::github::{Double, World, generated};
use crate::program::Sandbox;
use chrono::{NaiveDate, TimeDelta};

/// Before anything in the world began.
pub const SINCE: &str = "2023-11-01";

/// A day after everything in the world has settled.
pub fn settled_at() -> Time {
    at("2024-04-27T12:00:00Z")
}

/// Everything, a part that cuts weeks and months, and two days.
pub fn ranges() -> [(NaiveDate, NaiveDate); 3] {
    [
        (day(SINCE), day("2024-05-01")),
        (day("2023-12-20"), day("2024-02-29")),
        (day("2024-02-28"), day("2024-03-01")),
    ]
}

/// Everything.
pub fn full_range() -> [(NaiveDate, NaiveDate); 1] {
    [(day(SINCE), day("2024-05-01"))]
}

/// Collects and aggregates what the double shows.
pub fn collect_and_aggregate(sandbox: &Sandbox, org: &str) {
    sandbox.run(&["collect", org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
}

/// The generated world of a seed, collected and aggregated at once.
pub fn backfilled(seed: u64) -> (World, Double, Sandbox) {
    let world = generated::world(seed);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    collect_and_aggregate(&sandbox, &world.org);
    (world, double, sandbox)
}

/// What the place's API answers.
pub fn fetch_answers(sandbox: &Sandbox, world: &World, now: Time) -> BTreeMap<String, String> {
    let server = sandbox.serve();
    fetch_all(server.address(), world, now, &ranges())
}

/// Every file below a directory.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("an entry of a directory").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The batches in the inbox.
pub fn batches(sandbox: &Sandbox) -> Vec<PathBuf> {
    files(&sandbox.lake_dir().join("inbox"))
}

/// A runtime for what is asynchronous.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The same world, as GitHub shows it once it is not mistaken any more: nothing in it says that it
/// changed.
pub fn silently_changed(world: &World) -> World {
    let mut other = world.clone();
    // An issue was deleted, or moved away.
    other.repos[0].issues.remove(3);
    // So was a pull request: the account that opened it is under suspicion.
    let pulls = &mut other.repos[0].pulls;
    let is_reviewed = |pull: &PullRequest| {
        let mut reviews = pull.reviews.iter();
        reviews.any(|review| review.submitted_at.is_some() && review.author != pull.thread.author)
    };
    let reviewed = pulls.iter().position(is_reviewed).expect("one with reviews");
    pulls.remove(reviewed);
    // An issue and a pull request were closed long ago.
    let early = |created| created + TimeDelta::seconds(7);
    let issue = other.repos[1].issues.iter_mut().find(|issue| issue.changes.is_empty()).expect("a quiet one");
    issue.changes.insert(0, (early(issue.created_at), ThreadChange::Closed { event: Some(0) }));
    let pulls = other.repos[1].pulls.iter_mut();
    let pull = pulls.map(|pull| &mut pull.thread).find(|pull| pull.changes.is_empty()).expect("a quiet one");
    pull.changes.insert(0, (early(pull.created_at), ThreadChange::Closed { event: None }));
    // A history has an ancestor more, and another has one less.
    let author = Signature::new("Late", "late@elsewhere.example", None);
    let repo = &mut other.repos[0];
    let late = repo.commit(&[], at("2023-12-12T01:00:00Z"), &author, Some([5, 1, 1]));
    let root = repo.commits.values_mut().find(|commit| commit.parents.is_empty() && commit.sha != late);
    root.expect("a first commit").parents.push(late);
    let first = first_commit(&other.repos[3]);
    detach_commit(&mut other.repos[3], &first);
    other
}

/// The first commit of a repository.
pub fn first_commit(repo: &Repo) -> String {
    let mut commits = repo.commits.values();
    commits.find(|commit| commit.parents.is_empty()).expect("a first commit").sha.clone()
}

/// Makes a commit no ancestor of any other.
pub fn detach_commit(repo: &mut Repo, sha: &str) {
    repo.commits.values_mut().for_each(|commit| commit.parents.retain(|parent| parent != sha));
}
