//! A month whose snapshot was lost is read again from GitHub.

use std::collections::BTreeMap;

use gam_tests::answers::{assert_matches_reference, assert_same_answers, without_coverage};
use gam_tests::http::get;
use gam_tests::program::Sandbox;
use gam_tests::support::{backfilled, fetch_answers, full_range, settled_at};
use serde_json::Value;

#[test]
fn reconcile_brings_back_everything_of_a_lost_month() {
    for month in ["2024-01", "2024-02"] {
        let (world, _double, sandbox) = backfilled(91);
        let before = fetch_answers(&sandbox, &world, settled_at());
        let dir = sandbox.lake_dir().join("events/org=acme-works").join(format!("month={month}"));
        std::fs::remove_file(dir.join("snapshot.parquet")).expect("the snapshot is there");
        let run = sandbox.run(&["collect", &world.org, "--reconcile"]);
        let run = run.expect_status(0);
        assert!(run.text().contains("differed from GitHub"), "{run:?}");
        assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
        assert_same_answers(&before, &fetch_answers(&sandbox, &world, settled_at()));
        let run = sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
        assert!(run.text().contains("nothing differs"), "{run:?}");
    }
}

/// Returns an answer of the API to a query of everything.
fn metrics(sandbox: &Sandbox, org: &str) -> Value {
    let server = sandbox.serve();
    let answer =
        get(server.address(), &format!("/api/v1/orgs/{org}/metrics?since=2023-01-01&until=2025-01-01"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn a_lost_month_is_named_and_read_again() {
    let (world, _double, sandbox) = backfilled(92);
    let before = fetch_answers(&sandbox, &world, settled_at());
    let complete = metrics(&sandbox, &world.org);
    let snapshot = sandbox.lake_dir().join("events/org=acme-works/month=2024-02/snapshot.parquet");
    std::fs::remove_file(&snapshot).expect("the snapshot is there");
    // The numbers stay, also under `--rebuild`, but they no longer look complete.
    for arguments in [&["aggregate"][..], &["aggregate", "--rebuild"]] {
        let run = sandbox.run(arguments).expect_status(3);
        assert!(run.stderr.contains("has lost the snapshot of 2024-02"), "{}", run.stderr);
        assert!(run.stderr.contains("--again --since 2024-02-01 --until 2024-03-01"), "{}", run.stderr);
    }
    let incomplete = metrics(&sandbox, &world.org);
    assert_eq!(incomplete["metrics"], complete["metrics"]);
    assert_eq!(incomplete["complete_since"], "2024-03-01T00:00:00Z");
    assert_eq!(incomplete["gaps"][0]["kind"], "month");
    assert_eq!(incomplete["gaps"][0]["from"], "2024-02-01T00:00:00Z");
    let doctor = sandbox.run(&["doctor"]).expect_status(1);
    assert!(doctor.text().contains("lost the snapshot of 2024-02"), "{}", doctor.text());
    // What is read in between does not hide the loss.
    sandbox.run(&["collect", &world.org]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(3);
    let span = ["--since", "2024-02-01", "--until", "2024-03-01"];
    sandbox.run(&[&["collect", world.org.as_str(), "--again"][..], &span].concat()).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_same_answers(&before, &fetch_answers(&sandbox, &world, settled_at()));
    assert_eq!(metrics(&sandbox, &world.org)["gap_count"], complete["gap_count"]);
    assert_eq!(metrics(&sandbox, &world.org)["complete_since"], complete["complete_since"]);
    // Its other checks do not hold here: the clock of the double is not the local one.
    let doctor = sandbox.run(&["doctor"]);
    assert!(doctor.text().contains("✓ snapshots"), "{}", doctor.text());
    // The store alone is a cache: a rebuilt one has the same numbers.
    std::fs::remove_file(sandbox.data_dir().join("store.sqlite")).expect("the store is there");
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_same_answers(
        &without_all_coverage(&before),
        &without_all_coverage(&fetch_answers(&sandbox, &world, settled_at())),
    );
}

fn without_all_coverage(answers: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    answers.iter().map(|(target, text)| (target.clone(), without_coverage(text))).collect()
}

#[test]
fn a_damaged_month_is_named_and_read_again() {
    let (world, _double, sandbox) = backfilled(93);
    let before = fetch_answers(&sandbox, &world, settled_at());
    let snapshot = sandbox.lake_dir().join("events/org=acme-works/month=2024-02/snapshot.parquet");
    std::fs::write(&snapshot, b"PAR1 damaged PAR1").expect("it is damaged");
    let doctor = sandbox.run(&["doctor"]).expect_status(1);
    assert!(doctor.text().contains("month=2024-02"), "{}", doctor.text());
    let error = sandbox.run(&["aggregate"]).expect_status(3);
    assert!(error.stderr.contains("--again --since 2024-02-01 --until 2024-03-01"), "{}", error.stderr);
    let span = ["--since", "2024-02-01", "--until", "2024-03-01"];
    sandbox.run(&[&["collect", world.org.as_str(), "--again"][..], &span].concat()).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_same_answers(&before, &fetch_answers(&sandbox, &world, settled_at()));
}
