//! A series of incremental runs ends in the same state as one backfill of the same range.

use gam_tests::answers::{assert_matches_reference, assert_same_answers};
use gam_tests::github::{Double, generated};
use gam_tests::program::Sandbox;

use gam_tests::support::{SINCE, backfilled, collect_and_aggregate, fetch_answers, full_range, settled_at};

#[test]
fn incremental_runs_match_the_reference_at_every_step() {
    for seed in [3, 4] {
        let world = generated::world(seed);
        let times = generated::times(seed, 7);
        let double = Double::start(world.clone(), times[0]);
        let sandbox = Sandbox::with_github(&double);
        for now in &times {
            double.set_now(*now);
            collect_and_aggregate(&sandbox, &world.org);
            assert_matches_reference(sandbox.serve().address(), &world, *now, &full_range());
        }
        let now = times[times.len() - 1];
        let backfill = Sandbox::with_github(&double);
        collect_and_aggregate(&backfill, &world.org);
        assert_same_answers(&fetch_answers(&backfill, &world, now), &fetch_answers(&sandbox, &world, now));
    }
}

#[test]
fn an_idle_run_costs_at_most_three_requests() {
    let (world, double, sandbox) = backfilled(5);
    for _ in 0..2 {
        let before = double.request_count();
        let report = sandbox.run(&["collect", &world.org, "--format", "json"]).expect_status(0).json();
        let log = double.log()[before..].join(", ");
        assert!(double.request_count() - before <= 3, "{log}");
        assert_eq!((report["events"].as_u64(), report["batches"].as_u64()), (Some(0), Some(0)), "{log}");
        assert_eq!(report["requests"], double.request_count() - before);
    }
    let text = sandbox.run(&["aggregate"]).expect_status(0).text();
    assert!(text.contains("nothing new"), "{text}");
}

#[test]
fn collecting_in_pieces_equals_one_backfill() {
    let (world, double, backfill) = backfilled(6);
    let sandbox = Sandbox::with_github(&double);
    let org = world.org.as_str();
    for args in [
        &["collect", org, "--since", "2024-02-01", "--until", "2024-02-20", "--repo", "site"][..],
        &["collect", org, "--since", "2024-02-01", "--repo", "SITE", "--repo", "docs"],
        &["collect", org, "--since", "2024-01-05", "--until", "2024-01-20"],
        &["collect", org, "--since", "2024-03-10"],
        &["collect", org, "--since", SINCE],
    ] {
        sandbox.run(args).expect_status(0);
        sandbox.run(&["aggregate"]).expect_status(0);
    }
    let now = settled_at();
    assert_same_answers(&fetch_answers(&backfill, &world, now), &fetch_answers(&sandbox, &world, now));
}
