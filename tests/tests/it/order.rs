//! Order and duplicates do not matter, and rollups come from snapshots alone.

use std::collections::BTreeMap;
use std::path::Path;

use fastrand::Rng;
use gam_lake::{FileStore, inbox};
use gam_model::{Event, EventBatch};
use gam_tests::answers::assert_same;
use gam_tests::github::{Double, World, generated};
use gam_tests::program::Place;

use crate::support::{SINCE, answers, backfilled, batches, collect_and_aggregate, runtime, settled};

/// The events of the inbox, batch by batch.
fn read(lake: &Path, org: &str) -> Vec<Vec<Event>> {
    let objects = FileStore::open(lake).expect("a lake");
    runtime().block_on(async {
        let mut read = Vec::new();
        for batch in inbox::list(&objects, org).await.expect("the inbox is listed") {
            read.push(inbox::read(&objects, &batch.path).await.expect("a batch").expect("it is there"));
        }
        read
    })
}

fn write(lake: &Path, org: &str, batches: impl IntoIterator<Item = Vec<Event>>) {
    let objects = FileStore::open(lake).expect("a lake");
    runtime().block_on(async {
        for events in batches {
            inbox::put(&objects, &EventBatch::new(org, events)).await.expect("a batch is written");
        }
    });
}

/// What is answered after the batches were written and aggregated, round by round.
fn answered(world: &World, rounds: Vec<Vec<Vec<Event>>>) -> BTreeMap<String, String> {
    let place = Place::new();
    for batches in rounds {
        write(&place.lake(), &world.org, batches);
        place.run(&["aggregate"]).expect(0);
    }
    assert!(batches(&place).is_empty());
    answers(&place, world, settled())
}

/// Batches that were collected over several steps: many facts are told in several versions.
fn collected(seed: u64) -> (World, Vec<Vec<Event>>) {
    let world = generated::world(seed);
    let moments = generated::moments(seed, 5);
    let double = Double::start(world.clone(), moments[0]);
    let place = Place::with(&double);
    for now in moments {
        double.set_now(now);
        place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    }
    let batches = read(&place.lake(), &world.org);
    (world, batches)
}

#[test]
fn batches_may_come_in_any_order_any_cut_and_any_number_of_times() {
    let (world, batches) = collected(7);
    let mut rng = Rng::with_seed(7);
    let expected = answered(&world, vec![batches.clone()]);

    let mut events: Vec<Event> = batches.iter().flatten().cloned().collect();
    let repeated: Vec<Event> = events.iter().filter(|_| rng.u32(..3) == 0).cloned().collect();
    events.extend(repeated);
    rng.shuffle(&mut events);
    let cut = |events: &[Event], size: usize| -> Vec<Vec<Event>> {
        events.chunks(size).map(<[Event]>::to_vec).collect()
    };
    assert_same(&expected, &answered(&world, vec![cut(&events, 97)]));

    let mut reversed = batches.clone();
    reversed.reverse();
    let thirds = reversed.chunks(reversed.len().div_ceil(3)).map(<[_]>::to_vec);
    assert_same(&expected, &answered(&world, thirds.chain([batches]).collect()));

    let (first, rest) = events.split_at(events.len() / 2);
    let again = cut(&events, events.len());
    assert_same(&expected, &answered(&world, vec![cut(rest, 400), cut(first, 33), again]));
}

#[test]
fn a_rebuild_changes_no_answer() {
    let (world, _double, place) = backfilled(8);
    let before = answers(&place, &world, settled());
    let report = place.run(&["aggregate", &world.org, "--rebuild", "--format", "json"]).expect(0).json();
    assert!(report["rollups"].as_u64().is_some_and(|rollups| rollups > 0), "{report}");
    assert_same(&before, &answers(&place, &world, settled()));
}

#[test]
fn a_lost_store_comes_back_from_the_lake_and_github() {
    let (world, _double, place) = backfilled(8);
    let before = answers(&place, &world, settled());
    for entry in std::fs::read_dir(place.data()).expect("the data directory").flatten() {
        if entry.file_name().to_string_lossy().starts_with("store.sqlite") {
            std::fs::remove_file(entry.path()).expect("a file of the store");
        }
    }
    collect_and_aggregate(&place, &world.org);
    assert_same(&before, &answers(&place, &world, settled()));
}

#[test]
fn many_aggregations_at_once_end_alike() {
    let (world, batches) = collected(9);
    let expected = answered(&world, vec![batches.clone()]);
    let place = Place::new();
    write(&place.lake(), &world.org, batches);
    // Each makes the store or finds it; all of them work the same inbox off.
    let mut running: Vec<_> = (0..4).map(|_| place.spawn(&["aggregate"])).collect();
    for child in &mut running {
        child.wait().expect("it ends");
    }
    place.run(&["aggregate"]).expect(0);
    assert!(crate::support::batches(&place).is_empty());
    assert_same(&expected, &answers(&place, &world, settled()));
}
