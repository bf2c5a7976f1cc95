//! Any series of incremental runs ends with what one backfill of the same range ends with.

use gam_tests::answers::{assert_same, check};
use gam_tests::github::{Double, generated};
use gam_tests::program::Place;

use gam_tests::support::{SINCE, answers, backfilled, collect_and_aggregate, settled, whole};

#[test]
fn incremental_runs_answer_what_the_reference_says_at_every_step() {
    for seed in [3, 4] {
        let world = generated::world(seed);
        let moments = generated::moments(seed, 7);
        let double = Double::start(world.clone(), moments[0]);
        let place = Place::with(&double);
        for now in &moments {
            double.set_now(*now);
            collect_and_aggregate(&place, &world.org);
            check(place.serve().address(), &world, *now, &whole());
        }
        let now = moments[moments.len() - 1];
        let fresh = Place::with(&double);
        collect_and_aggregate(&fresh, &world.org);
        assert_same(&answers(&fresh, &world, now), &answers(&place, &world, now));
    }
}

#[test]
fn a_run_with_nothing_new_costs_three_requests_at_most() {
    let (world, double, place) = backfilled(5);
    for _ in 0..2 {
        let before = double.requests();
        let report = place.run(&["collect", &world.org, "--format", "json"]).expect(0).json();
        let log = double.log()[before..].join(", ");
        assert!(double.requests() - before <= 3, "{log}");
        assert_eq!((report["events"].as_u64(), report["batches"].as_u64()), (Some(0), Some(0)), "{log}");
        assert_eq!(report["requests"], double.requests() - before);
    }
    let text = place.run(&["aggregate"]).expect(0).text();
    assert!(text.contains("nothing new"), "{text}");
}

#[test]
fn pieces_make_a_whole() {
    let (world, double, whole) = backfilled(6);
    let place = Place::with(&double);
    let org = world.org.as_str();
    for args in [
        &["collect", org, "--since", "2024-02-01", "--until", "2024-02-20", "--repo", "site"][..],
        &["collect", org, "--since", "2024-02-01", "--repo", "SITE", "--repo", "docs"],
        &["collect", org, "--since", "2024-01-05", "--until", "2024-01-20"],
        &["collect", org, "--since", "2024-03-10"],
        &["collect", org, "--since", SINCE],
    ] {
        place.run(args).expect(0);
        place.run(&["aggregate"]).expect(0);
    }
    let now = settled();
    assert_same(&answers(&whole, &world, now), &answers(&place, &world, now));
}
