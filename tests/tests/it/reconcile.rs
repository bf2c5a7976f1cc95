//! What GitHub does not tell as a change is found by comparing, and repaired.

use chrono::TimeDelta;
use gam_tests::answers::check;
use gam_tests::github::world::{Signature, Turn, at};
use gam_tests::github::{Double, World, generated};
use gam_tests::program::Place;

use crate::support::{SINCE, batches, settled, whole};

fn collected(world: &World) -> (Double, Place) {
    let double = Double::start(world.clone(), settled());
    let place = Place::with(&double);
    place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    place.run(&["aggregate"]).expect(0);
    (double, place)
}

/// The same world, as GitHub shows it once it is not mistaken any more: nothing in it says that it
/// changed.
pub(crate) fn told_otherwise(world: &World) -> World {
    let mut other = world.clone();
    // An issue was deleted, or moved away.
    other.repos[0].issues.remove(3);
    // An issue and a pull request were closed long ago.
    let early = |created| created + TimeDelta::seconds(7);
    let issue = other.repos[1].issues.iter_mut().find(|issue| issue.turns.is_empty()).expect("a quiet one");
    issue.turns.insert(0, (early(issue.created_at), Turn::Closed { event: Some(0) }));
    let pulls = other.repos[1].pulls.iter_mut();
    let pull = pulls.map(|pull| &mut pull.thread).find(|pull| pull.turns.is_empty()).expect("a quiet one");
    pull.turns.insert(0, (early(pull.created_at), Turn::Closed { event: None }));
    // A history has an ancestor more, and another has one less.
    let author = Signature::new("Late", "late@elsewhere.example", None);
    let repo = &mut other.repos[0];
    let late = repo.commit(&[], at("2023-12-12T01:00:00Z"), &author, Some([5, 1, 1]));
    let root = repo.commits.values_mut().find(|commit| commit.parents.is_empty() && commit.sha != late);
    root.expect("a first commit").parents.push(late);
    let repo = &mut other.repos[3];
    let first = repo.commits.values().find(|commit| commit.parents.is_empty()).expect("one").sha.clone();
    repo.commits.values_mut().for_each(|commit| commit.parents.retain(|parent| *parent != first));
    other
}

#[test]
fn what_agrees_is_left_alone_and_costs_little() {
    let world = generated::world(70);
    let (double, place) = collected(&world);
    let before = double.requests();
    let run = place.run(&["collect", &world.org, "--reconcile"]).expect(0);
    assert!(run.text().contains("nothing differs") || run.stderr.contains("nothing differs"), "{run:?}");
    assert!(batches(&place).is_empty(), "nothing was written");
    // Twice the probe, what may still succeed, drafts, two counts of all repositories.
    assert!(double.requests() - before <= 8, "{}", double.log()[before..].join(", "));
    check(place.serve().address(), &world, settled(), &whole());
}

#[test]
fn what_github_shows_otherwise_is_repaired() {
    for seed in [71, 72] {
        let world = generated::world(seed);
        let (double, place) = collected(&world);
        let other = told_otherwise(&world);
        double.set_world(other.clone());
        place.run(&["collect", &world.org]).expect(0);
        place.run(&["aggregate"]).expect(0);
        check(place.serve().address(), &world, settled(), &whole());
        let run = place.run(&["collect", &world.org, "--reconcile"]).expect(0);
        assert!(run.text().contains("differed from GitHub"), "{run:?}");
        check(place.serve().address(), &other, settled(), &whole());
        // And when a history is as it was again, it is followed.
        let mut back = other.clone();
        for at in [0, 3] {
            back.repos[at].commits = world.repos[at].commits.clone();
        }
        double.set_world(back.clone());
        place.run(&["collect", &world.org, "--reconcile"]).expect(0);
        check(place.serve().address(), &back, settled(), &whole());
    }
}

#[test]
fn where_only_some_months_were_read_only_those_are_compared() {
    let world = generated::world(73);
    let double = Double::start(world.clone(), settled());
    let place = Place::with(&double);
    place.run(&["collect", &world.org, "--since", "2024-02-01"]).expect(0);
    let run = place.run(&["collect", &world.org, "--reconcile"]).expect(0);
    assert!(run.text().contains("nothing differs"), "{run:?}");
    assert!(batches(&place).is_empty());
}
