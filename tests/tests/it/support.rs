//! What several tests need: the generated world, ranges to ask for, files to look at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use gam_tests::answers::{all, day};
use gam_tests::github::world::{Time, at};
use gam_tests::github::{Double, World, generated};
use gam_tests::program::Place;

/// Before anything in the world began.
pub(crate) const SINCE: &str = "2023-11-01";

/// A day after everything in the world has settled.
pub(crate) fn settled() -> Time {
    at("2024-04-27T12:00:00Z")
}

/// Everything, a part that cuts weeks and months, and two days.
pub(crate) fn ranges() -> [(NaiveDate, NaiveDate); 3] {
    [
        (day(SINCE), day("2024-05-01")),
        (day("2023-12-20"), day("2024-02-29")),
        (day("2024-02-28"), day("2024-03-01")),
    ]
}

/// Everything.
pub(crate) fn whole() -> [(NaiveDate, NaiveDate); 1] {
    [(day(SINCE), day("2024-05-01"))]
}

/// Collects and aggregates what the double shows.
pub(crate) fn collect_and_aggregate(place: &Place, org: &str) {
    place.run(&["collect", org, "--since", SINCE]).expect(0);
    place.run(&["aggregate"]).expect(0);
}

/// The generated world of a seed, collected and aggregated at once.
pub(crate) fn backfilled(seed: u64) -> (World, Double, Place) {
    let world = generated::world(seed);
    let double = Double::start(world.clone(), settled());
    let place = Place::with(&double);
    collect_and_aggregate(&place, &world.org);
    (world, double, place)
}

/// What the place's API answers.
pub(crate) fn answers(place: &Place, world: &World, now: Time) -> BTreeMap<String, String> {
    let serving = place.serve();
    all(serving.address(), world, now, &ranges())
}

/// Every file below a directory.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
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
pub(crate) fn batches(place: &Place) -> Vec<PathBuf> {
    files(&place.lake().join("inbox"))
}

/// A runtime for what is asynchronous.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
